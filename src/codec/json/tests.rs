//! The rows of the reference (wire.md 4), and that loose and strict text mean the same.

use super::*;
use crate::codec::feed::{Random, Seen};
use crate::codec::posted::decode;
use crate::codec::Chunk;
use crate::event::Buffer;

fn read_as(charset: Option<Charset>, bytes: &[u8], most: usize) -> Result<Vec<Seen>, Wrong> {
    let buffer = Buffer::owned([b"HEAD\r\n\r\n", bytes].concat());
    let chunk = Chunk { buffer: &buffer, from: 8, to: buffer.len() };
    let text = decode(charset, chunk).map_err(Wrong::Syntax)?;
    let mut batch = Batch::new();
    read(&text, most, &mut batch).map(|()| Seen::all(&batch))
}

fn events(text: &str) -> Result<Vec<Seen>, Wrong> {
    read_as(None, text.as_bytes(), 100)
}

fn seen(body: &str, headers: &[(&str, &str)]) -> Seen {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Seen { body: body.into(), headers }
}

#[test]
fn what_is_accepted() {
    for (text, want) in [
        ("[]", vec![]),
        (" [ ] \n", vec![]),
        (r#"[{"headers":{"a":"1","b":"ü"},"body":"x"}]"#, vec![seen("x", &[("a", "1"), ("b", "ü")])]),
        (
            r#"[{"body":"x","headers":{"a":"1"}},{"body":"y"}]"#,
            vec![seen("x", &[("a", "1")]), seen("y", &[])],
        ),
        (r#"[{}]"#, vec![seen("", &[])]),
        (r#"[{"headers":null,"body":null}]"#, vec![seen("", &[])]),
        (r#"[{"headers":{"a":null,"b":""},"body":""}]"#, vec![seen("", &[("b", "")])]),
        (
            r#"[{"headers":{"a":1,"b":true,"c":-7},"body":42}]"#,
            vec![seen("42", &[("a", "1"), ("b", "true"), ("c", "-7")])],
        ),
        (
            r#"[{"headers":{"a":1e3,"b":-0,"c":0.10},"body":12345678901234567890123}]"#,
            vec![seen("12345678901234567890123", &[("a", "1e3"), ("b", "-0"), ("c", "0.10")])],
        ),
        (r#"[{"body":"x","more":{"deep":[1,[2]]},"x":null}]"#, vec![seen("x", &[])]),
        (
            r#"[{"headers":{"a":"q\"\u00e9\n"},"body":"\t☃\ud834\udd1e\/"}]"#,
            vec![seen("\t☃𝄞/", &[("a", "q\"é\n")])],
        ),
        ("[{headers:{a:b},'body':'x'} /* c */]", vec![seen("x", &[("a", "b")])]),
        ("[{\"body\":\"tab\there\"}]", vec![seen("tab\there", &[])]),
        (r#"[{"body":"\ud800"}]"#, vec![seen("?", &[])]),
        (
            r#"[{"body":"x","body":"y","headers":{"a":"1"},"headers":{"b":"2"}}]"#,
            vec![seen("y", &[("b", "2")])],
        ),
        (r#"[{"headers":{"b\u0062":"1"},"body":true}]"#, vec![seen("true", &[("bb", "1")])]),
    ] {
        assert_eq!(events(text), Ok(want), "{text}");
    }
}

#[test]
fn what_is_no_array_of_events() {
    for text in [
        "",
        " ",
        "null",
        "[null]",
        "{}",
        r#"{"body":"x"}"#,
        "\"text\"",
        "7",
        "[7]",
        "[[]]",
        "[{}",
        "[{\"body\":",
        "[{}] x",
        "[{}][]",
        "[{},]",
        "[,{}]",
        r#"[{"body":{}}]"#,
        r#"[{"body":[1]}]"#,
        r#"[{"headers":{"a":{}}}]"#,
        r#"[{"headers":{"a":[]}}]"#,
        r#"[{"headers":[]}]"#,
        r#"[{"headers":"x"}]"#,
        r#"[{"headers":{"a":"1","a":"2"}}]"#,
        "[{\"body\":\"x\"\u{0}}]",
        r#"[{"headers":{"a":1.5,"a":2}}]"#,
    ] {
        assert!(matches!(events(text), Err(Wrong::Syntax(_))), "{text}: {:?}", events(text));
    }
    let Err(Wrong::Syntax(why)) = events("[{\"body\":\"x\"},\n {\"body\":[1]}]") else { panic!() };
    assert!(why.contains("line 2 column 10"), "{why}");
    let Err(Wrong::Syntax(why)) = events("[{\"headers\":{\"a\":\"1\",\"a\":\"2\"}}]") else { panic!() };
    assert_eq!(why, "header 'a' comes twice");
}

/// What the http sink does with a body that is no text is undone.
#[test]
fn bodies_in_base64_become_what_they_were() {
    let marked = |body: &str, how: &str| {
        events(&format!(r#"[{{"body":"{body}","headers":{{"a":"1","{BODY_ENCODING}":"{how}","b":"2"}}}}]"#))
            .unwrap()
            .remove(0)
    };
    let plain = marked("/wA=", "base64");
    assert_eq!((&plain.body[..], plain.headers.len(), plain.header("b")), (&b"\xff\0"[..], 2, Some("2")));
    for (body, how) in [("no base64!", "base64"), ("/wA=", "hex")] {
        let left = marked(body, how);
        assert_eq!((left.body, left.headers.len()), (body.as_bytes().to_vec(), 3), "{how}");
    }
}

#[test]
fn charsets() {
    let text = r#"[{"headers":{"ä":"ö"},"body":"é𝄞"}]"#;
    let utf16 = Charset::Utf16.encode(text);
    let utf32 = Charset::Utf32.encode(text);
    for (charset, bytes, body) in [
        (None, text.as_bytes().to_vec(), "é𝄞".as_bytes().to_vec()),
        (Some(Charset::Utf16), utf16, b"\xfe\xff\0\xe9\xd8\x34\xdd\x1e".to_vec()),
        (Some(Charset::Utf32), utf32, b"\0\0\0\xe9\0\x01\xd1\x1e".to_vec()),
    ] {
        let got = read_as(charset, &bytes, 9).unwrap();
        assert_eq!((&got[0].body, got[0].header("ä")), (&body, Some("ö")), "{charset:?}");
    }
    assert!(read_as(Some(Charset::Utf8), b"[{\"body\":\"\xe9\"}]", 9).is_err());
}

#[test]
fn more_than_the_channels_take_is_told_apart() {
    assert!(matches!(read_as(None, b"[{},{},{}]", 2), Err(Wrong::Excess(_))));
    assert_eq!(read_as(None, b"[{},{}]", 2).map(|e| e.len()), Ok(2));
}

#[test]
fn depth_costs_nothing() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for n in [100, 200_000] {
            let deep = format!("[{{\"x\":{}1{},\"body\":\"y\"}}]", open.repeat(n), close.repeat(n));
            let _ = events(&deep);
            let _ = events(&open.repeat(n));
            let loose = format!("[{{x:{}1{},body:\"y\"}}]", open.repeat(n), close.repeat(n));
            let _ = events(&loose);
        }
    }
    assert_eq!(events(r#"[{"x":[[[[{"y":[]}]]]],"body":"y"}]"#), Ok(vec![seen("y", &[])]));
}

/// Bodies and values without escapes point into what was read.
#[test]
fn nothing_is_copied_that_need_not_be() {
    let buffer =
        Buffer::owned(br#"[{"headers":{"a":"value"},"body":"a body"},{"body":"an\tother"}]"#.to_vec());
    let mut batch = Batch::new();
    let text = decode(None, Chunk { buffer: &buffer, from: 0, to: buffer.len() }).unwrap();
    read(&text, 9, &mut batch).unwrap();
    let within = |s: &[u8]| buffer.as_ptr_range().contains(&s.as_ptr());
    let bodies: Vec<bool> = batch.iter().map(|e| within(e.body())).collect();
    assert_eq!(bodies, [true, false]);
    assert!(batch.get(0).headers().all(|(_, v)| within(v)));
}

#[test]
fn what_is_strict_means_the_same_when_rewritten() {
    let vectors: [&[u8]; 4] = [
        br#"[{"headers":{"a":"1","b":"\u00fc"},"body":"x"}]"#,
        br#"[{"headers":{"a":1,"b":true},"body":"\"y\\"},{}]"#,
        "[{headers:{a:b},'body':'x'} /* c */, {\"body\":1e3}]".as_bytes(),
        br#"[{"x":[1,{"y":null}],"body":null}]"#,
    ];
    let mut random = Random(7);
    let mut both = 0;
    for _ in 0..20_000 {
        let input = random.mutate(&vectors);
        let Ok(text) = std::str::from_utf8(&input) else { continue };
        let plain = events(text);
        if let (Ok(events_of), Ok(rewritten)) = (&plain, loose::strict(text)) {
            assert_eq!(&events(&rewritten), &Ok(events_of.clone()), "{text} {rewritten}");
            both += 1;
        }
    }
    assert!(both > 500, "{both}");
}

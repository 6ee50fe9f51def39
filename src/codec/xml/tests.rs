use super::*;
use crate::codec::feed::{Random, Seen};
use crate::codec::posted::decode;
use crate::codec::Chunk;
use crate::event::Buffer;

fn book() -> Shape {
    let [root, event, headers, body] = ["events", "event", "headers", "body"].map(str::to_owned);
    Shape { root, event, headers, body, prefix: String::new(), attributes: false }
}

fn read_with(
    shape: &Shape,
    timestamp: Option<u64>,
    charset: Option<Charset>,
    bytes: &[u8],
) -> Result<Vec<Seen>, Wrong> {
    let buffer = Buffer::owned([b"head", bytes].concat());
    let text =
        decode(charset, Chunk { buffer: &buffer, from: 4, to: buffer.len() }).map_err(Wrong::Syntax)?;
    let mut batch = Batch::new();
    read(&text, shape, timestamp, 3, &mut batch).map(|()| Seen::all(&batch))
}

fn events(text: &str) -> Result<Vec<Seen>, Wrong> {
    read_with(&book(), None, None, text.as_bytes())
}

fn seen(body: &str, headers: &[(&str, &str)]) -> Seen {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Seen { body: body.into(), headers }
}

#[test]
fn documents_of_the_book() {
    for (text, want) in [
        ("<events/>", vec![]),
        ("<?xml version=\"1.0\"?>\n<!-- c --><EVENTS>\n</EVENTS>\n", vec![]),
        (
            "<events><event><headers><h1>v1</h1></headers><body>text</body></event><event/></events>",
            vec![seen("text", &[("h1", "v1")]), seen("", &[])],
        ),
        (
            "<events>\n <event>\n <body> a\r\nb </body>\n<headers><a/></headers><headers><b> 1 </b></headers></event></events>",
            vec![seen(" a\nb ", &[("a", ""), ("b", " 1 ")])],
        ),
        (
            "<events><event><body>&lt;a&gt; &amp;&quot;&apos;&#233;&#x2603;<![CDATA[<x>&y;]]>!<!-- no -->?</body></event></events>",
            vec![seen("<a> &\"'é☃<x>&y;!?", &[])],
        ),
        ("<events><event id='1'><body>größe</body></event></events>", vec![seen("größe", &[])]),
    ] {
        assert_eq!(events(text), Ok(want), "{text}");
    }
}

#[test]
fn what_is_refused() {
    for (text, why) in [
        ("", "too early"),
        ("text", "text is not expected"),
        ("<events>", "too early"),
        ("<events><event></events>", "at line 1"),
        ("<log/>", "the root element is log, events was expected"),
        ("<events/><events/>", "the element events is not expected"),
        ("<events/>x", "text is not expected"),
        ("<events>x</events>", "text is not expected"),
        ("<events><x/></events>", "the element x is not expected"),
        ("<events>\n<event>\n<x/></event></events>", "at line 3"),
        ("<events><event><body>1</body><body>2</body></event></events>", "the element body is not expected"),
        ("<events><event><body>a<b>c</b></body></event></events>", "the element b is not expected"),
        ("<events><event><headers><a><b/></a></headers></event></events>", "the element b is not expected"),
        ("<events><event><headers><a>1</a><a>2</a></headers></event></events>", "header 'a' comes twice"),
        ("<events><event><headers><a>1</a></headers><headers><a/></headers></event></events>", "comes twice"),
        ("<events><event><body>&x;</body></event></events>", "the entity &x; is not known"),
        ("<events><event><body>&#xD800;</body></event></events>", "at line"),
        ("<events><event><body>&#0;</body></event></events>", "at line"),
        ("<!DOCTYPE events [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><events><event><body>&x;</body></event></events>", "document type"),
        ("<!DOCTYPE e [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><events/>", "document type"),
    ] {
        match events(text) {
            Err(Wrong::Syntax(said)) => assert!(said.contains(why), "{text}: {said}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let many = format!("<events>{}</events>", "<event/>".repeat(4));
    assert!(matches!(events(&many), Err(Wrong::Excess(_))));
}

#[test]
fn names_of_ones_own() {
    let [root, event, headers, body] = ["log", "entry", "meta", "message"].map(str::to_owned);
    let shape = Shape { root, event, headers, body, prefix: "x.".to_owned(), attributes: true };
    let text = "<log><entry id='1' a='&lt;'><meta><b>2</b></meta><message>m</message></entry></log>";
    let got = read_with(&shape, Some(77), None, text.as_bytes()).unwrap();
    assert_eq!(got, [seen("m", &[("x.id", "1"), ("x.a", "<"), ("x.b", "2"), ("timestamp", "77")])]);
    let own = "<events><event><headers><timestamp>5</timestamp></headers></event></events>";
    assert_eq!(read_with(&book(), Some(77), None, own.as_bytes()).unwrap()[0].header("timestamp"), Some("5"));
}

#[test]
fn charsets_and_declarations() {
    let text = "<events><event><headers><a>é</a></headers><body>é</body></event></events>";
    let got = read_with(&book(), None, Some(Charset::Utf16), &Charset::Utf16.encode(text)).unwrap();
    assert_eq!((&got[0].body[..], got[0].header("a")), (&b"\xfe\xff\0\xe9"[..], Some("é")));
    for (bytes, want) in [
        (&b"<?xml version='1.0' encoding=\"ISO-8859-1\"?><e/>"[..], Some("ISO-8859-1")),
        (b"\xef\xbb\xbf<?xml version=\"1.0\" encoding = 'utf-8' ?>", Some("utf-8")),
        (b"<?xml version=\"1.0\"?>", None),
        (b"<events encoding='x'>", None),
        (b"<?xml encoding=x?>", None),
    ] {
        assert_eq!(declared_encoding(bytes), want);
    }
}

#[test]
fn no_input_panics() {
    let vectors: [&[u8]; 2] = [
        b"<?xml version='1.0'?><events><event a='1'><headers><h>v</h></headers><body>t&#65;<![CDATA[x]]></body></event></events>",
        b"<events><!-- c --><event><body>&lt;</body></event><event/></events>",
    ];
    let mut random = Random(5);
    for _ in 0..20_000 {
        let input = random.mutate(&vectors);
        let _ = read_with(&book(), None, None, &input);
        let _ = declared_encoding(&input);
    }
    let deep = format!("<events>{}", "<a>".repeat(100_000));
    assert!(events(&deep).is_err());
}

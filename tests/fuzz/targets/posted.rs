//! What the http source's handlers read: JSON and XML of events, in every charset.

use super::{choices, choose, chosen, Signature, Target, Verdict};
use crate::mutate;
use flumed::codec::gather::Wrong;
use flumed::codec::posted::{decode, Charset, Text};
use flumed::codec::{json, xml, Chunk};
use flumed::event::{Batch, Buffer};

/// The most events of a request.
const MOST: usize = 1000;

pub static JSON: Target = Target {
    name: "http-json",
    seeds: json_seeds,
    mutate: mutate::bytes,
    words: &[
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        ";",
        "=>",
        "\"",
        "'",
        "\\",
        "\\u",
        "\\ud834\\udd1e",
        "null",
        "true",
        "1e3",
        "-0",
        "//",
        "#",
        "/*",
        "*/",
        "\"headers\":",
        "\"body\":",
        "\"a\":\"b\"",
        ")]}'\n",
        "\u{feff}",
    ],
    longest: 1 << 14,
    memory: (96, 1 << 20),
    run: run_json,
};

pub static XML: Target = Target {
    name: "http-xml",
    seeds: xml_seeds,
    mutate: mutate::bytes,
    words: &[
        "<events>",
        "</events>",
        "<event>",
        "</event>",
        "<headers>",
        "</headers>",
        "<body>",
        "</body>",
        "<a/>",
        " a='1'",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version='1.0' encoding='utf-16'?>",
        "<!DOCTYPE e [<!ENTITY a 'b'>]>",
        "&a;",
        "&lt;",
        "&#233;",
        "&#x",
        ";",
        "\r\n",
    ],
    longest: 1 << 14,
    memory: (96, 1 << 20),
    run: run_xml,
};

fn json_seeds() -> Vec<Vec<u8>> {
    chosen([
        r#"[{"headers":{"a":"1","b":"\u00fc"},"body":"text"}]"#,
        r#"[{"body":1e3,"headers":{"a":1,"b":true,"c":null}},{}]"#,
        "[{headers={a:b;'c'=>\"d\"}, body:'x' /* c */}] # end",
        r#"[{"x":[1,{"y":[[]]}],"body":"\ud834\udd1e\n"}]"#,
        "[]",
    ])
}

fn xml_seeds() -> Vec<Vec<u8>> {
    chosen([
        "<?xml version='1.0'?><events><event><headers><a>1</a></headers><body>text</body></event></events>",
        "<events><event b='2'><body>&lt;<![CDATA[x]]>&#233;</body></event><!-- c --><event/></events>",
    ])
}

/// The text that a handler reads, where the bytes are one of the chosen charset.
fn text<'a>(by: u8, buffer: &'a std::sync::Arc<Buffer>) -> Option<Text<'a>> {
    let charsets =
        [None, Some(Charset::Utf8), Some(Charset::Utf16), Some(Charset::Utf32), Some(Charset::Latin1)];
    decode(choose(by, &charsets), Chunk { buffer, from: 0, to: buffer.len() }).ok()
}

fn run_json(input: &[u8]) -> Verdict {
    let (chosen, bytes) = choices(input);
    let buffer = Buffer::owned(bytes.to_vec());
    let Some(text) = text(chosen[0], &buffer) else { return Ok(Signature::default()) };
    let mut batch = Batch::new();
    let result = json::read(&text, MOST, &mut batch);
    if result.is_ok() {
        // With a comment behind it is not strict JSON any more, and means the same.
        let loose = Text::owned(format!("{} //", text.as_str()), text.charset());
        let mut again = Batch::new();
        json::read(&loose, MOST, &mut again)
            .map_err(|e| format!("is refused with a comment behind: {e:?}"))?;
        if plain(&batch) != plain(&again) {
            return Err("means something else with a comment behind".to_owned());
        }
    }
    signature(result, &batch)
}

fn run_xml(input: &[u8]) -> Verdict {
    let (chosen, bytes) = choices(input);
    let buffer = Buffer::owned(bytes.to_vec());
    let Some(text) = text(chosen[0], &buffer) else { return Ok(Signature::default()) };
    let [root, event, headers, body] = ["events", "event", "headers", "body"].map(str::to_owned);
    let attributes = chosen[1] & 1 == 1;
    let shape = xml::Shape { root, event, headers, body, prefix: String::new(), attributes };
    let mut batch = Batch::new();
    let result = xml::read(&text, &shape, (chosen[1] & 2 == 2).then_some(1), MOST, &mut batch);
    let _ = xml::declared_encoding(bytes);
    signature(result, &batch)
}

/// An event's body, and its headers by name and value.
type Plain = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

fn plain(batch: &Batch) -> Vec<Plain> {
    batch
        .iter()
        .map(|e| (e.body().to_vec(), e.headers().map(|(k, v)| (k.name(), v.to_vec())).collect()))
        .collect()
}

fn signature(result: Result<(), Wrong>, batch: &Batch) -> Verdict {
    let mut s = Signature::default();
    match result {
        Ok(()) => {
            s.count(batch.len());
            for e in batch.iter().take(3) {
                s.count(e.body().len());
                s.count(e.headers().len());
            }
        }
        Err(Wrong::Syntax(why)) => s.words(&why),
        Err(Wrong::Excess(_)) => s.exact("excess"),
    }
    Ok(s)
}

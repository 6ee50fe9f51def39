//! The protocol's text and hashes, and whether a peer's text says the same (reference, wire.md 1.1).
//!
//! A peer is asked for its text only when its hash is none of ours. Java Flume's text carries a licence comment and has
//! another hash than the bare text; both are known. Texts agree when the messages they share have our layout on the
//! wire: documentation, aliases and Java's string types do not matter.

use serde_json::Value;

pub type Hash = [u8; 16];

/// What is sent where a text is wanted.
pub const TEXT: &str = r#"{"protocol":"AvroSourceProtocol","namespace":"org.apache.flume.source.avro","types":[{"type":"enum","name":"Status","symbols":["OK","FAILED","UNKNOWN"]},{"type":"record","name":"AvroFlumeEvent","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}],"messages":{"append":{"request":[{"name":"event","type":"AvroFlumeEvent"}],"response":"Status"},"appendBatch":{"request":[{"name":"events","type":{"type":"array","items":"AvroFlumeEvent"}}],"response":"Status"}}}"#;

/// MD5 of [`TEXT`].
pub const BARE: Hash = 0x30da5405_9df72d95_84b867d5_202e2069_u128.to_be_bytes();
/// MD5 of the text that Java Flume was compiled from.
pub const JAVA: Hash = 0x86aadae2_c45474c0_fe93ffd0_f2350a65_u128.to_be_bytes();

/// Java Flume's text has 1334 bytes. Parsed, a text takes many times its size.
const LONGEST: usize = 64 << 10;

pub fn is_ours(hash: &Hash) -> bool {
    *hash == JAVA || *hash == BARE
}

/// Whether calls and answers written by this text can be read; else what is in the way.
pub fn agrees(text: &[u8]) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("a protocol of {} bytes, more than {LONGEST}", text.len()));
    }
    let protocol: Value =
        serde_json::from_slice(text).map_err(|e| format!("a protocol that is no JSON: {e}"))?;
    let messages = &protocol["messages"];
    let mut shared = 0;
    for (name, parameter) in [("append", "AvroFlumeEvent"), ("appendBatch", "array of AvroFlumeEvent")] {
        let Some(message) = messages.get(name) else { continue };
        shared += 1;
        let types = &protocol["types"];
        let request = message["request"].as_array().map_or(&[][..], Vec::as_slice);
        let [one] = request else { return Err(format!("{name} with {} parameters", request.len())) };
        let event = match name {
            "append" => Some(&one["type"]),
            _ => Some(&one["type"]).filter(|t| t["type"] == "array").map(|t| &t["items"]),
        };
        if !event.is_some_and(|e| is_event(e, types)) {
            return Err(format!("{name} does not take an {parameter} of a map of strings and bytes"));
        }
        if !is_status(&message["response"], types) {
            return Err(format!("{name} does not answer OK, FAILED or UNKNOWN"));
        }
    }
    match shared {
        0 => Err("a protocol without append and appendBatch".to_owned()),
        _ => Ok(()),
    }
}

/// The definition of a type that may be given by name.
fn resolve<'a>(t: &'a Value, types: &'a Value) -> &'a Value {
    let Some(name) = t.as_str() else { return t };
    let last = |n: &str| n.rsplit('.').next().unwrap_or_default().to_owned();
    let all = types.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|d| d["name"].as_str().is_some_and(|n| last(n) == last(name))).unwrap_or(t)
}

/// A primitive, bare or as an object with properties.
fn is(t: &Value, primitive: &str) -> bool {
    *t == *primitive || t["type"] == *primitive
}

fn is_event(t: &Value, types: &Value) -> bool {
    let record = resolve(t, types);
    let fields = record["fields"].as_array().map_or(&[][..], Vec::as_slice);
    match fields {
        [headers, body] => {
            let map = &headers["type"];
            headers["name"] == "headers"
                && map["type"] == "map"
                && is(&map["values"], "string")
                && body["name"] == "body"
                && is(&body["type"], "bytes")
        }
        _ => false,
    }
}

fn is_status(t: &Value, types: &Value) -> bool {
    let symbols = resolve(t, types)["symbols"].as_array().map_or(&[][..], Vec::as_slice);
    symbols.iter().map(|s| s.as_str().unwrap_or_default()).eq(["OK", "FAILED", "UNKNOWN"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_text_agrees() {
        assert_eq!(agrees(TEXT.as_bytes()), Ok(()));
        assert_eq!((TEXT.len(), BARE[0], JAVA[15]), (509, 0x30, 0x65));
    }

    #[test]
    fn what_does_not_matter_on_the_wire_does_not_matter() {
        let java = TEXT
            .replace(r#""values":"string""#, r#""values":{"type":"string","avro.java.string":"String"}"#)
            .replace(r#""type":"AvroFlumeEvent""#, r#""type":"org.apache.flume.source.avro.AvroFlumeEvent""#)
            .replace(r#"{"protocol""#, r#"{"doc":"a comment","protocol""#);
        assert_eq!(agrees(java.as_bytes()), Ok(()));
        let one = r#"{"protocol":"P","types":[],"messages":{"append":{"request":[{"name":"e","type":
            {"type":"record","name":"E","fields":[{"name":"headers","type":{"type":"map","values":"string"}},
            {"name":"body","type":{"type":"bytes"}}]}}],
            "response":{"type":"enum","name":"S","symbols":["OK","FAILED","UNKNOWN"]}}}}"#;
        assert_eq!(agrees(one.as_bytes()), Ok(()), "types in place, one message");
    }

    #[test]
    fn another_layout_is_refused_with_what_is_in_the_way() {
        for (from, to, why) in [
            ("\"bytes\"", "\"string\"", "append does not take"),
            ("\"headers\"", "\"meta\"", "append does not take"),
            ("\"FAILED\",", "", "does not answer"),
            ("\"append\"", "\"log\"", ""),
            ("append", "log", "without append and appendBatch"),
            ("\"array\"", "\"map\"", "appendBatch does not take an array"),
            ("{\"name\":\"event\",", "{},{\"name\":\"event\",", "append with 2 parameters"),
        ] {
            let got = agrees(TEXT.replace(from, to).as_bytes());
            assert!(
                got.as_ref().err().is_some_and(|e| e.contains(why)) || (why.is_empty() && got.is_ok()),
                "{to}: {got:?}"
            );
        }
        for text in ["", "[]", "{}", "{\"messages\":[]}", "\"x\"", &"[".repeat(100_000)] {
            assert!(agrees(text.as_bytes()).is_err());
        }
        let padded = |n: usize| agrees(format!("{TEXT}{}", " ".repeat(n - TEXT.len())).as_bytes());
        assert_eq!(padded(LONGEST), Ok(()));
        assert!(padded(LONGEST + 1).unwrap_err().contains("more than 65536"));
    }
}

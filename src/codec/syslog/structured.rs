//! RFC 5424's fields behind the host, and its structured data, as headers.
//!
//! ```text
//!   rest    = app-name SP procid SP msgid SP ( "-" / 1*element ) [ SP [ BOM ] message ]
//!   element = "[" id *( SP name "=" %d34 value %d34 ) "]"        in a value \" \\ \] stand for " \ ]
//! ```
//! The headers are `appname`, `procid` and `msgid`, where they are not `-`, and `sd.<id>.<name>` for a parameter; of one that comes
//! twice the first counts. What has another form, or more than [`MOST`] parameters, or a name that cannot be kept, is left in
//! the body.

use super::parts::Part;
use crate::event::Key;
use crate::lock::lock;
use std::collections::HashMap;
use std::sync::Mutex;

/// Parameters that become headers.
pub const MOST: usize = 64;
/// Different names of parameters that a source takes from its senders: names are kept for ever.
const MOST_NAMES: usize = 1024;

/// An id and the name of a parameter.
type Parameter = (Box<[u8]>, Box<[u8]>);

/// The names that a source has met, and their keys. A leaf lock.
#[derive(Default, Debug)]
pub struct Names(Mutex<HashMap<Parameter, Key>>);

impl Names {
    /// The key of a parameter, if it can be kept.
    fn key(&self, id: &[u8], name: &[u8]) -> Option<Key> {
        let mut known = lock(&self.0);
        let both = (id.into(), name.into());
        if let Some(key) = known.get(&both) {
            return Some(*key);
        }
        if known.len() >= MOST_NAMES {
            return None;
        }
        // Both are ASCII.
        let text = |part| String::from_utf8_lossy(part);
        let key = Key::intern(&format!("sd.{}.{}", text(id), text(name)))?;
        if known.values().any(|other| *other == key) {
            // Names may have dots in them: another pair comes to the same header.
            return None;
        }
        known.insert(both, key);
        Some(key)
    }
}

/// Where structured data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Structured {
    /// It stays in the body, as in Flume.
    #[default]
    Body,
    /// Into headers; the body is the message alone.
    Headers,
    /// Into headers; the body is as in Flume.
    Both,
}

/// A header: its value stands in the text, or had escapes in it.
pub struct Field {
    pub key: Key,
    pub at: Part,
    pub made: Option<Vec<u8>>,
}

/// The fields of a text whose rest begins at `from`, and where its message begins.
pub fn fields(text: &[u8], from: usize, names: &Names) -> Option<(Vec<Field>, usize)> {
    let mut fields = Vec::new();
    let mut at = from;
    for name in ["appname", "procid", "msgid"] {
        let len = text[at..].iter().position(|b| *b == b' ').filter(|len| *len > 0)?;
        if text[at..at + len] != *b"-" {
            fields.push(Field { key: Key::intern_own(name)?, at: Part::new(at, at + len), made: None });
        }
        at += len + 1;
    }
    match text.get(at)? {
        b'-' => at += 1,
        b'[' => {
            while text.get(at) == Some(&b'[') {
                at = element(text, at, names, &mut fields)?;
            }
        }
        _ => return None,
    }
    match text.get(at) {
        None => Some((fields, at)),
        Some(b' ') => {
            let message = at + 1;
            let bom = text[message..].starts_with(b"\xef\xbb\xbf");
            Some((fields, message + 3 * usize::from(bom)))
        }
        Some(_) => None,
    }
}

/// Reads an element that begins at `from`; returns where it ends.
fn element(text: &[u8], from: usize, names: &Names, fields: &mut Vec<Field>) -> Option<usize> {
    let id = name(text, from + 1)?;
    let mut at = id.to as usize;
    loop {
        match text.get(at)? {
            b']' => return Some(at + 1),
            b' ' => {}
            _ => return None,
        }
        let name = name(text, at + 1)?;
        at = name.to as usize;
        if text.get(at..at + 2)? != b"=\"" {
            return None;
        }
        let value = at + 2;
        let (to, escapes) = value_end(text, value)?;
        at = to + 1;
        if fields.len() >= MOST {
            return None;
        }
        let key = names.key(id.of(text), name.of(text))?;
        if !fields.iter().any(|f| f.key == key) {
            let made = escapes.then(|| unescaped(&text[value..to]));
            fields.push(Field { key, at: Part::new(value, to), made });
        }
    }
}

/// An SD-NAME: printable ASCII but for a few.
fn name(text: &[u8], from: usize) -> Option<Part> {
    let rest = text.get(from..)?;
    let len = rest.iter().take_while(|b| b.is_ascii_graphic() && !matches!(b, b'=' | b']' | b'"')).count();
    (len > 0).then(|| Part::new(from, from + len))
}

/// Where the quote behind a value is, and whether something in it is escaped.
fn value_end(text: &[u8], from: usize) -> Option<(usize, bool)> {
    let (mut at, mut escapes) = (from, false);
    loop {
        match text.get(at)? {
            b'"' => return Some((at, escapes)),
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\' | b']')) => {
                escapes = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((b, behind)) = rest.split_first() {
        match (b, behind) {
            (b'\\', [c @ (b'"' | b'\\' | b']'), behind @ ..]) => {
                out.push(*c);
                rest = behind;
            }
            _ => {
                out.push(*b);
                rest = behind;
            }
        }
    }
    out
}

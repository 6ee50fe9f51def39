//! Flume's JSON for events: `[{"headers":{"name":"value"},"body":"text"}, ...]` (reference, wire.md 4).
//!
//! Read in one pass without a tree: bodies and values that need no unescaping are spans of the text's buffer. What is not
//! strict JSON, and Gson reads all the same, is rewritten first (`loose`); so are numbers whose text would not survive.
//! Numbers and booleans as values are their text; `null` headers are none, a `null` body is an empty one, a header that is
//! `null` is left out; members of other names are passed over. A member that comes twice has its last value. A body that flumed's
//! http sink has sent as base64, for it is no text, becomes what it was, and loses the header that says so.

mod loose;

use super::gather::{Gather, Wrong};
use super::posted::{Charset, Text, BODY_ENCODING};
use crate::event::{Batch, Key, Span};
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::LazyLock;

/// [`BODY_ENCODING`], looked up once.
static ENCODING: LazyLock<Option<Key>> = LazyLock::new(|| Key::intern_own(BODY_ENCODING));

/// Puts the events of a request's body into an empty batch; at most so many.
pub fn read(text: &Text<'_>, most: usize, batch: &mut Batch) -> Result<(), Wrong> {
    let strict = match pass(text, most, batch) {
        Ok(()) => return Ok(()),
        Err(Stop::Wrong(wrong)) => return Err(wrong),
        Err(Stop::NotStrict(why)) => why,
    };
    *batch = Batch::new();
    let rewritten = loose::strict(text.as_str()).map_err(|why| Wrong::Syntax(why.unwrap_or(strict)))?;
    pass(&Text::owned(rewritten, text.charset()), most, batch).map_err(|stop| match stop {
        Stop::Wrong(wrong) => wrong,
        Stop::NotStrict(why) => Wrong::Syntax(why),
    })
}

/// Why a pass has no result.
enum Stop {
    Wrong(Wrong),
    /// Perhaps what was written loosely.
    NotStrict(String),
}

fn pass(text: &Text<'_>, most: usize, batch: &mut Batch) -> Result<(), Stop> {
    let segment = batch.attach(text.buffer());
    let mut reading =
        Reading { text, segment, gather: Gather::new(most), batch, wrong: None, not_strict: false };
    let mut de = serde_json::Deserializer::from_str(text.as_str());
    let result = Events(&mut reading).deserialize(&mut de).and_then(|()| de.end());
    let Err(e) = result else { return Ok(()) };
    let data = e.classify() == serde_json::error::Category::Data;
    Err(match reading.wrong {
        Some(wrong) => Stop::Wrong(wrong),
        None if data && !reading.not_strict => Stop::Wrong(Wrong::Syntax(e.to_string())),
        None => Stop::NotStrict(e.to_string()),
    })
}

struct Reading<'a, 't> {
    text: &'a Text<'t>,
    segment: u16,
    gather: Gather,
    batch: &'a mut Batch,
    /// What serde's error cannot carry.
    wrong: Option<Wrong>,
    /// A number came whose text is known only to who reads it as text.
    not_strict: bool,
}

impl Reading<'_, '_> {
    fn wrong<E: Error>(&mut self, wrong: Wrong) -> E {
        self.wrong = Some(wrong);
        E::custom("refused")
    }

    /// A number that is not as it was written any more.
    fn number<E: Error>(&mut self) -> E {
        self.not_strict = true;
        E::custom("a number")
    }

    /// A part of the text as it stands there.
    fn place(&mut self, part: &str) -> Span {
        match self.text.offset_of(part) {
            Some(at) => self.batch.span_of(self.segment, at, at + part.len()),
            None => self.batch.store(part.as_bytes()),
        }
    }

    fn value(&mut self, value: Scalar<'_>) -> Span {
        match value {
            Scalar::There(part) => self.place(part),
            Scalar::Made(text) => self.batch.store(text.as_bytes()),
        }
    }

    /// The bytes of a body that was sent as base64.
    fn decoded(&mut self, body: Span) -> Span {
        let Some((key, span)) = ENCODING.and_then(|key| Some((key, self.gather.take(key)?))) else {
            return body;
        };
        let plain = match (self.text.charset(), self.batch.bytes(span)) {
            (Charset::Utf8, b"base64") => STANDARD.decode(self.batch.bytes(body)).ok(),
            _ => None,
        };
        match plain {
            Some(plain) => self.batch.store(&plain),
            None => {
                self.gather.put_back(key, span);
                body
            }
        }
    }

    fn body(&mut self, value: Scalar<'_>) -> Span {
        match self.text.charset() {
            Charset::Utf8 => self.value(value),
            other => self.batch.store(&other.encode(value.as_str())),
        }
    }
}

/// A value's text: a part of the input, or made of it.
enum Scalar<'de> {
    There(&'de str),
    Made(String),
}

impl Scalar<'_> {
    fn as_str(&self) -> &str {
        match self {
            Scalar::There(part) => part,
            Scalar::Made(text) => text,
        }
    }
}

struct Events<'r, 'a, 't>(&'r mut Reading<'a, 't>);

impl<'de> DeserializeSeed<'de> for Events<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Event(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Event<'r, 'a, 't>(&'r mut Reading<'a, 't>);

impl<'de> DeserializeSeed<'de> for Event<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Event<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, an object with headers and body")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let r = self.0;
        r.gather.begin();
        let mut body = Span::default();
        while let Some(member) = map.next_key_seed(Name)? {
            match member {
                Member::Headers => map.next_value_seed(Headers(&mut *r))?,
                Member::Body => {
                    body = match map.next_value_seed(Value)? {
                        Given::Text(value) => r.body(value),
                        Given::Null => Span::default(),
                        Given::Number => return Err(r.number()),
                    }
                }
                Member::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let body = r.decoded(body);
        r.gather.end(body, r.batch).map_err(|wrong| r.wrong(wrong))
    }
}

/// A member of an event.
enum Member {
    Headers,
    Body,
    Other,
}

/// The name of one.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Member;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Member, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Member;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            "headers" => Member::Headers,
            "body" => Member::Body,
            _ => Member::Other,
        })
    }
}

struct Headers<'r, 'a, 't>(&'r mut Reading<'a, 't>);

impl<'de> DeserializeSeed<'de> for Headers<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Headers<'_, '_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.gather.begin();
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let r = self.0;
        r.gather.begin();
        while let Some(name) = map.next_key_seed(Value)? {
            let value = map.next_value_seed(Value)?;
            let value = match value {
                Given::Text(value) => value,
                Given::Null => continue,
                Given::Number => return Err(r.number()),
            };
            // An object's names are texts.
            let Given::Text(name) = name else { continue };
            let value = r.value(value);
            r.gather.header(name.as_str(), value, r.batch).map_err(|wrong| r.wrong(wrong))?;
        }
        Ok(())
    }
}

/// A header's name or value, or a body.
struct Value;

enum Given<'de> {
    Text(Scalar<'de>),
    Null,
    /// One whose text is not known here.
    Number,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Given<'de>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Given<'de>, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Given<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Scalar::There(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Scalar::Made(text.to_owned())))
    }
    fn visit_bool<E: Error>(self, is: bool) -> Result<Given<'de>, E> {
        Ok(Given::Text(Scalar::There(if is { "true" } else { "false" })))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Given<'de>, E> {
        Ok(Given::Text(Scalar::Made(n.to_string())))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Given<'de>, E> {
        Ok(Given::Text(Scalar::Made(n.to_string())))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Given<'de>, E> {
        Ok(Given::Number)
    }
    fn visit_unit<E: Error>(self) -> Result<Given<'de>, E> {
        Ok(Given::Null)
    }
}

#[cfg(test)]
mod tests;

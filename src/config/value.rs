//! The typed value of a key, and how it is read from text. Pure.

use super::context::Context;
use super::property::{Shown, HIDDEN};
use super::spec::Type;
use crate::codec::pattern::Pattern;
use crate::event;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone)]
pub enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    List(Vec<String>),
    Regex(Pattern),
    Header(event::Key),
    Component(Box<Context>),
    Components(Vec<Context>),
    Map(BTreeMap<String, String>),
}

/// Its form only: whether it may be shown is known to its owner.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Text(_) => "text",
            Value::Int(_) => "number",
            Value::Bool(_) => "boolean",
            Value::List(_) => "list",
            Value::Regex(_) => "regular expression",
            Value::Header(_) => "header",
            Value::Component(_) => "component",
            Value::Components(_) => "list of components",
            Value::Map(_) => "keys and values",
        })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Regex(a), Value::Regex(b)) => a == b,
            (Value::Header(a), Value::Header(b)) => a == b,
            (Value::Component(a), Value::Component(b)) => a.says_the_same(b),
            (Value::Components(a), Value::Components(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says_the_same(b))
            }
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

/// The value, or what is wrong with the text.
pub fn parse_value(ty: Type, shown: Shown<'_>) -> Result<Value, String> {
    let text = shown.text;
    let number = |what: &str, low: i64, high: i64| {
        let n: i64 = text.parse().map_err(|_| format!("{shown} is not {what}"))?;
        if n < low || n > high {
            let range = if high == i64::MAX { format!("at least {low}") } else { format!("{low} to {high}") };
            return Err(format!("{} is out of range, expected {range}", shown.bare()));
        }
        Ok(Value::Int(n))
    };
    match ty {
        Type::Text | Type::Path => Ok(Value::Text(text.to_owned())),
        Type::Int(low, high) => number("a whole number", low, high),
        Type::Millis(low, high) => number("a whole number of milliseconds", low, high),
        Type::Seconds(low, high) => number("a whole number of seconds", low, high),
        Type::Port => number("a port number", 0, 65535),
        Type::Bool => Ok(Value::Bool(text.eq_ignore_ascii_case("true"))),
        Type::Paths => {
            let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
            Ok(Value::List(parts.map(str::to_owned).collect()))
        }
        Type::List | Type::Channels => Ok(Value::List(text.split_whitespace().map(str::to_owned).collect())),
        Type::Choice(words) => words
            .iter()
            .find(|w| w.eq_ignore_ascii_case(text))
            .map(|w| Value::Text((*w).to_owned()))
            .ok_or_else(|| format!("{shown} is not one of {}", words.join(", "))),
        Type::Regex => Pattern::new(text).map(Value::Regex).map_err(|why| unusable(shown, &why)),
        Type::WholeRegex => Pattern::whole(text).map(Value::Regex).map_err(|why| unusable(shown, &why)),
        Type::Header => key_of(shown).map(Value::Header),
        Type::Component(_) | Type::Components(..) | Type::Prefix | Type::ChannelsBelow => {
            unreachable!("read by their own code")
        }
    }
}

fn unusable(shown: Shown<'_>, why: &str) -> String {
    match shown.is_hidden {
        // The reason shows the pattern.
        true => format!("{HIDDEN} is not a usable regular expression"),
        false => format!("not a usable regular expression: {why}"),
    }
}

/// The key of a header that the configuration names.
pub fn header_key(name: &str) -> Result<event::Key, String> {
    key_of(Shown { text: name, is_hidden: false })
}

fn key_of(shown: Shown<'_>) -> Result<event::Key, String> {
    let too_much = || format!("{shown} cannot be a header: it is too long, or there are too many headers");
    event::Key::intern(shown.text).ok_or_else(too_much)
}

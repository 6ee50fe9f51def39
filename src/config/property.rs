//! A property, and what may be said of its value. Plain data.

use super::problem::Place;
use std::fmt;

/// One property as the user wrote it, with the name cut to what its component calls it.
#[derive(Clone)]
pub struct Property {
    pub name: String,
    pub value: String,
    pub place: Place,
    /// A part of the value came from the environment, a system property or a config filter: no message shows it.
    pub is_hidden: bool,
    /// What the value is meant to be is not known. That has been reported, nothing else is said of it.
    pub is_unknown: bool,
    /// Another property refers to it.
    pub is_used: bool,
}

impl Property {
    pub fn new(name: impl Into<String>, value: impl Into<String>, place: Place) -> Property {
        let (name, value) = (name.into(), value.into());
        Property { name, value, place, is_hidden: false, is_unknown: false, is_used: false }
    }

    /// Whether no message may show the value: because of where it came from, or because its key says so.
    pub fn is_secret(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        self.is_hidden || SECRET_WORDS.iter().any(|w| name.contains(w))
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.is_secret() { HIDDEN } else { &self.value };
        write!(f, "{}:{}: {} = {value}", self.place.file, self.place.line, self.name)
    }
}

/// A key with such a word in its name holds a secret.
const SECRET_WORDS: [&str; 5] = ["password", "passwd", "secret", "token", "credential"];

/// What messages show in place of a value that is not to be shown.
pub const HIDDEN: &str = "(hidden)";

/// A value, and whether a message may show it. Displayed in quotes.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub text: &'a str,
    pub is_hidden: bool,
}

impl<'a> Shown<'a> {
    /// Without quotes.
    pub fn bare(self) -> &'a str {
        match self.is_hidden {
            true => HIDDEN,
            false => self.text,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_hidden {
            true => f.write_str(HIDDEN),
            false => write!(f, "'{}'", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_has_no_secrets() {
        let place = Place { file: "f".into(), line: 3 };
        let plain = Property::new("port", "4711", place);
        assert_eq!(format!("{plain:?}"), "f:3: port = 4711");
        let outside = Property { is_hidden: true, ..plain.clone() };
        assert_eq!(format!("{outside:?}"), "f:3: port = (hidden)");
        let named = Property { name: "keystore-Password".into(), ..plain };
        assert_eq!(format!("{named:?}"), "f:3: keystore-Password = (hidden)");
    }
}

//! Header keys as small numbers.
//!
//! Every header name lives once in a process-wide table that only grows and is read without a lock. Names
//! come from the code (the constants below), from the configuration and, bounded in number, from peers.

use crate::lock::lock;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// How many different header names the process can hold.
const TABLE_SIZE: usize = 8192;
/// Names longer than this are not interned for peers.
const LONGEST: usize = 256;

static TABLE: [OnceLock<&'static str>; TABLE_SIZE] = [const { OnceLock::new() }; TABLE_SIZE];
static INDEX: OnceLock<Mutex<HashMap<&'static str, u32>>> = OnceLock::new();

/// A header name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u32);

/// Names the codecs set on every event, in the order of the constants of [`Key`].
const KNOWN: [&str; 8] =
    ["timestamp", "host", "Facility", "Severity", "priority", "version", "flume.syslog.status", "id"];

impl Key {
    pub const TIMESTAMP: Key = Key(0);
    pub const HOST: Key = Key(1);
    pub const FACILITY: Key = Key(2);
    pub const SEVERITY: Key = Key(3);
    pub const PRIORITY: Key = Key(4);
    pub const VERSION: Key = Key(5);
    pub const SYSLOG_STATUS: Key = Key(6);
    pub const ID: Key = Key(7);

    /// The key of this name; `None` when the table is full or the name is too long to be kept for ever.
    pub fn intern(name: &str) -> Option<Key> {
        let index =
            INDEX.get_or_init(|| Mutex::new(KNOWN.iter().enumerate().map(|(i, k)| (*k, i as u32)).collect()));
        let mut index = lock(index);
        if let Some(n) = index.get(name) {
            return Some(Key(*n));
        }
        let n = index.len();
        if n >= TABLE_SIZE || name.len() > LONGEST {
            return None;
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        TABLE[n].set(kept).ok()?;
        index.insert(kept, n as u32);
        Some(Key(n as u32))
    }

    pub fn name(self) -> &'static str {
        match KNOWN.get(self.0 as usize) {
            Some(k) => k,
            None => TABLE[self.0 as usize].get().copied().unwrap_or(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_key() {
        let a = Key::intern("some.header").unwrap();
        assert_eq!(Key::intern("some.header"), Some(a));
        assert_eq!(a.name(), "some.header");
        assert_eq!(Key::intern("host"), Some(Key::HOST));
        assert_eq!(Key::intern("id").unwrap().name(), "id");
    }

    #[test]
    fn endless_names_are_refused() {
        assert_eq!(Key::intern(&"x".repeat(LONGEST + 1)), None);
    }
}

//! Header keys as small numbers.
//!
//! Every header name lives once in a process-wide table that only grows and is read without a lock. Names come from the
//! code (the constants below), from the configuration and, bounded in number, from peers; and from files of our own,
//! which hold what earlier processes took from theirs.

use crate::lock::lock;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// How many different header names the process takes from its peers.
const FOREIGN: usize = 65_536;
/// How many the first table holds.
const TABLE_SIZE: usize = 8192;
/// How many more tables of that size there may be, for all names.
const MORE_TABLES: usize = 128;
/// Names longer than this are not interned for peers.
const LONGEST: usize = 256;

type Table = [OnceLock<&'static str>];
static TABLE: [OnceLock<&'static str>; TABLE_SIZE] = [const { OnceLock::new() }; TABLE_SIZE];
static MORE: [OnceLock<Box<Table>>; MORE_TABLES] = [const { OnceLock::new() }; MORE_TABLES];
static INDEX: OnceLock<Mutex<Index>> = OnceLock::new();

struct Index {
    all: HashMap<&'static str, u32>,
    /// How many are not from our own files.
    foreign: usize,
}

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
        Key::intern_from(name, true)
    }

    /// [`intern`](Key::intern) for a name from a file of our own, or one that the operator has us read: what a peer must
    /// not fill is open to it, for a million names of any length.
    pub fn intern_own(name: &str) -> Option<Key> {
        Key::intern_from(name, false)
    }

    fn intern_from(name: &str, is_foreign: bool) -> Option<Key> {
        let known = || KNOWN.iter().enumerate().map(|(i, k)| (*k, i as u32)).collect();
        let index = INDEX.get_or_init(|| Mutex::new(Index { all: known(), foreign: KNOWN.len() }));
        let mut index = lock(index);
        if let Some(n) = index.all.get(name) {
            return Some(Key(*n));
        }
        let n = index.all.len();
        if is_foreign && (index.foreign >= FOREIGN || name.len() > LONGEST) {
            return None;
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let new_table = || (0..TABLE_SIZE).map(|_| OnceLock::new()).collect();
        let table: &Table =
            if n < TABLE_SIZE { &TABLE } else { MORE.get(n / TABLE_SIZE - 1)?.get_or_init(new_table) };
        table[n % TABLE_SIZE].set(kept).ok()?;
        index.all.insert(kept, n as u32);
        index.foreign += usize::from(is_foreign);
        Some(Key(n as u32))
    }

    pub fn name(self) -> &'static str {
        match KNOWN.get(self.0 as usize) {
            Some(k) => k,
            None => self.slot().and_then(|slot| slot.get()).copied().unwrap_or(""),
        }
    }

    fn slot(self) -> Option<&'static OnceLock<&'static str>> {
        let n = self.0 as usize;
        match n < TABLE_SIZE {
            true => TABLE.get(n),
            false => MORE.get(n / TABLE_SIZE - 1)?.get()?.get(n % TABLE_SIZE),
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

    #[test]
    fn names_of_our_own_files_have_room_of_their_own() {
        let long = "y".repeat(LONGEST + 1);
        assert_eq!(Key::intern_own(&long).unwrap().name(), long);
        for i in 0..TABLE_SIZE + 10 {
            let name = format!("own.{i}");
            assert_eq!(Key::intern_own(&name).unwrap().name(), name);
        }
        let last = format!("own.{}", TABLE_SIZE + 9);
        assert_eq!(Key::intern(&last), Key::intern_own(&last));
        // They take nothing from the peers'.
        assert!(Key::intern("a.peers").is_some());
    }
}

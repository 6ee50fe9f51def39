//! The headers of an event on its way into a batch: names become keys, a repeated one replaces the first in its place.
//!
//! Belongs to a decoder. A name that cannot be kept as a key (the process has too many, or it is too long) has none: who
//! calls keeps such headers apart, in one header named [`MORE`].

use crate::event::{Key, Span};
use std::collections::HashMap;

/// The header of the headers whose names could not be kept.
pub const MORE: &str = "flumed.headers";
/// Names a decoder remembers; most senders repeat theirs in the same order.
const RECENT: usize = 16;
/// Above so many headers an event's repeated names are looked up, not searched.
const MANY: usize = 32;
/// Room for more headers than this is not kept for the next event.
const MUCH: usize = 256;

#[derive(Default)]
pub struct Headers {
    recent: Vec<(Box<[u8]>, Key)>,
    list: Vec<(Key, Span)>,
    places: Option<HashMap<Key, usize>>,
}

impl Headers {
    /// An event begins.
    pub fn begin(&mut self) {
        self.list.clear();
        self.places = None;
    }

    pub fn all(&self) -> &[(Key, Span)] {
        &self.list
    }

    /// Takes a header away from the event at hand.
    pub fn take(&mut self, key: Key) -> Option<Span> {
        let at = self.list.iter().position(|(k, _)| *k == key)?;
        // The places behind it are others now.
        self.places = None;
        Some(self.list.remove(at).1)
    }

    /// Whether the event at hand has this one already.
    pub fn set(&mut self, key: Key, value: Span) -> bool {
        let list = &mut self.list;
        let place = if list.len() < MANY {
            list.iter().position(|(k, _)| *k == key)
        } else {
            let place = |(i, (k, _)): (usize, &(Key, Span))| (*k, i);
            let places = self.places.get_or_insert_with(|| list.iter().enumerate().map(place).collect());
            let next = list.len();
            Some(*places.entry(key).or_insert(next)).filter(|i| *i < next)
        };
        match place {
            Some(i) => list[i].1 = value,
            None => list.push((key, value)),
        }
        place.is_some()
    }

    /// The key of the `at`th header's name, if it can be kept. A name that is not UTF-8 is kept with U+FFFD in it.
    pub fn key(&mut self, at: usize, name: &[u8]) -> Option<Key> {
        let at = at % RECENT;
        if let Some((_, key)) = self.recent.get(at).filter(|(recent, _)| **recent == *name) {
            return Some(*key);
        }
        let key = Key::intern(&String::from_utf8_lossy(name))?;
        match self.recent.get_mut(at) {
            Some(old) => *old = (name.into(), key),
            None => self.recent.push((name.into(), key)),
        }
        Some(key)
    }

    /// A message ends: a large one's room is let go of.
    pub fn shrink(&mut self) {
        if self.list.capacity() > MUCH {
            self.list = Vec::new();
        }
    }
}

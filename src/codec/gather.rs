//! Events of a text (JSON, XML) on their way into a batch, within bounds.
//!
//! Values are spans of the batch already. A name that comes twice in one event is an error here; one that cannot be kept
//! as a key goes with its value into the header [`MORE`].

use super::headers::{Headers, MORE};
use super::rpc::{MOST_OF_EVENT, MOST_OF_MESSAGE};
use crate::event::{Batch, Body, Key, Span};

/// Why a text's events are not a batch.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Wrong {
    /// It is not what was expected; says what is wrong, and where.
    Syntax(String),
    /// It is more than is taken at once.
    Excess(String),
}

pub struct Gather {
    headers: Headers,
    /// Headers of the event at hand, and of all.
    seen: usize,
    read: usize,
    apart: Vec<u8>,
    /// The most events.
    most: usize,
}

impl Gather {
    /// For at most so many events.
    pub fn new(most: usize) -> Gather {
        Gather { headers: Headers::default(), seen: 0, read: 0, apart: Vec::new(), most }
    }

    /// An event begins, or begins its headers anew.
    pub fn begin(&mut self) {
        self.headers.begin();
        self.apart.clear();
        self.seen = 0;
    }

    /// Its next header.
    pub fn header(&mut self, name: &str, value: Span, batch: &Batch) -> Result<(), Wrong> {
        self.read += 1;
        if self.seen >= MOST_OF_EVENT || self.read > MOST_OF_MESSAGE {
            return Err(Wrong::Excess(format!(
                "more than {MOST_OF_EVENT} headers in an event, or {MOST_OF_MESSAGE} in a request"
            )));
        }
        match self.headers.key(self.seen, name.as_bytes()) {
            Some(key) if self.headers.set(key, value) => {
                return Err(Wrong::Syntax(format!("header '{name}' comes twice")))
            }
            Some(_) => {}
            None => {
                for part in [name.as_bytes(), b"=", batch.bytes(value), b"\n"] {
                    self.apart.extend_from_slice(part);
                }
            }
        }
        self.seen += 1;
        Ok(())
    }

    /// Whether the event at hand has this header.
    pub fn has(&self, key: Key) -> bool {
        self.headers.all().iter().any(|(k, _)| *k == key)
    }

    /// Takes a header away from the event at hand.
    pub fn take(&mut self, key: Key) -> Option<Span> {
        self.headers.take(key)
    }

    /// Gives back what was taken away, behind the others.
    pub fn put_back(&mut self, key: Key, value: Span) {
        self.headers.set(key, value);
    }

    /// It ends, with this body.
    pub fn end(&mut self, body: Span, batch: &mut Batch) -> Result<(), Wrong> {
        if batch.len() >= self.most {
            return Err(Wrong::Excess(format!(
                "it has more events than the channels take at once ({}): raise their transactionCapacity, or send \
                 smaller requests",
                self.most
            )));
        }
        if let (false, Some(key)) = (self.apart.is_empty(), Key::intern_own(MORE)) {
            let earlier = self.headers.all().iter().find(|(k, _)| *k == key);
            let mut whole = earlier.map_or(Vec::new(), |(_, span)| batch.bytes(*span).to_vec());
            whole.append(&mut self.apart);
            let span = batch.store(&whole);
            self.headers.set(key, span);
        }
        batch.push(Body::At(body));
        if !self.headers.all().is_empty() {
            batch.push_headers(self.headers.all());
        }
        self.begin();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::feed::Seen;

    #[test]
    fn names_that_cannot_be_kept_go_into_one_header() {
        let (mut gather, mut batch) = (Gather::new(2), Batch::new());
        let long = "gathered.".repeat(40);
        gather.begin();
        for (name, value) in [("a", "1"), (MORE, "earlier=0\n"), (long.as_str(), "2")] {
            let value = batch.store(value.as_bytes());
            gather.header(name, value, &batch).unwrap();
        }
        gather.end(Span::default(), &mut batch).unwrap();
        let seen = Seen::all(&batch);
        assert_eq!(seen[0].header(MORE), Some(format!("earlier=0\n{long}=2\n").as_str()));
        assert_eq!(seen[0].header("a"), Some("1"));
    }

    #[test]
    fn a_name_comes_once_and_events_are_bounded() {
        let (mut gather, mut batch) = (Gather::new(1), Batch::new());
        gather.begin();
        gather.header("a", Span::default(), &batch).unwrap();
        let twice = gather.header("a", Span::default(), &batch);
        assert_eq!(twice, Err(Wrong::Syntax("header 'a' comes twice".to_owned())));
        gather.end(Span::default(), &mut batch).unwrap();
        gather.header("a", Span::default(), &batch).unwrap();
        assert!(matches!(gather.end(Span::default(), &mut batch), Err(Wrong::Excess(_))));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn headers_are_bounded() {
        let (mut gather, batch) = (Gather::new(1), Batch::new());
        gather.begin();
        let name = |i| format!("bounded.{}", i % 1000);
        for i in 0..1000 {
            gather.header(&name(i), Span::default(), &batch).unwrap();
        }
        let refused = (0..2 * MOST_OF_MESSAGE).find(|i| {
            gather.begin();
            matches!(gather.header(&name(*i), Span::default(), &batch), Err(Wrong::Excess(_)))
        });
        assert!(refused.is_some_and(|i| i < MOST_OF_MESSAGE), "{refused:?}");
    }
}

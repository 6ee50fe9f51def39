//! Header values on their way into a batch.
//!
//! A span belongs to one batch, so [`Stored`] lives as long as one call of the decoder: within it, texts
//! that repeat from event to event are stored once. [`Headers`] collects what one event gets, in order.

use super::parts::Part;
use crate::event::{Batch, Key, Span};

/// The headers of one event on their way into the batch: six of ours, the port, two of the client's, the status.
pub struct Headers {
    list: [(Key, Span); 10],
    len: usize,
}

impl Headers {
    pub fn new() -> Headers {
        Headers { list: [(Key::FACILITY, Span::default()); 10], len: 0 }
    }

    #[inline]
    pub fn add(&mut self, key: Key, value: Span) {
        self.list[self.len] = (key, value);
        self.len += 1;
    }

    #[inline]
    pub fn add_part(&mut self, key: Key, line: Span, part: Part) {
        if !part.is_empty() {
            self.add(key, line.part(part.from as usize, part.to as usize));
        }
    }

    pub fn remove(&mut self, key: Key) {
        if let Some(at) = self.all().iter().position(|(k, _)| *k == key) {
            self.list.copy_within(at + 1..self.len, at);
            self.len -= 1;
        }
    }

    pub fn all(&self) -> &[(Key, Span)] {
        &self.list[..self.len]
    }
}

/// Header values that are in the batch of this call already.
#[derive(Default)]
pub struct Stored {
    numbers: [Option<(u32, Span)>; 2],
    time: Option<(i64, Span)>,
    pub client: [Option<Span>; 2],
    pub port: Option<Span>,
}

#[derive(Clone, Copy)]
pub enum Slot {
    Facility,
    Severity,
}

impl Stored {
    /// The decimal text of a number below 1000.
    #[inline]
    pub fn number(&mut self, batch: &mut Batch, value: u32, slot: Slot) -> Span {
        let kept = &mut self.numbers[slot as usize];
        match *kept {
            Some((v, span)) if v == value => span,
            _ => {
                let span = store_decimal(batch, value.into());
                *kept = Some((value, span));
                span
            }
        }
    }

    /// The decimal text of a number that seldom comes again.
    pub fn any(&self, batch: &mut Batch, value: i32) -> Span {
        store_decimal(batch, value.into())
    }

    #[inline]
    pub fn time(&mut self, batch: &mut Batch, epoch_ms: i64) -> Span {
        match self.time {
            Some((ms, span)) if ms == epoch_ms => span,
            _ => {
                let span = store_decimal(batch, epoch_ms);
                self.time = Some((epoch_ms, span));
                span
            }
        }
    }
}

fn store_decimal(batch: &mut Batch, value: i64) -> Span {
    let mut room = [0; 20];
    let mut from = room.len();
    let mut rest = value.unsigned_abs();
    loop {
        from -= 1;
        room[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        from -= 1;
        room[from] = b'-';
    }
    batch.store(&room[from..])
}

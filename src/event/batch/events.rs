//! Views of a batch: one event, and some of its events as channels hold and charge them: all of it, or what a selector
//! chose; cut in pieces by takers.
//!
//! Any thread may hold some: they share the batch, which nobody changes any more. No locks.

use super::{Batch, Body, Key, Record};
use std::sync::Arc;

/// One event of a batch.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    pub(super) batch: &'a Batch,
    pub(super) record: &'a Record,
}

impl<'a> EventRef<'a> {
    pub fn body(&self) -> &'a [u8] {
        self.batch.bytes(self.record.body)
    }

    /// Headers in insertion order; values are text, normally UTF-8.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (Key, &'a [u8])> + use<'a> {
        let from = self.record.first_header as usize;
        let batch = self.batch;
        let run = &batch.headers[from..from + self.record.headers as usize];
        run.iter().map(|h| (h.key, batch.bytes(h.value)))
    }

    pub fn header(&self, key: Key) -> Option<&'a [u8]> {
        self.headers().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The bytes that follow the body in its segment: lets a writer see that a body and what it would put
    /// behind it already stand side by side in memory.
    pub fn body_and_rest(&self) -> &'a [u8] {
        let s = self.record.body;
        let segment =
            if s.segment == 0 { &self.batch.own[..] } else { &self.batch.shared[s.segment as usize - 1][..] };
        &segment[s.offset as usize..]
    }
}

/// Some events of a shared batch, in order.
#[derive(Clone)]
pub struct Events {
    pub(super) batch: Arc<Batch>,
    /// Which records, when not all: what a selector chose for one channel.
    picked: Option<Picked>,
    from: usize,
    to: usize,
}

#[derive(Clone)]
struct Picked {
    indices: Arc<[u32]>,
    /// Bytes that a copy of these events needs.
    weight: usize,
}

impl Events {
    /// The whole batch.
    pub fn all(batch: Arc<Batch>) -> Events {
        let to = batch.len();
        Events { batch, picked: None, from: 0, to }
    }

    /// The events with these indices.
    pub fn picked(batch: Arc<Batch>, indices: Vec<u32>) -> Events {
        let to = indices.len();
        let weight = indices.iter().map(|i| batch.weight_of(*i as usize)).sum();
        Events { batch, picked: Some(Picked { indices: indices.into(), weight }), from: 0, to }
    }

    /// Which events of the batch these are, when not all.
    pub fn picks(&self) -> Option<Arc<[u32]>> {
        self.picked.as_ref().map(|p| p.indices.clone())
    }

    /// Whether both keep the same memory alive.
    pub fn is_of_the_batch_of(&self, other: &Events) -> bool {
        Arc::ptr_eq(&self.batch, &other.batch)
    }

    pub fn len(&self) -> usize {
        self.to - self.from
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        (self.from..self.to)
            .map(|i| self.batch.get(self.picked.as_ref().map_or(i, |p| p.indices[i] as usize)))
    }

    /// Cuts off the first `n` events and returns them.
    pub fn split_to(&mut self, n: usize) -> Events {
        let at = self.from + n.min(self.len());
        let front = Events { to: at, ..self.clone() };
        self.from = at;
        front
    }

    /// Bytes of memory to charge for these events: their share of what they were chosen with keeps alive, or of what
    /// is left of it after [`compact`](Events::compact) where they would be compacted.
    pub fn charge(&self) -> usize {
        let (weight, of) = self.weighed();
        let all = if self.wasteful() { weight } else { self.batch.pinned() };
        // In 64 bits: the product may not fit a 32-bit usize.
        let part = (all as u64 * self.len() as u64).div_ceil(of.max(1) as u64);
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// Whether these events use less than half of the buffers they would keep alive.
    fn wasteful(&self) -> bool {
        self.weighed().0 < self.batch.pinned().div_ceil(2)
    }

    /// Weight and number of the events that these were chosen with, of which they may be a part. Events differ in size:
    /// of a batch's weight, what was chosen for one channel may have nearly all in few events.
    fn weighed(&self) -> (usize, usize) {
        match &self.picked {
            Some(p) => (p.weight, p.indices.len()),
            None => (self.batch.weight(), self.batch.len()),
        }
    }

    /// The same events, copied out of buffers they would mostly waste.
    pub fn compact(self) -> Events {
        if !self.wasteful() {
            return self;
        }
        let mut copy = Batch::new();
        let values = |e: EventRef<'_>| e.headers().map(|(_, v)| v.len()).sum::<usize>();
        copy.own.reserve_exact(self.iter().map(|e| e.body().len() + values(e)).sum());
        copy.records.reserve_exact(self.len());
        for e in self.iter() {
            copy.push(Body::Copy(e.body()));
            for (k, v) in e.headers() {
                let v = copy.store(v);
                copy.push_header(k, v);
            }
        }
        Events::all(Arc::new(copy))
    }
}

//! Runs a stream decoder the way the event loop does, and holds it to the contract of `codec`.
//!
//! An input is fed whole, byte by byte, and cut at random places with small batches: events and fault must be the same.
//! `used` stays within the chunk, `Full` comes with events, `NeedMore` at the end leaves nothing over.

use crate::random::Random;
use crate::targets::{Signature, Verdict};
use flumed::codec::{BatchLimits, Chunk, Decoded, Fault, Then};
use flumed::event::{Batch, Buffer, EventRef};
use std::collections::hash_map::DefaultHasher;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Inputs up to this are fed byte by byte.
pub const SHORT: usize = 4096;

/// What a decoder may do beside the contract, and need not do.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Bytes may be left at the end of input.
    pub may_leave: bool,
    /// It ends batches where it is told to.
    pub has_small_batches: bool,
}

/// Of decoders of lines.
pub const LINES: Rules = Rules { may_leave: false, has_small_batches: true };

/// What a decoder made of an input: a hash of each event, and the fault.
#[derive(Default)]
struct Made {
    events: Vec<u64>,
    /// Of the events' kinds; of a few, for many would be endless.
    shapes: BTreeSet<u64>,
    fault: Option<Fault>,
    calls: usize,
}

impl Made {
    fn says_the_same(&self, other: &Made) -> bool {
        (&self.events, &self.fault) == (&other.events, &other.fault)
    }

    fn show(&self) -> String {
        let fault = self.fault.as_ref().map_or("none", |f| f.reason.as_str());
        format!("{} events, fault: {fault}", self.events.len())
    }
}

pub fn hash_of(e: &EventRef<'_>) -> u64 {
    let mut hash = DefaultHasher::new();
    e.body().hash(&mut hash);
    for (key, value) in e.headers() {
        (key.name(), value).hash(&mut hash);
    }
    hash.finish()
}

/// Which headers it has, and how large they and its body are.
fn shape_of(e: &EventRef<'_>) -> u64 {
    let mut s = Signature::default();
    s.count(e.body().len());
    for (key, value) in e.headers() {
        s.exact(key.name());
        s.count(value.len());
    }
    s.value()
}

/// Feeds these pieces and then the end of input.
fn pieces<D>(mut decode: D, pieces: &[&[u8]], limits: BatchLimits, rules: Rules) -> Result<Made, String>
where
    D: FnMut(&Chunk<'_>, bool, BatchLimits, &mut Batch) -> Decoded,
{
    let mut made = Made::default();
    let mut left: Vec<u8> = Vec::new();
    for (i, piece) in pieces.iter().chain([&&[][..]]).enumerate() {
        left.extend_from_slice(piece);
        // Bytes in front, as if they belonged to what was read before.
        let buffer = Buffer::owned([b"xyz", &left[..]].concat());
        let used = offer(&mut decode, &buffer, 3, buffer.len(), i == pieces.len(), limits, &mut made)?;
        if made.fault.is_some() {
            return Ok(made);
        }
        left.drain(..used);
    }
    match left.len() {
        0 => Ok(made),
        _ if rules.may_leave => Ok(made),
        n => Err(format!("leaves {n} bytes over at the end of input")),
    }
}

/// Byte by byte, in one buffer that fills up.
fn bytewise<D>(mut decode: D, input: &[u8], limits: BatchLimits) -> Result<Made, String>
where
    D: FnMut(&Chunk<'_>, bool, BatchLimits, &mut Batch) -> Decoded,
{
    let mut made = Made::default();
    let buffer = Buffer::owned(input.to_vec());
    let mut from = 0;
    for to in (1..=input.len()).chain([input.len()]).zip(1..) {
        let (to, n) = to;
        from += offer(&mut decode, &buffer, from, to, n > input.len(), limits, &mut made)?;
        if made.fault.is_some() {
            return Ok(made);
        }
    }
    Ok(made)
}

/// Offers `buffer[from..to]` until the decoder wants more; returns how many bytes it used.
fn offer<D>(
    decode: &mut D,
    buffer: &Arc<Buffer>,
    from: usize,
    to: usize,
    eof: bool,
    limits: BatchLimits,
    made: &mut Made,
) -> Result<usize, String>
where
    D: FnMut(&Chunk<'_>, bool, BatchLimits, &mut Batch) -> Decoded,
{
    let mut at = from;
    loop {
        made.calls += 1;
        let mut batch = Batch::new();
        let done = decode(&Chunk { buffer, from: at, to }, eof, limits, &mut batch);
        if done.used > to - at {
            return Err(format!("uses {} bytes of {}", done.used, to - at));
        }
        if batch.len() > limits.events.max(1) {
            return Err(format!("puts {} events where {} are allowed", batch.len(), limits.events));
        }
        at += done.used;
        for e in batch.iter() {
            made.events.push(hash_of(&e));
            if made.shapes.len() < 3 {
                made.shapes.insert(shape_of(&e));
            }
        }
        match done.then {
            Then::NeedMore => return Ok(at - from),
            Then::Full if batch.is_empty() => return Err("says Full without an event".to_owned()),
            Then::Full | Then::Pause => {}
            Then::Work(_) => unreachable!("who decodes calls does this itself"),
            Then::Call(call) => {
                let mut s = Signature::default();
                s.exact(format!("{call:?}"));
                made.events.push(s.value());
            }
            Then::Fail(fault) => {
                made.fault = Some(fault);
                return Ok(at - from);
            }
        }
    }
}

/// Feeds an input in several ways to decoders that `make` gives, and compares.
pub fn agree<D>(make: impl Fn() -> D, input: &[u8], limits: BatchLimits, rules: Rules) -> Verdict
where
    D: FnMut(&Chunk<'_>, bool, BatchLimits, &mut Batch) -> Decoded,
{
    let mut random = Random::of(input);
    let whole = pieces(make(), &[input], limits, rules)?;
    let cuts = random.split(input);
    let mut others = vec![("cut at random", pieces(make(), &cuts, limits, rules)?)];
    if input.len() <= SHORT {
        others.push(("byte by byte", bytewise(make(), input, limits)?));
    }
    if rules.has_small_batches {
        let few = BatchLimits { events: 1 + random.below(3), bytes: 1 + random.below(200) };
        others.push(("in small batches", pieces(make(), &[input], few, rules)?));
    }
    for (how, made) in &others {
        if !made.says_the_same(&whole) {
            return Err(format!("gives {} {how}, but whole {}", made.show(), whole.show()));
        }
    }
    let mut s = Signature::default();
    s.count(whole.events.len());
    s.exact(&whole.shapes);
    s.count(whole.calls);
    s.words(whole.fault.as_ref().map_or("", |f| f.reason.as_str()));
    Ok(s)
}

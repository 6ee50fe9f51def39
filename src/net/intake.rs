//! The unread bytes of one stream (a connection, the output of a command): through a pooled buffer, to the decoder.
//!
//! ```text
//!   tail / partial      bytes that completed nothing yet
//!        | read
//!   hand                a frozen buffer being decoded, batches point into it
//!        | rest
//!   tail / partial
//! ```
//! A small rest is copied into `tail` and its buffer goes back: a connection that waits holds no buffer. A larger one gets
//! memory of about its own size, a large one stays where it is; both grow in place, so a message fed byte by byte costs
//! linear time.

use crate::codec::Chunk;
use crate::event::{Buffer, BufferPool};
use std::io::{self, Read};
use std::sync::Arc;

/// A rest up to this size is kept in memory of its own size.
const SMALL: usize = 4096;

#[derive(Default)]
pub struct Intake {
    tail: Vec<u8>,
    partial: Option<(Vec<u8>, usize)>,
    hand: Option<(Arc<Buffer>, usize)>,
    /// The stream may have more to read.
    pub readable: bool,
    /// The other end has closed its side; nothing more comes.
    pub eof: bool,
}

impl Intake {
    /// A new socket may have something to read.
    pub fn of_new_socket() -> Intake {
        Intake { readable: true, ..Intake::default() }
    }

    /// How much may be read so that what is left of it needs no memory that is counted.
    pub fn small_room(&self) -> usize {
        match self.partial {
            Some(_) => 0,
            None => SMALL.saturating_sub(self.tail.len()),
        }
    }

    /// Reads once. Returns the number of bytes, 0 when there are none now or any more.
    pub fn read(
        &mut self,
        stream: &mut impl Read,
        pool: &Arc<BufferPool>,
        closing: bool,
    ) -> io::Result<usize> {
        self.read_some(stream, pool, closing, usize::MAX)
    }

    /// [`read`](Intake::read) of so many bytes at most, one at least.
    pub fn read_some(
        &mut self,
        stream: &mut impl Read,
        pool: &Arc<BufferPool>,
        closing: bool,
        most: usize,
    ) -> io::Result<usize> {
        debug_assert!(self.hand.is_none());
        let (mut bytes, filled) = match self.partial.take() {
            Some((bytes, filled)) if filled == bytes.len() => {
                let mut larger = vec![0; filled * 2];
                larger[..filled].copy_from_slice(&bytes);
                pool.give_back(bytes);
                (larger, filled)
            }
            Some(kept) => kept,
            None => {
                let mut bytes = pool.take();
                bytes[..self.tail.len()].copy_from_slice(&self.tail);
                let filled = std::mem::take(&mut self.tail).len();
                (bytes, filled)
            }
        };
        let space = (bytes.len() - filled).min(most.max(1));
        let n = loop {
            match stream.read(&mut bytes[filled..filled + space]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    self.keep(bytes, filled, pool);
                    return Ok(0);
                }
                Err(e) => {
                    self.readable = false;
                    self.keep(bytes, filled, pool);
                    return Err(e);
                }
                Ok(n) => break n,
            }
        };
        if n == 0 {
            self.eof = true;
            self.readable = false;
        } else if n < space && !closing {
            // A short read of a stream means that its receive buffer is empty (epoll(7)); new bytes bring a
            // new event. Only the end of the stream may hide behind it, which `closing` tells of.
            self.readable = false;
        }
        self.hand = Some((pool.freeze(bytes, filled + n), 0));
        Ok(n)
    }

    pub fn in_hand(&self) -> Option<Chunk<'_>> {
        self.hand.as_ref().map(|(buffer, from)| Chunk { buffer, from: *from, to: buffer.len() })
    }

    pub fn used(&mut self, n: usize) {
        if let Some((buffer, from)) = &mut self.hand {
            *from = (*from + n).min(buffer.len());
        }
    }

    /// The decoder needs more: puts what is in hand aside until more has come.
    pub fn put_rest_aside(&mut self, pool: &Arc<BufferPool>) {
        let Some((buffer, from)) = self.hand.take() else { return };
        let rest = buffer.len() - from;
        if rest == 0 {
            return;
        }
        if rest <= SMALL {
            self.tail = buffer[from..].to_vec();
            return;
        }
        let len = buffer.len();
        let fits = rest * 4 > pool.buffer_size();
        let whole = match Buffer::reclaim(buffer) {
            Ok(whole) if from == 0 && fits => return self.partial = Some((whole, len)),
            Ok(whole) => Ok(whole),
            Err(shared) => Err(shared),
        };
        let pooled = fits && rest * 2 <= pool.buffer_size();
        let mut bytes = if pooled { pool.take() } else { vec![0; rest * 2] };
        match whole {
            Ok(whole) => {
                bytes[..rest].copy_from_slice(&whole[from..len]);
                pool.give_back(whole);
            }
            Err(shared) => bytes[..rest].copy_from_slice(&shared[from..]),
        }
        self.partial = Some((bytes, rest));
    }

    fn keep(&mut self, bytes: Vec<u8>, filled: usize, pool: &Arc<BufferPool>) {
        if filled <= SMALL {
            self.tail = bytes[..filled].to_vec();
            pool.give_back(bytes);
        } else if filled * 4 <= pool.buffer_size() && bytes.len() > filled * 2 {
            let mut own = vec![0; filled * 2];
            own[..filled].copy_from_slice(&bytes[..filled]);
            pool.give_back(bytes);
            self.partial = Some((own, filled));
        } else {
            self.partial = Some((bytes, filled));
        }
    }

    /// Bytes of memory the next read takes in addition.
    pub fn next_read(&self, pool: &BufferPool) -> usize {
        match &self.partial {
            Some((bytes, filled)) if *filled == bytes.len() => bytes.len(),
            Some(_) => 0,
            None => pool.buffer_size(),
        }
    }

    /// Whether a message that is not complete holds a buffer.
    pub fn holds_buffer(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes that wait for the rest of their message.
    pub fn unfinished(&self) -> usize {
        self.tail.len() + self.partial.as_ref().map_or(0, |(_, filled)| *filled)
    }

    /// Bytes of the buffers held; a small rest has none.
    pub fn memory(&self) -> usize {
        self.partial.as_ref().map_or(0, |(b, _)| b.len()) + self.hand.as_ref().map_or(0, |(b, _)| b.pinned())
    }

    pub fn discard(&mut self) {
        self.tail = Vec::new();
        self.partial = None;
        self.hand = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds reads of the given sizes and takes only complete 7000-byte records.
    #[test]
    fn records_survive_any_cut() {
        let record: Vec<u8> = (0..7000u32).map(|i| i as u8).collect();
        let stream = record.repeat(9);
        for step in [1000usize, 3000, 6999, 7001, 20_000] {
            let pool = BufferPool::new(16_384, 4);
            let mut intake = Intake { readable: true, ..Intake::default() };
            let mut got = 0;
            for piece in stream.chunks(step) {
                let mut socket = piece;
                while !socket.is_empty() {
                    intake.read(&mut socket, &pool, false).unwrap();
                    while let Some(c) = intake.in_hand().filter(|c| c.bytes().len() >= 7000) {
                        assert_eq!(&c.bytes()[..7000], &record[..]);
                        got += 1;
                        intake.used(7000);
                    }
                    intake.put_rest_aside(&pool);
                }
            }
            assert_eq!((got, intake.unfinished()), (9, 0), "step {step}");
        }
    }

    #[test]
    fn a_small_rest_holds_no_buffer_and_a_large_one_grows() {
        let pool = BufferPool::new(16_384, 4);
        let mut intake = Intake::default();
        intake.read(&mut &b"abc"[..], &pool, false).unwrap();
        intake.put_rest_aside(&pool);
        assert_eq!((intake.memory(), intake.tail.capacity()), (0, 3));
        let long = vec![b'x'; 40_000];
        let mut socket = &long[..];
        while !socket.is_empty() {
            intake.read(&mut socket, &pool, false).unwrap();
            intake.put_rest_aside(&pool);
        }
        assert_eq!(intake.unfinished(), 40_003);
        assert!(intake.memory() <= 4 * 40_003);
    }
}

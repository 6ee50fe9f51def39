//! Frames: what a segment holds behind its header. A frame is a header of 64 bytes, a payload, and zeros up to a multiple
//! of eight bytes. All numbers are little-endian.
//!
//! ```text
//!  0  4  CRC-32 of bytes 4 to 64
//!  4  4  CRC-32 of the payload as it is stored
//!  8  8  synced: every byte of this segment below this offset was durable when the frame was written
//! 16  8  identity: the first eight bytes of the segment's; tells these bytes from those of an earlier use of the file
//! 24  8  offset of this frame in its file; tells a frame from a copy of one inside an event
//! 32  8  put: number of the first event            start: sequence number of the segment before
//! 40  4  put: how many events    take: how many intervals
//! 44  4  length of the payload
//! 48  1  kind: 1 put, 2 take, 3 start
//! 49  1  flags: 1 the transaction goes on in the next put frame, 2 it began in the one before
//! 50  6  zero
//! 56  8  when it was written, ms since the epoch
//! ```
//!
//! A take's payload: for each interval the first number (8 bytes) and how many (4 bytes). A start's payload: where the
//! segment before ends (8 bytes); nothing above that is ever read again. A put's: see `payload`. In an encrypted segment
//! the payload is sealed (see `crypt`), and bytes 16 to 64 of the header are authenticated with it.
//!
//! Bytes only; knows no files. No locks.

use std::ops::Range;

pub const HEADER: usize = 64;
/// Where frames may begin.
pub const ALIGN: u64 = 8;
/// A transaction above this becomes a chain of frames; an event that is larger has a frame of its own.
pub const TARGET: usize = 8 << 20;
/// A payload above this is not one of ours.
pub const LARGEST: usize = 1 << 30;

/// Bytes of an event without body and headers, see `payload`.
const LEAST_EVENT: u32 = 6;
/// Bytes of an interval of a take.
const INTERVAL: u32 = 12;

/// No event has a higher number: nothing that is added to one overflows.
pub const LAST: u64 = 1 << 62;

pub const GOES_ON: u8 = 1;
pub const FOLLOWS: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Put,
    Take,
    Start,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub payload_crc: u32,
    pub synced: u64,
    pub identity: u64,
    pub offset: u64,
    pub first: u64,
    pub count: u32,
    pub len: u32,
    pub kind: Kind,
    pub flags: u8,
    pub time: u64,
}

/// What the bytes at a frame's place are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    Frame(Header),
    /// Not a header of this segment and place.
    Nothing,
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

pub fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

impl Header {
    /// Writes the header to the first 64 bytes of `to`.
    pub fn write(&self, to: &mut [u8]) {
        to[4..8].copy_from_slice(&self.payload_crc.to_le_bytes());
        to[8..16].copy_from_slice(&self.synced.to_le_bytes());
        to[16..24].copy_from_slice(&self.identity.to_le_bytes());
        to[24..32].copy_from_slice(&self.offset.to_le_bytes());
        to[32..40].copy_from_slice(&self.first.to_le_bytes());
        to[40..44].copy_from_slice(&self.count.to_le_bytes());
        to[44..48].copy_from_slice(&self.len.to_le_bytes());
        to[48] = match self.kind {
            Kind::Put => 1,
            Kind::Take => 2,
            Kind::Start => 3,
        };
        to[49] = self.flags;
        to[50..56].fill(0);
        to[56..64].copy_from_slice(&self.time.to_le_bytes());
        let crc = crc32fast::hash(&to[4..HEADER]);
        to[..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header at the start of `b`, which stands at `offset` in a segment of this identity.
    pub fn read(b: &[u8], identity: u64, offset: u64) -> Seen {
        if b.len() < HEADER || u64_at(b, 16) != identity || u64_at(b, 24) != offset {
            return Seen::Nothing;
        }
        let kind = match b[48] {
            1 => Kind::Put,
            2 => Kind::Take,
            3 => Kind::Start,
            _ => return Seen::Nothing,
        };
        if crc32fast::hash(&b[4..HEADER]) != u32_at(b, 0) {
            return Seen::Nothing;
        }
        let h = Header {
            payload_crc: u32_at(b, 4),
            synced: u64_at(b, 8),
            identity,
            offset,
            first: u64_at(b, 32),
            count: u32_at(b, 40),
            len: u32_at(b, 44),
            kind,
            flags: b[49],
            time: u64_at(b, 56),
        };
        match h.len as usize <= LARGEST && h.first <= LAST && h.count <= h.most() {
            true => Seen::Frame(h),
            false => Seen::Nothing,
        }
    }

    /// What a payload of this length has room for: a larger count would stand for numbers that nobody can have.
    fn most(&self) -> u32 {
        match self.kind {
            Kind::Put => self.len / LEAST_EVENT,
            Kind::Take => self.len / INTERVAL,
            Kind::Start => u32::MAX,
        }
    }

    /// Bytes 16 to 64: what encryption authenticates.
    #[cfg(feature = "encryption")]
    pub fn associated(header: &[u8]) -> &[u8] {
        &header[16..HEADER]
    }

    /// Bytes of the whole frame, padding included.
    pub fn size(&self) -> u64 {
        frame_size(self.len as usize)
    }

    pub fn end(&self) -> u64 {
        self.offset + self.size()
    }

    /// Of a put.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + u64::from(self.count)
    }
}

/// Bytes of a frame with a payload of this length.
pub fn frame_size(payload: usize) -> u64 {
    (HEADER + payload).next_multiple_of(ALIGN as usize) as u64
}

/// The payload of a take.
pub fn encode_take(intervals: &[(u64, u32)], out: &mut Vec<u8>) {
    for (first, count) in intervals {
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
}

/// The intervals of a take; `None` when the payload is not of that form.
pub fn decode_take(payload: &[u8], count: u32) -> Option<impl Iterator<Item = Range<u64>> + '_> {
    let is_whole = payload.len() as u64 == u64::from(count) * 12;
    is_whole.then(|| {
        let one = |c: &[u8]| (u64_at(c, 0), u64::from(u32_at(c, 8)));
        payload
            .chunks_exact(12)
            .map(one)
            .filter(|(first, _)| *first <= LAST)
            .map(|(first, n)| first..first + n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Header = Header {
        payload_crc: 0x01020304,
        synced: 128,
        identity: 0x1122334455667788,
        offset: 4096,
        first: 7,
        count: 3,
        len: 21,
        kind: Kind::Put,
        flags: GOES_ON,
        time: 1_700_000_000_000,
    };

    #[test]
    fn a_header_is_read_as_written_and_nowhere_else() {
        let mut b = [0xee; HEADER];
        EXAMPLE.write(&mut b);
        assert_eq!(Header::read(&b, EXAMPLE.identity, 4096), Seen::Frame(EXAMPLE));
        assert_eq!((EXAMPLE.size(), EXAMPLE.end(), EXAMPLE.numbers()), (88, 4184, 7..10));
        assert_eq!(Header::read(&b, EXAMPLE.identity, 4104), Seen::Nothing, "a copy in another place");
        assert_eq!(Header::read(&b, 1, 4096), Seen::Nothing, "from an earlier use of the file");
        assert_eq!(Header::read(&b[..63], EXAMPLE.identity, 4096), Seen::Nothing);
        for bit in 0..HEADER * 8 {
            let mut c = b;
            c[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::read(&c, EXAMPLE.identity, 4096), Seen::Nothing, "bit {bit}");
        }
    }

    #[test]
    fn no_frame_has_more_than_its_payload_can_hold() {
        let mut b = [0; HEADER];
        for (kind, len, most) in [(Kind::Put, 21, 3), (Kind::Take, 21, 1), (Kind::Put, 0, 0)] {
            for (count, is_frame) in [(most, true), (most + 1, false), (u32::MAX, false)] {
                let h = Header { kind, len, count, ..EXAMPLE };
                h.write(&mut b);
                assert_eq!(Header::read(&b, h.identity, h.offset) == Seen::Frame(h), is_frame, "{h:?}");
            }
        }
    }

    #[test]
    fn takes_are_intervals() {
        let mut p = Vec::new();
        encode_take(&[(5, 2), (100, 1)], &mut p);
        assert_eq!(p.len(), 24);
        assert_eq!(decode_take(&p, 2).unwrap().collect::<Vec<_>>(), [5..7, 100..101]);
        assert!(decode_take(&p, 1).is_none() && decode_take(&p[..23], 2).is_none());
    }
}

//! One zlib stream per direction of a connection, as `compression-type = deflate` has it (reference, wire.md 1.6).
//!
//! What is sent is complete for its reader after every write (a sync flush). A stream that ends without its last block,
//! as the connection closes, has simply ended. Streams are read and written through whatever is given with each call:
//! sockets that block or that do not, or bytes in memory.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io::{self, Read, Write};

/// What is read at once.
const PIECE: usize = 16 << 10;
/// What a call takes in without anything to give out. A sender of blocks that are all empty would keep it busy for ever.
const MOST_EMPTY: usize = 256 << 10;
/// What a stored block holds at most (RFC 1951, 3.2.4).
const BLOCK: usize = 0xffff;

/// Reads one direction. From its first bytes on it takes some 44 KB, which stay as long as the stream may go on: blocks
/// to come may refer to the last 32 KiB of text.
#[derive(Default)]
pub struct Inflater {
    /// Made when something has come, given back at the end.
    stream: Option<Decompress>,
    /// Read and not inflated yet.
    rest: Vec<u8>,
    /// The last call made something: there may be more, also where all that was read is used and `out` was not filled.
    has_more: bool,
    has_ended: bool,
}

impl Inflater {
    /// Fills some of `out`, reading from `from` as needed; 0 at the end. What the stream expands to beyond `out` is for
    /// later calls.
    pub fn read(&mut self, from: &mut (impl Read + ?Sized), out: &mut [u8]) -> io::Result<usize> {
        let mut piece = [0; PIECE];
        let mut empty = 0;
        while !self.has_ended {
            if self.has_more || !self.rest.is_empty() {
                let rest = std::mem::take(&mut self.rest);
                let (used, made) = self.inflate(&rest, out)?;
                self.rest = if used < rest.len() { rest[used..].to_vec() } else { Vec::new() };
                if made > 0 {
                    return Ok(made);
                }
                if used > 0 {
                    continue;
                }
            }
            let n = from.read(&mut piece)?;
            if n == 0 {
                return Ok(0);
            }
            if empty > MOST_EMPTY {
                let what = format!("a deflate stream with nothing in {empty} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            empty += n;
            let (used, made) = self.inflate(&piece[..n], out)?;
            self.rest = piece[used..n].to_vec();
            if made > 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }

    /// Returns how many bytes were used, and made.
    fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let stream = self.stream.get_or_insert_with(|| Decompress::new(true));
        let (used, made) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, out, FlushDecompress::None).map_err(|e| {
            let what = format!("no deflate stream, which compression-type asks for on both ends: {e}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        let used = (stream.total_in() - used) as usize;
        let made = (stream.total_out() - made) as usize;
        self.has_ended = status == Status::StreamEnd;
        self.has_more = made > 0 && !self.has_ended;
        self.stream.take_if(|_| self.has_ended);
        Ok((used, made))
    }
}

/// Writes one direction, compressed.
pub struct Deflater {
    stream: Compress,
    out: Vec<u8>,
}

impl Deflater {
    /// `level`: 0 (stored) to 9.
    pub fn new(level: u32) -> Deflater {
        Deflater { stream: Compress::new(Compression::new(level.min(9)), true), out: Vec::new() }
    }

    /// Writes all of `bytes`, so that the other end can read all of it.
    pub fn write_all(&mut self, to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let mut used = 0;
        loop {
            self.out.clear();
            self.out.reserve(PIECE);
            let before = self.stream.total_in();
            self.stream
                .compress_vec(&bytes[used..], &mut self.out, FlushCompress::Sync)
                .map_err(|e| io::Error::other(format!("deflate: {e}")))?;
            used += (self.stream.total_in() - before) as usize;
            let is_done = used == bytes.len() && self.out.len() < self.out.capacity();
            to.write_all(&self.out)?;
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Adds `bytes` to a stream of stored blocks: it takes no memory for a connection's state, and answers are too short to
/// be worth more. `begins`: nothing was written to it before.
pub fn put_stored(begins: bool, bytes: &[u8], out: &mut Vec<u8>) {
    if begins {
        out.extend_from_slice(&[0x78, 0x01]);
    }
    for block in bytes.chunks(BLOCK) {
        let n = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&n.to_le_bytes());
        out.extend_from_slice(&(!n).to_le_bytes());
        out.extend_from_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, and now and then none for the moment.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = self.0.len().min(7).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(stream: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let (mut z, mut slow) = (Inflater::default(), Slow(stream, 0));
        let (mut all, mut out) = (Vec::new(), vec![0; room]);
        loop {
            match z.read(&mut slow, &mut out) {
                Ok(0) => return Ok(all),
                Ok(n) => all.extend_from_slice(&out[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    #[test]
    fn only_a_stream_that_goes_on_takes_memory() {
        let mut stream = Vec::new();
        put_stored(true, b"text", &mut stream);
        let (mut z, mut out) = (Inflater::default(), [0; 100]);
        let nothing_yet = z.read(&mut Slow(&[], 2), &mut out).unwrap_err();
        assert_eq!((nothing_yet.kind(), z.stream.is_some()), (io::ErrorKind::WouldBlock, false));
        assert_eq!((z.read(&mut &stream[..], &mut out).unwrap(), z.stream.is_some()), (4, true));
        // An empty last block, and the checksum.
        let end = [&[1, 0, 0, 0xff, 0xff][..], &0x0467_01c6u32.to_be_bytes()].concat();
        assert_eq!((z.read(&mut &end[..], &mut out).unwrap(), z.stream.is_some()), (0, false));
    }

    #[test]
    fn streams_survive_at_every_level_and_with_any_room() {
        let text: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for level in [0, 1, 6, 9] {
            let (mut z, mut stream) = (Deflater::new(level), Vec::new());
            for piece in text.chunks(33_333) {
                z.write_all(&mut stream, piece).unwrap();
            }
            assert_eq!(stream[0], 0x78);
            for room in [1, 100, 70_000] {
                assert_eq!(all(&stream, room).unwrap(), text, "level {level}, room {room}");
            }
        }
        let mut stored = Vec::new();
        put_stored(true, &text, &mut stored);
        put_stored(false, b"more", &mut stored);
        assert_eq!(all(&stored, 1000).unwrap(), [&text[..], b"more"].concat());
    }

    #[test]
    fn every_write_can_be_read_at_once() {
        let (mut z, mut stream, mut reader) = (Deflater::new(6), Vec::new(), Inflater::default());
        let mut out = [0; 100];
        for text in [&b"first"[..], b"second", b"third"] {
            stream.clear();
            z.write_all(&mut stream, text).unwrap();
            assert!(stream.ends_with(&[0, 0, 0xff, 0xff]));
            let n = reader.read(&mut &stream[..], &mut out).unwrap();
            assert_eq!(&out[..n], text);
        }
    }

    #[test]
    fn javas_stream_is_read_to_its_end() {
        // What a Java client that says nothing sends as it closes.
        assert_eq!(all(&[0x78, 0x9c, 3, 0, 0, 0, 0, 1], 10).unwrap(), b"");
    }

    #[test]
    fn a_bomb_fills_no_more_than_it_is_given_room_for() {
        let (mut z, mut stream) = (Deflater::new(9), Vec::new());
        z.write_all(&mut stream, &vec![0; 50 << 20]).unwrap();
        let (mut reader, mut out, mut total) = (Inflater::default(), vec![0; 4096], 0);
        let mut from = &stream[..];
        while total < 50 << 20 {
            let n = reader.read(&mut from, &mut out).unwrap();
            assert!(n > 0 && reader.rest.len() <= PIECE);
            total += n;
        }
        assert_eq!(total, 50 << 20);
    }

    #[test]
    fn blocks_without_end_that_hold_nothing_are_an_error() {
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                for b in out.iter_mut() {
                    *b = [0x78, 1].into_iter().chain([0, 0, 0, 0xff, 0xff]).nth(self.0).expect("of seven");
                    self.0 = if self.0 == 6 { 2 } else { self.0 + 1 };
                }
                Ok(out.len())
            }
        }
        let got = Inflater::default().read(&mut Endless(0), &mut [0; 100]);
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn all_that_has_come_can_be_read_though_the_window_ends() {
        // Found by fuzzing: the decoder's window of 32 KiB ends within what the last byte stands for.
        let stream = &include_bytes!("../../tests/data/fuzz/inflate/window-end")[4..];
        for room in [4096, 10_000, 1 << 20] {
            for piece in 1..20 {
                let (mut reader, mut out, mut total) = (Inflater::default(), vec![0; room], 0);
                for mut bytes in stream.chunks(piece) {
                    while let n @ 1.. = reader.read(&mut bytes, &mut out).unwrap() {
                        total += n;
                    }
                }
                assert_eq!(total, 394_224, "pieces of {piece}, room for {room}");
            }
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        for bytes in
            [&b"\x00\x00\x00\x01\x00\x00\x00\x02"[..], b"GET / HTTP/1.1\r\n", b"\x78\x9c\xff\xff\xff"]
        {
            assert_eq!(all(bytes, 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}

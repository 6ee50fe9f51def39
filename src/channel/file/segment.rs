//! Segments: the files of a data directory, their names and their header.
//!
//! `segment-N` holds frames from byte 128 on; N grows and is not used twice. `spare-N` is a file that was written once
//! and holds nothing: room that needs no allocation. A segment's header:
//!
//! ```text
//!   0  8  "flumeseg"
//!   8  4  CRC-32 of bytes 12 to 128
//!  12  4  format version
//!  16 16  identity: random, new at every use of the file
//!  32 16  the channel
//!  48 16  the data directory
//!  64  8  N
//!  72  8  when it was begun, ms since the epoch
//!  80  8  name of the master key; zeros: not encrypted
//!  88 40  zeros
//! ```
//!
//! A segment is made under a name that counts for nothing (`spare-N`), synced, renamed, and the directory is synced. So
//! a `segment-N` that is there has a whole header. Knows nothing of frames. No locks.

use super::fs::{Fs, FsFile};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub const MAGIC: &[u8; 8] = b"flumeseg";
pub const VERSION: u32 = 1;
/// Where the first frame is.
pub const BEGIN: u64 = 128;

pub type Id = [u8; 16];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    pub identity: Id,
    pub channel: Id,
    pub dir: Id,
    pub seq: u64,
    pub begun: u64,
    /// Zeros: not encrypted.
    pub key: [u8; 8],
}

/// Why a file is no segment of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotASegment {
    /// Of a later version, which is not to be touched.
    Newer(u32),
    Damaged,
}

impl SegmentHeader {
    /// What frames carry of the identity.
    pub fn short_identity(&self) -> u64 {
        super::frame::u64_at(&self.identity, 0)
    }

    pub fn is_encrypted(&self) -> bool {
        self.key != [0; 8]
    }

    pub fn encode(&self) -> [u8; BEGIN as usize] {
        let mut b = [0; BEGIN as usize];
        b[..8].copy_from_slice(MAGIC);
        b[12..16].copy_from_slice(&VERSION.to_le_bytes());
        b[16..32].copy_from_slice(&self.identity);
        b[32..48].copy_from_slice(&self.channel);
        b[48..64].copy_from_slice(&self.dir);
        b[64..72].copy_from_slice(&self.seq.to_le_bytes());
        b[72..80].copy_from_slice(&self.begun.to_le_bytes());
        b[80..88].copy_from_slice(&self.key);
        let crc = crc32fast::hash(&b[12..]);
        b[8..12].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub fn decode(b: &[u8]) -> Result<SegmentHeader, NotASegment> {
        let b: &[u8; BEGIN as usize] =
            b.get(..BEGIN as usize).and_then(|b| b.try_into().ok()).ok_or(NotASegment::Damaged)?;
        let id = |at: usize| <Id>::try_from(&b[at..at + 16]).unwrap_or_default();
        let n = |at: usize| super::frame::u64_at(b, at);
        if &b[..8] != MAGIC || crc32fast::hash(&b[12..]).to_le_bytes() != b[8..12] {
            return Err(NotASegment::Damaged);
        }
        let version = n(12) as u32;
        if version != VERSION {
            return Err(NotASegment::Newer(version));
        }
        let key = n(80).to_le_bytes();
        Ok(SegmentHeader { identity: id(16), channel: id(32), dir: id(48), seq: n(64), begun: n(72), key })
    }

    /// Reads the header of an open file.
    pub fn read(file: &dyn FsFile) -> io::Result<Result<SegmentHeader, NotASegment>> {
        let mut b = [0; BEGIN as usize];
        let n = read_full(file, &mut b, 0)?;
        Ok(SegmentHeader::decode(&b[..n]))
    }
}

pub fn segment_name(seq: u64) -> String {
    format!("segment-{seq}")
}

pub fn spare_name(n: u64) -> String {
    format!("spare-{n}")
}

/// No file of ours has a higher number: nothing that is added to one overflows.
const LAST: u64 = 1 << 62;

/// N of `<what>-N`.
pub fn number_of(name: &str, what: &str) -> Option<u64> {
    let digits = name.strip_prefix(what)?.strip_prefix('-')?;
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    number.filter(|n| *n <= LAST)
}

/// Reads until the buffer is full or the file ends; returns how many bytes.
pub fn read_full(file: &dyn FsFile, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match file.read_at(&mut buf[n..], at + n as u64) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

pub fn write_all(file: &dyn FsFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(&[IoSlice::new(bytes)], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes a file of zeros that counts for nothing, so that later writes to it need no new room.
pub fn make_spare(fs: &dyn Fs, path: &Path, size: u64) -> io::Result<()> {
    let file = fs.create(path)?;
    let zeros = vec![0; 256 << 10];
    let made = (|| {
        let mut at = 0;
        while at < size {
            let n = (size - at).min(zeros.len() as u64);
            write_all(file.as_ref(), &zeros[..n as usize], at)?;
            at += n;
        }
        file.sync()
    })();
    if made.is_err() {
        // Half a spare holds room that others need.
        let _ = fs.remove(path);
    }
    made
}

/// Makes a spare, one that is there or a new one, the segment of this header.
pub fn begin(
    fs: &dyn Fs,
    dir: &Path,
    spare: &str,
    is_new: bool,
    header: &SegmentHeader,
) -> io::Result<Arc<dyn FsFile>> {
    let spare = dir.join(spare);
    let file = if is_new { fs.create(&spare)? } else { fs.open(&spare, true)? };
    let made = (|| {
        write_all(file.as_ref(), &header.encode(), 0)?;
        file.sync()?;
        fs.rename(&spare, &dir.join(segment_name(header.seq)))?;
        fs.sync_dir(dir)
    })();
    if made.is_err() {
        // Under whichever name: it holds nothing.
        let _ = fs.remove(&spare);
        let _ = fs.remove(&dir.join(segment_name(header.seq)));
    }
    made.map(|()| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_written_and_any_change_shows() {
        let h = SegmentHeader {
            identity: [1; 16],
            channel: [2; 16],
            dir: [3; 16],
            seq: 9,
            begun: 5,
            key: [4; 8],
        };
        let b = h.encode();
        assert_eq!(SegmentHeader::decode(&b), Ok(h));
        for bit in 0..b.len() * 8 {
            let mut c = b;
            c[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&c), Err(NotASegment::Damaged), "bit {bit}");
        }
        let mut newer = b;
        newer[12] = 2;
        let crc = crc32fast::hash(&newer[12..]);
        newer[8..12].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&newer), Err(NotASegment::Newer(2)));
    }

    #[test]
    fn names_are_numbers() {
        assert_eq!(number_of("segment-17", "segment"), Some(17));
        for other in [
            "segment-",
            "segment-+1",
            "segment-1x",
            "spare-1",
            "segment1",
            "segment-99999999999999999999",
            "segment-18446744073709551615",
        ] {
            assert_eq!(number_of(other, "segment"), None, "{other}");
        }
    }
}

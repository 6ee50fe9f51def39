//! Which channel a data directory belongs to, and which directories the channel has: the file `channel` in each of them.
//!
//! ```text
//!   0  8  "flumedir"
//!   8  4  CRC-32 of bytes 12 to the end
//!  12  4  format version
//!  16 16  the channel
//!  32 16  this directory
//!  48  8  how many directories the channel has, then for each: 16 its id, 8 length of its path, the path
//! ```
//!
//! With it a directory of another channel, and one that is missing, are told from one that is empty. Written once, and
//! again when the channel gets another directory: to a temporary name, synced, renamed. No locks.

use super::frame::u64_at;
use super::fs::Fs;
use super::segment::{read_full, write_all, Id, NotASegment};
use std::io;
use std::path::Path;

const MAGIC: &[u8; 8] = b"flumedir";
const VERSION: u32 = 1;
pub const NAME: &str = "channel";
const TEMPORARY: &str = "channel.tmp";
const LARGEST: u64 = 1 << 20;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub channel: Id,
    pub dir: Id,
    /// Every directory of the channel, and where it was.
    pub dirs: Vec<(Id, String)>,
}

impl Identity {
    fn encode(&self) -> Vec<u8> {
        let mut b = MAGIC.to_vec();
        b.extend_from_slice(&[0; 4]);
        b.extend_from_slice(&VERSION.to_le_bytes());
        b.extend_from_slice(&self.channel);
        b.extend_from_slice(&self.dir);
        b.extend_from_slice(&(self.dirs.len() as u64).to_le_bytes());
        for (id, path) in &self.dirs {
            b.extend_from_slice(id);
            b.extend_from_slice(&(path.len() as u64).to_le_bytes());
            b.extend_from_slice(path.as_bytes());
        }
        let crc = crc32fast::hash(&b[12..]);
        b[8..12].copy_from_slice(&crc.to_le_bytes());
        b
    }

    fn decode(b: &[u8]) -> Result<Identity, NotASegment> {
        if b.len() < 56 || &b[..8] != MAGIC || crc32fast::hash(&b[12..]).to_le_bytes() != b[8..12] {
            return Err(NotASegment::Damaged);
        }
        let version = u64_at(b, 12) as u32;
        if version != VERSION {
            return Err(NotASegment::Newer(version));
        }
        let id =
            |at: usize| b.get(at..at + 16).and_then(|b| Id::try_from(b).ok()).ok_or(NotASegment::Damaged);
        let mut dirs = Vec::new();
        let mut at = 56;
        for _ in 0..u64_at(b, 48).min(LARGEST) {
            let dir = id(at)?;
            let len = b.get(at + 16..at + 24).map(|n| u64_at(n, 0)).filter(|n| *n <= LARGEST);
            let path = len.and_then(|n| b.get(at + 24..at + 24 + n as usize)).ok_or(NotASegment::Damaged)?;
            dirs.push((dir, String::from_utf8_lossy(path).into_owned()));
            at += 24 + path.len();
        }
        Ok(Identity { channel: id(16)?, dir: id(32)?, dirs })
    }

    /// The identity of a directory; `None`: it has none yet.
    pub fn read(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Result<Identity, NotASegment>>> {
        let file = match fs.open(&dir.join(NAME), false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut b = vec![0; file.len()?.min(LARGEST) as usize];
        let n = read_full(file.as_ref(), &mut b, 0)?;
        Ok(Some(Identity::decode(&b[..n])))
    }

    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(TEMPORARY);
        match fs.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = fs.create(&temporary)?;
        write_all(file.as_ref(), &self.encode(), 0)?;
        file.sync()?;
        fs.rename(&temporary, &dir.join(NAME))?;
        fs.sync_dir(dir)
    }
}

/// For people.
pub fn short(id: &Id) -> String {
    id[..4].iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_written_and_any_change_shows() {
        let dirs = vec![([2; 16], "/data/a".to_owned()), ([3; 16], "/data/\u{e4}".to_owned())];
        let i = Identity { channel: [1; 16], dir: [2; 16], dirs };
        let b = i.encode();
        assert_eq!(Identity::decode(&b), Ok(i));
        for at in 0..b.len() {
            let mut c = b.clone();
            c[at] ^= 1;
            assert_eq!(Identity::decode(&c), Err(NotASegment::Damaged));
            assert_eq!(Identity::decode(&b[..at]), Err(NotASegment::Damaged));
        }
    }
}

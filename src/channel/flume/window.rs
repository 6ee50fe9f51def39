//! Reads a file through a window that moves over it: what is near the last read costs no system call.
//!
//! A window holds what is asked for, and never reaches past the end of the used part of the file: Flume extends data
//! files in steps of 1 MiB filled with 0x80, and no record ends in that byte.

use super::record::END;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of an ordinary read.
const CHUNK: usize = 128 << 10;
/// A window that had to grow for a large record is given back above this.
const KEPT: usize = 1 << 20;

pub(super) struct Window {
    file: File,
    bytes: Vec<u8>,
    /// Where in the file `bytes` begin.
    from: u64,
    end: u64,
}

impl Window {
    /// The file up to its last byte that is not 0x80.
    pub(super) fn open(path: &Path) -> io::Result<Window> {
        let mut window = Window::whole(path)?;
        let mut end = window.end;
        while end > 0 {
            let from = end.saturating_sub(CHUNK as u64);
            let bytes = window.at(from, (end - from) as usize)?;
            match bytes.iter().rposition(|b| *b != END) {
                Some(last) => {
                    end = from + last as u64 + 1;
                    break;
                }
                None => end = from,
            }
        }
        window.end = end;
        window.bytes.truncate(end.saturating_sub(window.from) as usize);
        Ok(window)
    }

    /// The file with all its bytes.
    pub(super) fn whole(path: &Path) -> io::Result<Window> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        Ok(Window { file, bytes: Vec::new(), from: 0, end })
    }

    /// Bytes of the file that are in use.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// `want` bytes from `offset` on, fewer at the end of the file.
    pub(super) fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let held = self.from + self.bytes.len() as u64;
        if offset < self.from || offset + want as u64 > held {
            // Going back is a matter of transactions that were written side by side: the next step back is near.
            let from = if offset < self.from { offset.saturating_sub(CHUNK as u64 / 4) } else { offset };
            self.fill(from, want + (offset - from) as usize)?;
        }
        // The file may have become shorter than it was.
        let start = ((offset - self.from) as usize).min(self.bytes.len());
        let stop = (start + want).min(self.bytes.len());
        Ok(&self.bytes[start..stop])
    }

    fn fill(&mut self, from: u64, want: usize) -> io::Result<()> {
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let len = want.max(CHUNK).min(left);
        self.bytes.clear();
        if len <= KEPT {
            self.bytes.shrink_to(KEPT);
        }
        self.bytes.resize(len, 0);
        self.from = from;
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut self.bytes[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.bytes.clear();
                    return Err(e);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// The most files that are open at once while events are handed out: it takes one a dataDir.
const OPEN_FILES: usize = 8;

/// Files being read in turns.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// With the caller's number for each; the one used last stands last.
    windows: Vec<(usize, Window)>,
}

impl OpenFiles {
    pub(super) fn get(&mut self, number: usize, path: &Path) -> io::Result<&mut Window> {
        match self.windows.iter().position(|(n, _)| *n == number) {
            Some(at) => self.windows[at..].rotate_left(1),
            None => {
                let window = Window::open(path)?;
                if self.windows.len() == OPEN_FILES {
                    self.windows.remove(0);
                }
                self.windows.push((number, window));
            }
        }
        let last = self.windows.len() - 1;
        Ok(&mut self.windows[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::TempDir;

    fn file(content: &[u8]) -> (TempDir, std::path::PathBuf) {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        (dir, path)
    }

    #[test]
    fn reads_forth_and_back_and_stops_at_the_end() {
        let content: Vec<u8> = (0..300_000u32).map(|i| (i % 127) as u8).collect();
        let (_dir, path) = file(&content);
        let mut window = Window::open(&path).unwrap();
        for (offset, want) in
            [(0, 10), (200_000, 150_000), (199_990, 20), (50_000, 1), (299_999, 5), (7, 290_000)]
        {
            let end = content.len().min(offset + want);
            assert_eq!(window.at(offset as u64, want).unwrap(), &content[offset..end]);
        }
        assert_eq!(window.at(300_000, 5).unwrap(), b"");
        assert_eq!(window.at(u64::MAX, 5).unwrap(), b"");
    }

    #[test]
    fn the_file_used_longest_ago_is_closed_first() {
        let (_dir, path) = file(b"x");
        let mut open = OpenFiles::default();
        for number in [0, 1, 2, 3, 4, 5, 6, 7, 0, 8] {
            assert_eq!(open.get(number, &path).unwrap().at(0, 9).unwrap(), b"x");
        }
        let numbers: Vec<usize> = open.windows.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 0, 8]);
    }

    #[test]
    fn the_fill_behind_the_end_is_not_seen() {
        for (used, fill) in [(0, 0), (0, 10), (5, 0), (5, 200_000), (140_000, 131_072), (131_072, 131_072)] {
            let mut content = vec![1; used];
            content.resize(used + fill, END);
            let (_dir, path) = file(&content);
            let mut window = Window::open(&path).unwrap();
            assert_eq!(window.end(), used as u64);
            assert_eq!(window.at(0, usize::MAX).unwrap(), &content[..used]);
        }
    }
}

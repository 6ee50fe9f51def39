//! Inputs that are several files: how they are packed into one, laid out in a directory, and changed.
//!
//! ```text
//!   input = *( path SP length LF bytes )        what follows something else is left out
//! ```

use crate::mutate;
use crate::random::Random;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::OnceLock;

#[derive(Clone)]
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

pub fn pack(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for f in files {
        out.extend_from_slice(format!("{} {}\n", f.path, f.bytes.len()).as_bytes());
        out.extend_from_slice(&f.bytes);
    }
    out
}

pub fn unpack(mut input: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    while let Some(file) = next(&mut input) {
        files.push(file);
    }
    files
}

fn next(input: &mut &[u8]) -> Option<File> {
    let end = input.iter().take(200).position(|b| *b == b'\n')?;
    let (path, len) = std::str::from_utf8(&input[..end]).ok()?.split_once(' ')?;
    let (bytes, rest) = input[end + 1..].split_at_checked(len.parse().ok()?)?;
    *input = rest;
    // Nothing outside of the directory that they are laid out in.
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let is_name = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain);
    path.split('/').all(is_name).then(|| File { path: path.to_owned(), bytes: bytes.to_vec() })
}

/// All files below a directory, packed.
pub fn pack_tree(root: &Path) -> Vec<u8> {
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    let file = |p: &PathBuf| {
        let path = p.strip_prefix(root).ok()?.to_str()?.to_owned();
        Some(File { path, bytes: std::fs::read(p).ok()? })
    };
    pack(&paths.iter().filter_map(file).collect::<Vec<_>>())
}

fn walk(dir: &Path, paths: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()) {
        match path.is_dir() {
            true => walk(&path, paths),
            false => paths.push(path),
        }
    }
}

/// The directories of this process; in memory where there is such a place.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let name = format!("flumed-fuzz-{}", std::process::id());
        let in_memory = Path::new("/dev/shm").join(&name);
        match std::fs::create_dir_all(&in_memory) {
            Ok(()) => in_memory,
            Err(_) => std::env::temp_dir().join(name),
        }
    })
}

/// At the end of the process.
pub fn remove_all() {
    // There may be none.
    let _ = std::fs::remove_dir_all(root());
}

/// A directory with the files of an input, which goes when this is dropped.
pub struct Laid(PathBuf);

impl Laid {
    pub fn out(files: &[File]) -> Result<Laid, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let laid = Laid(root().join(NEXT.fetch_add(1, Relaxed).to_string()));
        for f in files {
            let path = laid.0.join(&f.path);
            let above = path.parent().unwrap_or(&laid.0);
            // One file may be where another has a directory: the input is the poorer for it.
            if std::fs::create_dir_all(above).is_ok() && !path.is_dir() {
                std::fs::write(&path, &f.bytes).map_err(|e| format!("cannot be laid out: {e}"))?;
            }
        }
        Ok(laid)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `name`, if there is such a directory.
    pub fn dir(&self, name: &str) -> Option<PathBuf> {
        Some(self.join(name)).filter(|d| d.is_dir())
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        // What is left of it goes at the end.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Changes some files of an input. `shape` changes one as only who knows its form can, and puts its checksums right.
pub fn mutate(
    random: &mut Random,
    input: &[u8],
    other: &[u8],
    words: &[&str],
    longest: usize,
    shape: impl Fn(&mut Random, &mut File),
) -> Vec<u8> {
    let mut files = unpack(input);
    let others = unpack(other);
    for _ in 0..1 + random.below(3) {
        let at = random.below(files.len());
        let Some(file) = files.get_mut(at) else { break };
        match random.below(24) {
            0 => drop(files.swap_remove(at)),
            1 => file.bytes.clear(),
            2 => {
                if let Some(o) = random.pick(&others) {
                    file.bytes.clone_from(&o.bytes);
                }
            }
            3 => {
                // Another number behind the name, or another name.
                let end = file.path.trim_end_matches(|c: char| c.is_ascii_digit()).len();
                file.path.truncate(end);
                file.path.push_str(&[0, 1, 2, 3, 7, u64::MAX][random.below(6)].to_string());
            }
            4 => files.extend(random.pick(&others).cloned()),
            5..=11 => shape(random, file),
            _ => {
                let of = random.pick(&others).map(|o| o.bytes.as_slice()).unwrap_or_default();
                file.bytes = mutate::bytes(random, &file.bytes, of, words, longest / 4);
                if !random.one_in(4) {
                    shape(random, file);
                }
            }
        }
    }
    let mut out = pack(&files);
    while out.len() > longest && files.pop().is_some() {
        out = pack(&files);
    }
    out
}

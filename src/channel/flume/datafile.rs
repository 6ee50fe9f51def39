//! The data files of a channel, and what the `.meta` beside each says.
//!
//! `log-N.meta` is one message behind its length: 1 version (3), 2 N, 3 position and 4 write order of the last
//! checkpoint, 5 encryption if there is any, 6 and 7 position and write order of the checkpoint before.
//!
//! An empty data file counts as one without records, whatever its `.meta` is: Flume creates the data file first.

use super::error::FlumeError;
use super::proto::{delimited, Fields, Malformed, Value};
use super::record::file_of;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More than any metadata file has.
const META_BYTES: u64 = 1 << 20;
const VERSION: i32 = 3;

#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) id: u32,
    pub(super) path: PathBuf,
    meta: Meta,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Meta {
    version: i32,
    id: i32,
    position: i64,
    order: i64,
    encrypted: bool,
    backup_position: i64,
    backup_order: i64,
}

/// Whether a file name is that of a data file.
pub(super) fn is_name(name: &str) -> bool {
    name.strip_prefix("log-").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// All data files, by number.
pub(super) fn find(dirs: &[PathBuf]) -> Result<Vec<DataFile>, FlumeError> {
    let mut files: Vec<DataFile> = Vec::new();
    for dir in dirs {
        let io = |source| FlumeError::Io { path: dir.clone(), source };
        for entry in fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().and_then(|n| n.to_str()).filter(|n| is_name(n));
            let Some(number) = name.map(|n| n["log-".len()..].parse::<i32>()) else { continue };
            let Ok(id) = number else {
                return Err(FlumeError::Corrupt { path, offset: 0, why: "a data file's number has 31 bits" });
            };
            files.push(DataFile { id: id as u32, meta: Meta::of(&path, id)?, path });
        }
    }
    files.sort_by_key(|f| f.id);
    if let Some(i) = (1..files.len()).find(|&i| files[i - 1].id == files[i].id) {
        let second = files.swap_remove(i).path;
        return Err(FlumeError::Twice { first: files.swap_remove(i - 1).path, second });
    }
    Ok(files)
}

/// Which of the files a pointer leads into.
pub(super) fn index_of(files: &[DataFile], pointer: u64) -> Option<usize> {
    let id = file_of(pointer);
    // Numbers have few gaps: most often the place follows from the number.
    let guess = files.first().and_then(|f| id.checked_sub(f.id)).map(|i| i as usize);
    match guess.filter(|&i| files.get(i).is_some_and(|f| f.id == id)) {
        Some(index) => Some(index),
        None => files.binary_search_by_key(&id, |f| f.id).ok(),
    }
}

impl DataFile {
    /// Where to begin so as to miss nothing that came after the checkpoint of this write order.
    pub(super) fn start(&self, checkpoint: i64) -> u64 {
        let m = &self.meta;
        let position = if m.position <= 0 {
            0
        } else if m.order <= checkpoint {
            m.position
        } else if m.backup_order <= checkpoint {
            m.backup_position
        } else {
            0
        };
        u64::try_from(position).unwrap_or(0)
    }
}

impl Meta {
    fn of(log: &Path, id: i32) -> Result<Meta, FlumeError> {
        let io = |source| FlumeError::Io { path: log.to_owned(), source };
        if fs::metadata(log).map_err(io)?.len() == 0 {
            return Ok(Meta::default());
        }
        let Some((path, bytes)) = Meta::bytes(log)? else {
            let mut version = [0; 4];
            let found = File::open(log).and_then(|mut f| f.read_exact(&mut version));
            // The version before had its metadata in the data file.
            if found.is_ok() && i32::from_be_bytes(version) == 2 {
                return Err(FlumeError::Version { path: log.to_owned(), found: 2 });
            }
            return Err(FlumeError::NoMeta { path: log.to_owned() });
        };
        let corrupt = |why| FlumeError::Corrupt { path: path.clone(), offset: 0, why };
        let meta = Meta::parse(&bytes).ok_or_else(|| corrupt("the metadata is unreadable"))?;
        if meta.version != VERSION {
            return Err(FlumeError::Version { path, found: meta.version });
        }
        if meta.id != id {
            return Err(corrupt("the metadata is that of a data file with another number"));
        }
        if meta.encrypted {
            return Err(FlumeError::Encrypted { path: log.to_owned() });
        }
        Ok(meta)
    }

    /// The metadata file and what is in it; a complete new one where a crash has kept Flume from renaming it.
    fn bytes(log: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, FlumeError> {
        for suffix in [".meta", ".meta.tmp"] {
            let mut path = log.as_os_str().to_owned();
            path.push(suffix);
            let path = PathBuf::from(path);
            let mut bytes = Vec::new();
            match File::open(&path).and_then(|f| f.take(META_BYTES).read_to_end(&mut bytes)) {
                Ok(0) => {}
                Ok(_) => return Ok(Some((path, bytes))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(FlumeError::Io { path, source }),
            }
        }
        Ok(None)
    }

    fn parse(mut bytes: &[u8]) -> Option<Meta> {
        let mut meta = Meta::default();
        let mut seen = [false; 5];
        for field in Fields::of(delimited(&mut bytes)?) {
            let (number, value) = field.map_err(|Malformed| ()).ok()?;
            match (number, value) {
                (1, Value::Fixed32(n)) => meta.version = n as i32,
                (2, Value::Fixed32(n)) => meta.id = n as i32,
                (3, Value::Fixed64(n)) => meta.position = n as i64,
                (4, Value::Fixed64(n)) => meta.order = n as i64,
                (5, Value::Bytes(_)) => meta.encrypted = true,
                (6, Value::Fixed64(n)) => meta.backup_position = n as i64,
                (7, Value::Fixed64(n)) => meta.backup_order = n as i64,
                (1..=7, _) => return None,
                _ => {}
            }
            if let Some(s) = seen.get_mut(number as usize) {
                *s = true;
            }
        }
        // Another version may have other fields.
        (seen[1..].iter().all(|s| *s) || seen[1] && meta.version != VERSION).then_some(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_files() {
        assert!(is_name("log-1") && is_name("log-0123456789"));
        for other in ["log-", "log-1.meta", "log-1a", "xlog-1", "log--1", "log-\u{0661}", "checkpoint"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn where_to_begin() {
        let meta = |position, order, backup_position, backup_order| DataFile {
            id: 1,
            path: PathBuf::new(),
            meta: Meta { position, order, backup_position, backup_order, ..Meta::default() },
        };
        assert_eq!(meta(100, 5, 50, 3).start(5), 100);
        assert_eq!(meta(100, 5, 50, 3).start(4), 50, "the checkpoint is the one before");
        assert_eq!(meta(100, 5, 50, 3).start(2), 0, "or an older one");
        assert_eq!(meta(0, 0, 0, 0).start(5), 0, "written since the checkpoint");
        assert_eq!(meta(-7, 0, 0, 0).start(5), 0);
    }

    #[test]
    fn files_are_found_by_number_also_with_gaps() {
        let files: Vec<DataFile> =
            [3, 4, 9].map(|id| DataFile { id, path: PathBuf::new(), meta: Meta::default() }).into();
        let index = |id: u64| index_of(&files, id << 32 | 77);
        assert_eq!([3, 4, 9].map(index), [Some(0), Some(1), Some(2)]);
        assert_eq!([0, 2, 5, 10].map(index), [None; 4]);
    }
}

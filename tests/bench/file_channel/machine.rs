//! Of this process and this machine: CPU time, memory, file systems, the page cache.

use nix::sys::resource::{getrusage, UsageWho};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

/// CPU seconds of this process so far.
pub fn cpu_seconds() -> f64 {
    let u = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(u.user_time()) + seconds(u.system_time())
}

fn status_kib(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// MiB of memory this process has now.
pub fn resident_mib() -> f64 {
    status_kib("VmRSS") / 1024.0
}

/// The most it had so far.
pub fn peak_mib() -> f64 {
    status_kib("VmHWM") / 1024.0
}

/// The type of the file system a directory is on.
pub fn file_system(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let at = PathBuf::from(place.split(' ').nth(4)?);
        dir.starts_with(&at).then(|| (at.as_os_str().len(), kind.split(' ').next().unwrap_or("").to_owned()))
    };
    // Of mounts over each other the last counts.
    mounts.lines().filter_map(mount).max_by_key(|(len, _)| *len).map_or_else(|| "unknown".to_owned(), |m| m.1)
}

/// Empties the page cache; not every user may, nor in every container.
pub fn drop_caches() -> Result<(), String> {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").map_err(|e| format!("/proc/sys/vm/drop_caches: {e}"))
}

/// Has the page cache hold all files below a directory.
pub fn warm(dir: &Path) {
    let mut block = vec![0; 1 << 20];
    for path in files(dir) {
        let mut f = fs::File::open(&path).expect("a file of the channel");
        while f.read(&mut block).is_ok_and(|n| n > 0) {}
    }
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.path() {
                p if p.is_dir() => dirs.push(p),
                p => all.push(p),
            }
        }
    }
    all
}

/// Files by what stays when they are renamed, with the bytes of them on disk.
#[derive(Clone, Default)]
pub struct Written(BTreeMap<(u64, SystemTime), u64>);

impl Written {
    pub fn below(dir: &Path) -> Written {
        let of = |p: PathBuf| {
            // One may have gone meanwhile.
            let m = fs::metadata(p).ok()?;
            Some(((m.ino(), m.created().unwrap_or(SystemTime::UNIX_EPOCH)), m.blocks() * 512))
        };
        Written(files(dir).into_iter().filter_map(of).collect())
    }

    /// Bytes on disk that were not there before.
    pub fn since(&self, before: &Written) -> u64 {
        let grown = |(id, &bytes): (_, &u64)| bytes.saturating_sub(before.0.get(id).copied().unwrap_or(0));
        self.0.iter().map(grown).sum()
    }
}

/// A directory of its own, gone at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(parent: &Path) -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        let path = parent.join(format!("file-channel-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).expect("a new directory");
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! One process a directory: flumed's own lock, and a look for a live Flume agent.
//!
//! flumed holds `flock` on `<dir>/lock` (dir being the `flumed` directory inside Flume's). Flume holds a POSIX record
//! lock on `in_use.lock` of the directory above. Where that file is there flumed takes the same lock, so that a Flume
//! agent started later is kept out, too. A POSIX lock goes when the process closes any descriptor of the file: it is
//! opened in this one place. (An import holds it twice, and lets go of its own last.) Both end with the process, whatever ends it, and neither is inherited by a command.

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, Flock, FlockArg};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Flume's name for the file it locks.
const FLUMES: &str = "in_use.lock";

/// Let go of when dropped.
pub struct DirLock {
    _own: Flock<File>,
    _flumes: Option<File>,
}

impl DirLock {
    pub fn take(dir: &Path) -> io::Result<DirLock> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("lock"))?;
        let own = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
            Errno::EWOULDBLOCK => busy("is in use by another flumed, or by another channel of this one"),
            e => e.into(),
        })?;
        let flumes = match dir.parent() {
            Some(above) => flumes(above)?,
            None => None,
        };
        Ok(DirLock { _own: own, _flumes: flumes })
    }
}

/// Takes Flume's lock on one of its directories, if there is something to lock.
pub fn flumes(dir: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(dir.join(FLUMES)) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(Some(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            let mut held = whole;
            let who = fcntl(&file, FcntlArg::F_GETLK(&mut held)).ok().filter(|_| held.l_pid > 0);
            let who = who.map(|_| format!(" (process {})", held.l_pid)).unwrap_or_default();
            Err(busy(&format!("is in use by a running Flume agent{who}: stop that first")))
        }
        Err(e) => Err(e.into()),
    }
}

fn busy(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let above = std::env::temp_dir().join(format!("flumed-lock-{}", std::process::id()));
        let dir = above.join("flumed");
        std::fs::create_dir_all(&dir).unwrap();
        let first = DirLock::take(&dir).unwrap();
        let second = DirLock::take(&dir).err().unwrap();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        assert!(second.to_string().contains("another flumed"), "{second}");
        drop(first);
        std::fs::write(above.join(FLUMES), "").unwrap();
        assert!(DirLock::take(&dir).unwrap()._flumes.is_some());
        std::fs::remove_dir_all(above).unwrap();
    }
}

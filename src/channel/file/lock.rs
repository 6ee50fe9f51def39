//! One process a directory: flumed's own lock, and a look for a live Flume agent.
//!
//! flumed holds `flock` on `<dir>/lock` (dir being the `flumed` directory inside Flume's). Flume takes a POSIX record lock
//! on `in_use.lock` of the directory above. Where that file is there flumed takes the same lock, so that a Flume agent
//! started later is kept out, too. A POSIX lock goes when the process closes any descriptor of the file: here it is
//! opened in this one place (an import holds it twice, and lets go of its own last); but Flume 1.11 opens the file once
//! more to try its lock, closes that, and holds none from then on. It keeps the file open, though: so a process that has
//! it open counts as one that uses the directory. Both locks end with the process, whatever ends it, and neither is
//! inherited by a command.

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, Flock, FlockArg};
use nix::libc;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
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
    if let Some(pid) = user_of(&file) {
        return Err(busy(&format!("is in use by a running Flume agent (process {pid}): stop that first")));
    }
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

/// Another process that has this file open, as far as this one may see.
fn user_of(file: &File) -> Option<u32> {
    let ours = file.metadata().ok()?;
    let is_it = |fd: &DirEntry| {
        // By name first: to look behind every descriptor of a machine takes long.
        let named = fs::read_link(fd.path()).is_ok_and(|to| to.ends_with(FLUMES));
        named && fs::metadata(fd.path()).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino()))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|p| Some((p.file_name().to_str()?.parse::<u32>().ok()?, p.path().join("fd"))))
        .filter(|(pid, _)| *pid != std::process::id())
        .find(|(_, fds)| fs::read_dir(fds).is_ok_and(|fds| fds.flatten().any(|fd| is_it(&fd))))
        .map(|(pid, _)| pid)
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
        // Flume lets go of its lock by mistake, but keeps the file open.
        let mut holder = std::process::Command::new("sleep")
            .arg("60")
            .stdin(File::open(above.join(FLUMES)).unwrap())
            .spawn()
            .unwrap();
        let held = DirLock::take(&dir).err().unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(held.kind(), io::ErrorKind::WouldBlock);
        assert!(
            held.to_string().contains(&format!("running Flume agent (process {})", holder.id())),
            "{held}"
        );
        assert!(DirLock::take(&dir).is_ok());
        std::fs::remove_dir_all(above).unwrap();
    }
}

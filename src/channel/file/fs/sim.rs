//! A file system in memory that fails, fills up and loses power on cue, for the crash tests of the file channel.
//!
//! What is read is what was written last. What a power cut leaves is another matter: changes of files since their last
//! sync, and changes of names since their directory's, each survive or not, as a seed decides. [`SimFs::power_cut`] and
//! [`SimFs::kill`] give the disk as the next process would find it, a file system of its own; this one goes on.
//!
//! A test runs once to count the [`operations`](SimFs::operations), then once for each of them with a fault or a crash
//! there. Clones are the same file system. One mutex guards it all, for the length of one call; faults and images are
//! decided under it, so an image is never taken in the middle of a write.

use super::{Fs, FsFile};
use crate::lock::lock;
use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

mod directory;
mod disk;
mod fault;
mod file;
mod inode;
mod random;
mod tests;

pub use fault::Fault;

use directory::Id;
use disk::Disk;
use fault::{crashed, Faults, Verdict};
use file::SimFile;
use random::{Luck, Random};

/// Salts of streams that shall differ.
const FAULTS: u64 = 1;
const AFTER_KILL: u64 = 2;
const AFTER_POWER_CUT: u64 = 3;

#[derive(Clone)]
pub struct SimFs(Arc<Mutex<Machine>>);

struct Machine {
    disk: Disk,
    faults: Faults,
    locked: BTreeSet<PathBuf>,
    random: Random,
}

impl SimFs {
    /// An empty one. The seed decides what [`Fs::random`] gives, and how far the operation comes that a crash hits.
    pub fn new(seed: u64) -> SimFs {
        SimFs::with(Disk::default(), Random::new(seed))
    }

    /// The disk after the power went now. Seeds that 8 divides lose all that was not synced; those that leave 1 lose
    /// nothing but what a failed sync lost; the others lose some. What is left is durable.
    pub fn power_cut(&self, seed: u64) -> SimFs {
        let m = self.machine();
        let disk = m.disk.after_power_cut(&mut Luck::of(seed));
        SimFs::with(disk, m.random.fork(AFTER_POWER_CUT).fork(seed))
    }

    /// The disk after the process was killed now: nothing is lost, and nothing is more durable than it was.
    pub fn kill(&self) -> SimFs {
        let m = self.machine();
        SimFs::with(m.disk.after_kill(), m.random.fork(AFTER_KILL))
    }

    /// The same disk once more, without faults and locks. It gives the same random bytes from here on.
    pub fn copy(&self) -> SimFs {
        let m = self.machine();
        SimFs::with(m.disk.after_kill(), m.random.clone())
    }

    /// How many operations there were that change or sync something, failed ones included, up to a crash.
    pub fn operations(&self) -> u64 {
        self.machine().faults.operations()
    }

    /// The n-th operation from now goes wrong; 0 is the next one.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        self.machine().faults.plan(n, fault);
    }

    /// The process dies in the n-th operation from now; 0 is the next one. A write may leave its front, anything else
    /// is done or not. It fails, and so does every call after it, reads included.
    pub fn crash_at(&self, n: u64) {
        self.machine().faults.plan_crash(n);
    }

    /// All calls fail, reads included, whose path has this in it.
    pub fn fail_always(&self, part: &str, errno: i32) {
        self.machine().faults.fail_always(part, errno);
    }

    /// Ends what [`fail_always`](SimFs::fail_always) began.
    pub fn heal(&self) {
        self.machine().faults.heal();
    }

    /// The size of the disk, counted in blocks of 4096 bytes. Holes take up none, blocks once written can be written
    /// again.
    pub fn set_capacity(&self, bytes: u64) {
        self.machine().disk.capacity = Some(bytes);
    }

    /// The names in a directory, sorted; none if it is not there.
    pub fn files(&self, dir: impl AsRef<Path>) -> Vec<String> {
        self.machine().disk.list(dir.as_ref()).unwrap_or_default()
    }

    pub fn content(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let m = self.machine();
        m.disk.inode(m.find(path.as_ref())).bytes().to_vec()
    }

    /// Damages a file: what the closure makes of its content is there and is durable. So is what was not synced.
    pub fn overwrite(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
        let mut m = self.machine();
        let id = m.find(path.as_ref());
        m.disk.inode_mut(id).overwrite(change);
    }

    fn with(disk: Disk, random: Random) -> SimFs {
        let faults = Faults::new(random.fork(FAULTS));
        SimFs(Arc::new(Mutex::new(Machine { disk, faults, locked: BTreeSet::new(), random })))
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        lock(&self.0)
    }

    fn file(&self, id: Id, writes: bool) -> Arc<dyn FsFile> {
        Arc::new(SimFile { fs: self.clone(), id, writes })
    }
}

impl Machine {
    /// A change that is made or not.
    fn change<T>(&mut self, paths: &[&Path], make: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        match self.faults.judge(paths)? {
            Verdict::Proceed => make(&mut self.disk),
            Verdict::Fail(fault) => Err(fault.error()),
            Verdict::Die(mut random) => {
                if random.coin() {
                    // Nobody lives to see how it went.
                    let _ = make(&mut self.disk);
                }
                Err(crashed())
            }
        }
    }

    fn write(&mut self, id: Id, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let half = bytes.len() / 2;
        match self.faults.judge(&[&self.disk.inode(id).path])? {
            Verdict::Proceed => self.disk.write(id, at, bytes),
            Verdict::Fail(Fault::Short) => self.disk.write(id, at, &bytes[..half.max(1).min(bytes.len())]),
            Verdict::Fail(fault) => {
                if fault == Fault::Torn {
                    self.disk.write(id, at, &bytes[..half])?;
                }
                Err(fault.error())
            }
            Verdict::Die(mut random) => {
                let front = random.below(bytes.len() as u64 + 1) as usize;
                // Nobody lives to see how it went.
                let _ = self.disk.write(id, at, &bytes[..front]);
                Err(crashed())
            }
        }
    }

    fn sync(&mut self, id: Id) -> io::Result<()> {
        match self.faults.judge(&[&self.disk.inode(id).path])? {
            Verdict::Proceed => self.disk.inode_mut(id).sync(),
            Verdict::Fail(fault) => {
                if fault == Fault::SyncLost {
                    self.disk.inode_mut(id).lose();
                }
                return Err(fault.error());
            }
            Verdict::Die(mut random) => {
                if random.coin() {
                    self.disk.inode_mut(id).sync();
                }
                return Err(crashed());
            }
        }
        Ok(())
    }

    /// For tests, which name files that are there.
    fn find(&self, path: &Path) -> Id {
        self.disk.find(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let id = self.machine().change(&[path], |disk| disk.create(path))?;
        Ok(self.file(id, true))
    }

    fn open(&self, path: &Path, writes: bool) -> io::Result<Arc<dyn FsFile>> {
        let m = self.machine();
        m.faults.check(&[path])?;
        Ok(self.file(m.disk.find(path)?, writes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine().change(&[from, to], |disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.machine().change(&[path], |disk| disk.remove(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let m = self.machine();
        m.faults.check(&[dir])?;
        m.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.machine().change(&[dir], |disk| disk.create_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.machine().change(&[dir], |disk| disk.sync_dir(dir))
    }

    fn usable_space(&self, dir: &Path) -> io::Result<u64> {
        let m = self.machine();
        m.faults.check(&[dir])?;
        m.disk.directory(dir)?;
        Ok(m.disk.free())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut m = self.machine();
        m.faults.check(&[dir])?;
        m.disk.directory(dir)?;
        if !m.locked.insert(dir.to_owned()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "is in use"));
        }
        Ok(Box::new(DirLock { fs: self.clone(), dir: dir.to_owned() }))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut m = self.machine();
        m.faults.check(&[])?;
        let (high, low) = (m.random.draw(), m.random.draw());
        Ok((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

/// Let go of when dropped.
struct DirLock {
    fs: SimFs,
    dir: PathBuf,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        self.fs.machine().locked.remove(&self.dir);
    }
}

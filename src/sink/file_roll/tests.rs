use super::*;
use crate::event::EventRef;
use crate::serializer::Output;
use crate::sink::testing::{context, problems, TempDir, TestChannel};
use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// Whether a failing operation fails before it does anything, or after it did its work (a write: half of it).
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Before,
    After,
}

#[derive(Default)]
struct Plan {
    /// Operations so far, and which of them fail.
    ops: usize,
    fail: Range<usize>,
    how: Option<How>,
    /// Bytes that still fit on the disk.
    room: Option<u64>,
    /// What was called, and the sizes of writes.
    log: Vec<String>,
    cut_failed: bool,
}

/// The real disk, without waiting for it, and with faults.
#[derive(Clone, Default)]
struct FaultyDisk(Arc<Mutex<Plan>>);

impl FaultyDisk {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    fn run<T>(&self, what: String, half: impl FnOnce(), op: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut plan = self.plan();
        let fails = plan.fail.contains(&plan.ops);
        plan.ops += 1;
        plan.cut_failed |= fails && what == "set_len";
        plan.log.push(what);
        let how = plan.how;
        drop(plan);
        if !fails {
            return op();
        }
        if how == Some(How::After) {
            half();
        }
        Err(io::Error::other("injected"))
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.plan().log)
    }
}

impl Disk for FaultyDisk {
    fn open_new(&mut self, path: &Path) -> io::Result<File> {
        let open = || StdDisk.open_new(path);
        self.run("open".into(), || drop(open()), open)
    }
    fn write_all(&mut self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let part = |n: usize| StdDisk.write_all(file, &bytes[..n]);
        let op = || {
            let room = self.plan().room;
            let fits = room.map_or(bytes.len(), |r| bytes.len().min(r as usize));
            part(fits)?;
            self.plan().room = room.map(|r| r - fits as u64);
            if fits < bytes.len() {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        };
        self.run(format!("write {}", bytes.len()), || part(bytes.len() / 2).unwrap(), op)
    }
    fn set_len(&mut self, file: &File, len: u64) -> io::Result<()> {
        let cut = || {
            let gained = file.metadata()?.len().saturating_sub(len);
            StdDisk.set_len(file, len)?;
            let mut plan = self.plan();
            plan.room = plan.room.map(|r| r + gained);
            Ok(())
        };
        self.run("set_len".into(), || cut().unwrap(), cut)
    }
    fn sync_data(&mut self, _: &File) -> io::Result<()> {
        self.run("sync".into(), || {}, || Ok(()))
    }
    fn is_linked(&mut self, file: &File) -> io::Result<bool> {
        StdDisk.is_linked(file)
    }
    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        assert!(path.is_dir());
        self.run("sync_dir".into(), || {}, || Ok(()))
    }
    fn close(&mut self, file: File) -> io::Result<()> {
        let this = self.clone();
        // Closed in any case, as the trait has it.
        let closed = StdDisk.close(file);
        this.run("close".into(), || {}, || closed)
    }
}

/// `f-1`, `f-2`, ...
struct Plain(u32);

impl PathManager for Plain {
    fn next_name(&mut self, _: u64) -> String {
        self.0 += 1;
        format!("f-{}", self.0)
    }
}

/// A sink whose files are `f-<n>`, on a disk that can be told to fail, with a clock moved by hand.
struct Rig {
    dir: TempDir,
    disk: FaultyDisk,
    sink: FileRoll,
    channel: TestChannel,
    now: Instant,
}

impl Rig {
    fn new(durable: bool, pairs: &[(&str, &str)]) -> Rig {
        let dir = TempDir::new();
        let disk = FaultyDisk::default();
        let pairs = [&[("sink.directory", dir.text())], pairs].concat();
        let parts = SinkParts { counters: SinkCounters::new("k1") };
        let mut sink = FileRoll::new(&context(&SPEC, &pairs), parts, Box::new(disk.clone()));
        sink.names = Box::new(Plain(0));
        sink.start().unwrap();
        Rig { dir, disk, sink, channel: TestChannel::new(durable), now: Instant::now() }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn tick(&mut self) -> Result<Option<Instant>, SinkError> {
        self.sink.tick(self.now)
    }

    /// One try with everything in the channel.
    fn deliver(&mut self) -> Result<(), SinkError> {
        let take = self.channel.take(1_000_000);
        self.sink.deliver_at(&take, self.now)?;
        take.commit().unwrap();
        Ok(())
    }

    fn send(&mut self, lines: &[&str]) -> Result<(), SinkError> {
        self.channel.put_lines(lines);
        self.deliver()
    }

    fn files(&self) -> Vec<(String, String)> {
        self.dir.files()
    }

    /// Files created, closed and failed.
    fn counts(&self) -> [u64; 3] {
        let c = &self.sink.counters;
        [&c.connection_created, &c.connection_closed, &c.connection_failed].map(|c| c.get())
    }
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect()
}

#[test]
fn a_file_is_rolled_when_its_time_is_over_and_it_has_events() {
    let mut r = Rig::new(false, &[]);
    assert_eq!(r.files(), []);
    assert_eq!(r.tick().unwrap(), Some(r.now + Duration::from_secs(30)));
    assert_eq!(r.files(), pairs(&[("f-1", "")]), "the first run makes the first file");
    r.pass(30);
    assert_eq!(r.tick().unwrap(), Some(r.now + Duration::from_secs(30)));
    assert_eq!(r.files(), pairs(&[("f-1", "")]), "an empty file is kept");
    r.send(&["a", "b"]).unwrap();
    r.pass(29);
    r.send(&["c"]).unwrap();
    r.pass(1);
    r.tick().unwrap();
    assert_eq!(r.files(), pairs(&[("f-1", "a\nb\nc\n"), ("f-2", "")]));
    r.send(&["d"]).unwrap();
    r.pass(31);
    r.send(&["e"]).unwrap();
    assert_eq!(r.files()[1..], pairs(&[("f-2", "d\n"), ("f-3", "e\n")]), "rolled before a batch as well");
    r.sink.stop().unwrap();
    assert_eq!(r.counts(), [3, 3, 0]);
}

#[test]
fn an_interval_of_zero_less_or_for_ever_never_rolls() {
    for never in ["0", "-1", "9223372036854775807"] {
        let mut r = Rig::new(false, &[("sink.rollInterval", never)]);
        r.send(&["a"]).unwrap();
        assert_eq!(r.tick().unwrap(), None, "{never}");
        r.pass(1_000_000);
        r.send(&["b"]).unwrap();
        assert_eq!(r.files(), pairs(&[("f-1", "a\nb\n")]));
    }
}

#[test]
fn the_directory_must_be_there() {
    let dir = TempDir::new();
    let start = |path: &str| {
        let parts = SinkParts { counters: SinkCounters::new("k1") };
        build(&context(&SPEC, &[("sink.directory", path)]), parts).start().unwrap_err().why
    };
    let missing = format!("{}/missing", dir.text());
    assert!(
        start(&missing).starts_with(&format!("sink.directory {missing}: No such file")),
        "{}",
        start(&missing)
    );
    assert!(!Path::new(&missing).exists());
    let file = format!("{}/file", dir.text());
    fs::write(&file, "").unwrap();
    assert!(start(&file).ends_with("is not a directory"));
    assert_eq!(problems(&SPEC, &[]).len(), 1, "and must be named");
}

#[test]
fn settings_reach_serializer_and_path_manager() {
    let dir = TempDir::new();
    let settings = [
        ("sink.directory", dir.text()),
        ("sink.serializer", "header_and_text"),
        ("sink.serializer.appendNewline", "false"),
        ("sink.pathManager", "rolltime"),
        ("sink.pathManager.prefix", "/web-"),
        ("sink.pathManager.extension", "log"),
        ("sink.batchSize", "7"),
    ];
    let parts = SinkParts { counters: SinkCounters::new("k1") };
    let mut sink = build(&context(&SPEC, &settings), parts);
    assert_eq!(sink.batch_size(), 7);
    sink.start().unwrap();
    let channel = TestChannel::new(true);
    channel.put_lines(&["a", "b"]);
    sink.deliver(&channel.take(10)).unwrap();
    sink.stop().unwrap();
    let files = dir.files();
    assert_eq!(files.len(), 1);
    assert!(files[0].0.starts_with("web-2") && files[0].0.ends_with("-1.log"), "{}", files[0].0);
    assert_eq!(files[0].1, "{} a{} b");
}

#[test]
fn a_name_that_exists_is_passed_over_and_its_file_left_alone() {
    let mut r = Rig::new(false, &[]);
    for n in [1, 2, 4] {
        fs::write(r.dir.path().join(format!("f-{n}")), "old").unwrap();
    }
    r.send(&["a"]).unwrap();
    r.pass(30);
    r.send(&["b"]).unwrap();
    let want = [("f-1", "old"), ("f-2", "old"), ("f-3", "a\n"), ("f-4", "old"), ("f-5", "b\n")];
    assert_eq!(r.files(), pairs(&want));
}

#[test]
fn a_deleted_file_is_not_written_any_further() {
    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    fs::remove_file(r.dir.path().join("f-1")).unwrap();
    r.send(&["b"]).unwrap();
    assert_eq!(r.files(), pairs(&[("f-2", "b\n")]));
}

#[test]
fn stop_and_start_truncate_nothing() {
    let mut r = Rig::new(false, &[]);
    for line in ["a", "b", "c"] {
        r.sink.start().unwrap();
        r.send(&[line]).unwrap();
        r.sink.stop().unwrap();
        r.sink.stop().unwrap();
    }
    assert_eq!(r.files(), pairs(&[("f-1", "a\n"), ("f-2", "b\n"), ("f-3", "c\n")]));
}

#[test]
fn events_of_a_durable_channel_are_synced_before_they_leave_it() {
    let mut r = Rig::new(true, &[]);
    r.send(&["a"]).unwrap();
    assert_eq!(r.disk.taken(), ["open", "write 2", "sync", "sync_dir"]);
    r.send(&["b"]).unwrap();
    assert_eq!(r.disk.taken(), ["write 2", "sync"], "a name is synced once");
    r.pass(30);
    r.tick().unwrap();
    assert_eq!(r.disk.taken(), ["close", "open"], "all of it was synced");

    let mut r = Rig::new(true, &[("sink.fsync", "false")]);
    r.send(&["a"]).unwrap();
    assert_eq!(r.disk.taken(), ["open", "write 2"]);

    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    assert_eq!(r.disk.taken(), ["open", "write 2"]);
    r.sink.stop().unwrap();
    assert_eq!(r.disk.taken(), ["sync", "sync_dir", "close"], "a stop always syncs");
}

#[test]
fn long_runs_are_written_from_where_they_are() {
    let mut r = Rig::new(false, &[]);
    let long = "x".repeat(999);
    let lines = [&long[..]; 40];
    r.channel.put_lines(&lines[..1]);
    r.channel.put_lines(&lines);
    r.channel.put_lines(&lines[..2]);
    r.deliver().unwrap();
    assert_eq!(r.disk.taken(), ["open", "write 1000", "write 40000", "write 2000"]);
    // Many short pieces: gathered into few writes.
    for _ in 0..300 {
        r.channel.put_lines(&lines[..1]);
    }
    r.deliver().unwrap();
    assert_eq!(r.disk.taken(), ["write 131000", "write 131000", "write 38000"]);
}

#[test]
fn a_failed_write_is_cut_off_and_the_retry_goes_to_the_same_file() {
    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    r.disk.plan().room = Some(3);
    let why = r.send(&["bb", "cc"]).unwrap_err();
    assert!(why.why.starts_with(&format!("cannot write {}/f-1: ", r.dir.text())), "{why}");
    assert_eq!(r.files(), pairs(&[("f-1", "a\n")]));
    assert_eq!(r.channel.backlog(), 2);
    r.disk.plan().room = None;
    r.deliver().unwrap();
    assert_eq!(r.files(), pairs(&[("f-1", "a\nbb\ncc\n")]));
    assert_eq!(r.counts(), [1, 0, 0]);
}

#[test]
fn after_a_failed_sync_the_file_is_left_and_the_next_one_used() {
    let mut r = Rig::new(true, &[]);
    r.send(&["a"]).unwrap();
    r.disk.taken();
    let sync = r.disk.plan().ops + 1;
    r.disk.plan().fail = sync..sync + 1;
    r.send(&["b"]).unwrap_err();
    assert_eq!(r.disk.taken(), ["write 2", "sync", "set_len", "close"]);
    r.deliver().unwrap();
    assert_eq!(r.files(), pairs(&[("f-1", "a\n"), ("f-2", "b\n")]));
    assert_eq!(r.counts(), [2, 0, 1]);
}

/// Known failure 50: Flume opens the same file again, with truncation, when closing it at a roll failed.
#[test]
fn a_failed_close_at_a_roll_costs_nothing() {
    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    r.pass(30);
    let close = r.disk.plan().ops;
    r.disk.plan().fail = close..close + 1;
    r.send(&["b"]).unwrap();
    assert_eq!(r.files(), pairs(&[("f-1", "a\n"), ("f-2", "b\n")]));
    assert_eq!(r.counts(), [2, 0, 1]);
}

#[test]
fn a_file_emptied_by_others_is_not_filled_with_zeros() {
    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    fs::write(r.dir.path().join("f-1"), "").unwrap();
    r.disk.plan().room = Some(1);
    r.send(&["b"]).unwrap_err();
    assert_eq!(r.files()[0].1, "b", "longer than nothing, shorter than what was committed");
}

/// Puts a good deal of a batch, then panics.
struct Panics;

impl Serializer for Panics {
    fn write(&mut self, _: EventRef<'_>, out: &mut dyn Output) {
        out.put(&[b'x'; 50_000]);
        panic!("on purpose");
    }
}

#[test]
fn a_batch_that_a_panic_broke_off_is_cut_off() {
    let mut r = Rig::new(false, &[]);
    r.send(&["a"]).unwrap();
    r.sink.serializer = Box::new(Panics);
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| r.send(&["b"])));
    assert!(broken.is_err());
    assert_eq!(r.files()[0].1.len(), 50_002);
    let Rig { dir, sink, .. } = r;
    drop(sink);
    assert_eq!(dir.files(), pairs(&[("f-1", "a\n")]));
}

/// Ten batches over some rolls and a restart, each tried until it goes through.
/// Returns all lines in the order of their commits.
fn work(r: &mut Rig, mut failed: impl FnMut(&Rig)) -> Vec<String> {
    let mut committed = Vec::new();
    for batch in 0..10usize {
        let width = [1, 40, 700, 3_000][batch % 4];
        let lines: Vec<String> =
            (0..1 + batch * 7 % 5).map(|i| format!("{batch}.{i}.{}", "x".repeat(width * (i + 1)))).collect();
        // Sometimes as one run, sometimes as many.
        if batch % 2 == 0 {
            r.channel.put_lines(&lines);
        } else {
            lines.iter().for_each(|l| r.channel.put_lines(std::slice::from_ref(l)));
        }
        let mut tries = 0;
        while r.deliver().is_err() {
            failed(r);
            tries += 1;
            assert!(tries < 10, "never gets through");
        }
        committed.extend(lines);
        r.pass(11);
        let _ = r.tick();
        if batch == 5 {
            let _ = r.sink.stop();
            r.sink.start().unwrap();
        }
    }
    let _ = r.sink.stop();
    let [created, closed, failed] = r.counts();
    assert!(created <= closed + failed, "{created} files opened, {closed} closed, {failed} failed");
    committed
}

/// Every committed event is there once, in order, untorn; where a cut failed, repeats and torn ends are allowed.
fn check(r: &Rig, committed: &[String], what: &str) {
    let mut found: Vec<String> = Vec::new();
    let cut_failed = r.disk.plan().cut_failed;
    for (name, text) in r.files() {
        let end = text.rfind('\n').map_or(0, |n| n + 1);
        assert!(end == text.len() || cut_failed, "{what}: {name} ends in half a line");
        found.extend(text[..end].lines().map(str::to_owned));
    }
    if cut_failed {
        let last: HashMap<String, usize> = found.iter().cloned().zip(0..).collect();
        found = found.iter().enumerate().filter(|(i, l)| last[*l] == *i).map(|(_, l)| l.clone()).collect();
    }
    assert!(found == committed, "{what}: {} of {} lines, or another order", found.len(), committed.len());
}

#[test]
fn nothing_is_lost_whichever_operations_fail() {
    for (how, durable) in [(How::Before, false), (How::After, false), (How::Before, true), (How::After, true)]
    {
        for width in 1..=4 {
            for n in 0.. {
                let mut r = Rig::new(durable, &[]);
                {
                    let mut plan = r.disk.plan();
                    plan.fail = n..n + width;
                    plan.how = Some(how);
                }
                let committed = work(&mut r, |_| {});
                check(&r, &committed, &format!("{how:?}, durable {durable}, {width} from {n}"));
                if r.disk.plan().ops <= n {
                    assert!(n > 20, "the work has this many operations");
                    break;
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_when_the_disk_is_full_for_a_while() {
    for room in (0..60_000).step_by(733) {
        let mut r = Rig::new(true, &[]);
        r.disk.plan().room = Some(room);
        let mut failures = 0;
        let committed = work(&mut r, |r| {
            failures += 1;
            if failures == 2 {
                r.disk.plan().room = None;
            }
        });
        check(&r, &committed, &format!("room for {room} bytes"));
    }
}

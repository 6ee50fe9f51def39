//! From files to an open channel: checkpoint and segments make the state that a takers' thread can go on from.
//!
//! Live is what was put less what was taken: numbers are never used twice, so the order in which directories are replayed
//! does not matter, and to subtract a take twice does no harm. The newest checkpoint that fits the files is the
//! beginning; without one all segments are read. What becomes visible has been synced first, names included, so that
//! nothing is delivered that a power cut could still take back. Called by the thread that opens the channel.

use super::checkpoint::{Checkpoint, DirSnapshot, Position, SegmentInfo, Store};
use super::counters::FileCounters;
use super::crypt::Keys;
use super::dir::{Dir, Spare};
use super::engine::{Engine, Parts};
use super::frame::{Header, Seen, HEADER};
use super::fs::Fs;
use super::identity::short;
use super::intervals::Intervals;
use super::scan::{self, File, Scanned};
use super::segment::{number_of, read_full, spare_name, Id, NotASegment};
use super::settings::{ours, Fixed, Live};
use super::state::{DirState, Segment, State};
use crate::counters::ChannelCounters;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod identities;
mod telling;

/// Between two log lines about how far a recovery is.
const TELL: Duration = Duration::from_secs(5);

/// What a channel is opened with.
pub struct Recovery {
    pub name: String,
    pub fs: Arc<dyn Fs>,
    pub fixed: Fixed,
    pub live: Arc<Live>,
    pub counters: Arc<FileCounters>,
    pub channel_counters: Arc<ChannelCounters>,
    /// Whether events that Flume left in the same directories are an obstacle.
    pub minds_flume: bool,
    /// Ends it early.
    pub stop: Arc<AtomicBool>,
}

/// A data directory that is to be replayed.
struct Found {
    path: PathBuf,
    id: Id,
    files: Vec<File>,
    spares: Vec<Spare>,
    /// Above all sequence numbers there are.
    next_seq: u64,
}

/// Where the replay begins.
struct Base {
    checkpoint: Option<Checkpoint>,
    /// The newest, when that does not fit: what it says to be live should be there all the same.
    unfit: Option<Checkpoint>,
}

impl Recovery {
    pub fn run(&self) -> Result<Arc<Engine>, String> {
        let began = Instant::now();
        let keys = Keys::load(self.fixed.key_file.as_deref(), &self.fixed.old_key_files)?;
        let dirs: Vec<PathBuf> = self.fixed.data_dirs.iter().map(|d| ours(d)).collect();
        let checkpoints = Store::new(ours(&self.fixed.checkpoint_dir), false);
        let backup =
            self.fixed.backup_dir.as_ref().map(|d| Store::new(ours(d), self.fixed.compresses_backup));
        let locks = self.lock(&dirs, &checkpoints, backup.as_ref())?;
        if self.minds_flume {
            super::beside::look(&self.name, &self.fixed)?;
        }
        let stored = self.checkpoints(&checkpoints, backup.as_ref())?;
        let (channel, ids) = self.identities(&dirs, &stored)?;
        // Above all that are there, or files of another channel's would never have their turn.
        let next_checkpoint = stored.first().map_or(1, |c| c.seq + 1);
        let stored = self.of_channel(stored, channel);
        let mut found = Vec::new();
        for (path, id) in dirs.iter().zip(&ids) {
            found.push(self.find(path, (channel, *id), &keys)?);
        }
        let base = self.base(stored, &found);
        let mut scanned = self.scan(&found, base.checkpoint.as_ref())?;
        let mut live = merge(base.checkpoint.as_ref(), &scanned);
        let mut is_rescanned = false;
        if base.checkpoint.as_ref().is_some_and(|c| lacks_segments(c, &live, &found)) {
            log::error!(
                "channel {}: segments are missing; all others are read to see what is left",
                self.name
            );
            scanned = self.scan(&found, None)?;
            is_rescanned = true;
            live = self.less_missing(base.checkpoint.as_ref(), &scanned, live);
        }
        if let Some(c) = &base.unfit {
            let mut expected = c.live.clone();
            scanned.iter().for_each(|s| expected.remove_all(&s.takes));
            let mut rest = expected.clone();
            rest.remove_all(&live);
            self.less_missing(Some(c), &scanned, rest);
        }
        if base.checkpoint.is_none() {
            self.tell_gaps(&scanned);
        }
        self.tell_damage(&found, &scanned);
        self.make_durable(&found, &scanned)?;
        let known = base.checkpoint.iter().chain(&base.unfit).map(|c| c.next_number);
        let next_number =
            known.chain(scanned.iter().flat_map(|s| [s.puts.end(), s.takes.end()])).max().unwrap_or(0);
        let bytes = self.bytes(base.checkpoint.as_ref().filter(|_| !is_rescanned), &scanned, live.count());
        let count = live.count();
        let (mut states, mut ends) = (Vec::new(), Vec::new());
        for (i, (f, s)) in found.into_iter().zip(&scanned).enumerate() {
            let (f, dir_state) = self.dir_state(f, s, !live.is_empty())?;
            let dir = Dir::new(i, f.path, (channel, f.id), keys.clone(), f.next_seq, f.spares);
            if let Err(e) = dir.fill_reserve(self.fs.as_ref(), self.live.get().segment_size) {
                let path = dir.path.display();
                log::warn!("channel {}: {path}: no room is set aside for a full disk: {e}", self.name);
            }
            ends.push((dir, dir_state.applied));
            states.push(dir_state);
        }
        for store in [Some(&checkpoints), backup.as_ref()].into_iter().flatten() {
            if let Err(e) = store.reserve(self.fs.as_ref()) {
                let path = store.dir().display();
                log::warn!("channel {}: {path}: no room is set aside for checkpoints: {e}", self.name);
            }
        }
        self.tell(began.elapsed(), base.checkpoint.as_ref(), &scanned, count);
        Ok(Engine::new(Parts {
            name: self.name.clone(),
            channel,
            fs: self.fs.clone(),
            live: self.live.clone(),
            counters: self.counters.clone(),
            channel_counters: self.channel_counters.clone(),
            state: State::new(states, live, next_number, bytes),
            dirs: ends,
            checkpoints,
            backup,
            next_checkpoint,
            replayed: scanned.iter().map(|s| s.scanned_bytes).sum(),
            encrypts: keys.active().is_some(),
            locks,
        }))
    }

    fn lock(
        &self,
        dirs: &[PathBuf],
        checkpoints: &Store,
        backup: Option<&Store>,
    ) -> Result<Vec<Box<dyn Any + Send + Sync>>, String> {
        let stores = [Some(checkpoints), backup].into_iter().flatten().map(|s| s.dir().to_owned());
        let all: BTreeSet<PathBuf> = dirs.iter().cloned().chain(stores).collect();
        let mut locks = Vec::new();
        for dir in all {
            let why = |e: io::Error| format!("{}: {e}", dir.display());
            self.fs.create_dir(&dir).map_err(why)?;
            locks.push(self.fs.lock(&dir).map_err(why)?);
        }
        Ok(locks)
    }

    /// Every checkpoint that can be read, newest first.
    fn checkpoints(&self, first: &Store, backup: Option<&Store>) -> Result<Vec<Checkpoint>, String> {
        let mut all = Vec::new();
        for store in [Some(first), backup].into_iter().flatten() {
            let dir = store.dir().display().to_string();
            let (good, bad) = store.load(self.fs.as_ref()).map_err(|e| format!("{dir}: {e}"))?;
            for (name, why) in bad {
                if let NotASegment::Newer(v) = why {
                    return Err(format!(
                        "{dir}/{name} has format version {v}, which this flumed does not know"
                    ));
                }
                log::warn!("channel {}: {dir}/{name} is no whole checkpoint; another is used", self.name);
            }
            all.extend(good);
        }
        all.sort_by_key(|c: &Checkpoint| std::cmp::Reverse(c.seq));
        all.dedup_by_key(|c| (c.channel, c.seq));
        Ok(all)
    }

    /// The checkpoints that are this channel's: others', in a directory that was swapped or used before, say nothing.
    fn of_channel(&self, stored: Vec<Checkpoint>, channel: Id) -> Vec<Checkpoint> {
        let (own, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|c| c.channel == channel);
        if let Some(c) = others.first() {
            log::warn!(
                "channel {}: {} has checkpoints of another channel ({}, this one is {}); they are not used",
                self.name,
                self.fixed.checkpoint_dir.display(),
                short(&c.channel),
                short(&channel)
            );
        }
        own
    }

    /// Bytes of what is live: its share of all that is known to have been put.
    fn bytes(&self, c: Option<&Checkpoint>, scanned: &[Scanned], live: u64) -> u64 {
        let (mut bytes, mut events) = c.map_or((0, 0), |c| (c.bytes, c.live.count()));
        for s in scanned {
            bytes += s.bytes;
            events += s.puts.count();
        }
        (u128::from(bytes) * u128::from(live) / u128::from(events.max(1))) as u64
    }

    fn random(&self) -> Result<Id, String> {
        self.fs.random().map_err(|e| format!("no random bytes: {e}"))
    }

    /// The segments and spares of a directory.
    fn find(&self, path: &Path, ids: (Id, Id), keys: &Keys) -> Result<Found, String> {
        let (files, bad) = scan::list(self.fs.as_ref(), path, Some(ids), keys).map_err(|e| e.to_string())?;
        let why = |e: io::Error| format!("{}: {e}", path.display());
        for name in &bad {
            let kept = format!("damaged-{name}");
            log::error!(
                "channel {}: {}/{name} has no whole header: its events cannot be told; it is kept as {kept}",
                self.name,
                path.display()
            );
            self.fs.rename(&path.join(name), &path.join(&kept)).map_err(why)?;
        }
        let mut spares = Vec::new();
        for name in self.fs.list(path).map_err(why)? {
            if number_of(&name, "spare").is_some() {
                let size = self.fs.open(&path.join(&name), false).and_then(|f| f.len()).map_err(why)?;
                spares.push(Spare { name, size });
            }
        }
        // Those set aside earlier too: a number is not used twice.
        let aside = self.fs.list(path).map_err(why)?;
        let aside = aside.iter().filter_map(|n| number_of(n, "damaged-segment"));
        let bad_numbers = bad.iter().filter_map(|n| number_of(n, "segment")).chain(aside);
        let next_seq = files.iter().map(|f| f.seq).chain(bad_numbers).max().map_or(1, |n| n + 1);
        Ok(Found { path: path.to_owned(), id: ids.1, files, spares, next_seq })
    }

    /// The newest checkpoint whose positions are in segments that are there.
    fn base(&self, stored: Vec<Checkpoint>, found: &[Found]) -> Base {
        let ids: Vec<Id> = found.iter().map(|f| f.id).collect();
        let fits = |c: &Checkpoint| {
            c.dirs.iter().all(|d| match ids.iter().position(|id| *id == d.id) {
                Some(i) => fits(d, &found[i].files),
                None => true,
            })
        };
        let had_any = !stored.is_empty();
        let unfit = stored.first().filter(|c| !fits(c)).cloned();
        let checkpoint = stored.into_iter().find(fits);
        if checkpoint.is_none() && found.iter().any(|f| !f.files.is_empty()) {
            let what = if had_any { "no checkpoint fits the segments" } else { "there is no checkpoint" };
            log::warn!("channel {}: {what}; all segments are read", self.name);
        }
        Base { checkpoint, unfit }
    }

    fn scan(&self, found: &[Found], c: Option<&Checkpoint>) -> Result<Vec<Scanned>, String> {
        let from: Vec<_> = found.iter().map(|f| begin(c, &f.id, &f.files)).collect();
        let left = |f: &Found, at: &Position| {
            f.files.iter().filter(|x| x.seq >= at.seq).map(|x| x.size).sum::<u64>()
        };
        let all: u64 = found.iter().zip(&from).map(|(f, (at, _))| left(f, at)).sum();
        let (mut done, mut told) = (0, Instant::now());
        let mut out = Vec::new();
        for (f, (at, known)) in found.iter().zip(&from) {
            let mut progress = |more: u64| {
                done += more;
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    let (mib, of) = (done >> 20, all >> 20);
                    log::info!("channel {}: {mib} of at most {of} MiB of segments are read", self.name);
                }
                !self.stop.load(SeqCst)
            };
            let mut scanned = scan::scan(&f.files, *at, known, &mut progress).map_err(|e| e.to_string())?;
            forget_old(c, &f.id, &mut scanned);
            out.push(scanned);
        }
        Ok(out)
    }

    /// What is about to become visible must not be taken back by a power cut.
    fn make_durable(&self, found: &[Found], scanned: &[Scanned]) -> Result<(), String> {
        for (f, s) in found.iter().zip(scanned) {
            let why = |e: io::Error| format!("{}: {e}", f.path.display());
            if s.end.seq > 0 && s.scanned_bytes > 0 {
                if let Some(last) = f.files.iter().find(|x| x.seq == s.end.seq) {
                    self.fs.open(&last.path, true).and_then(|file| file.sync()).map_err(why)?;
                }
            }
            if let Some((seq, torn)) = &s.torn {
                if let Some(file) = f.files.iter().find(|x| x.seq == *seq) {
                    let cut = |file: Arc<dyn super::fs::FsFile>| {
                        file.set_len(torn.start).and_then(|()| file.sync())
                    };
                    self.fs.open(&file.path, true).and_then(cut).map_err(why)?;
                }
            }
            self.fs.sync_dir(&f.path).map_err(why)?;
        }
        Ok(())
    }

    /// The state of a directory; segments without frames become spares.
    fn dir_state(&self, mut f: Found, s: &Scanned, has_live: bool) -> Result<(Found, DirState), String> {
        let why = |e: io::Error| format!("{}: {e}", f.path.display());
        let mut segments = BTreeMap::new();
        let mut spare =
            f.spares.iter().filter_map(|s| number_of(&s.name, "spare")).max().unwrap_or(0).max(f.next_seq);
        let mut spares = std::mem::take(&mut f.spares);
        for file in &f.files {
            if s.empty.contains(&file.seq) && file.seq != s.end.seq {
                spare += 1;
                let name = spare_name(spare);
                self.fs.rename(&file.path, &f.path.join(&name)).map_err(why)?;
                spares.push(Spare { name, size: file.size });
                continue;
            }
            let info = s.infos.get(&file.seq).cloned().unwrap_or_default();
            let is_cut = has_more(file, info.end).map_err(why)?;
            segments.insert(file.seq, Segment { info, size: file.size, is_cut, ..Segment::default() });
        }
        self.fs.sync_dir(&f.path).map_err(why)?;
        // A checkpoint may know of an end whose segment is gone.
        let last = f.files.iter().filter(|x| segments.contains_key(&x.seq)).map(|x| x.seq).max().unwrap_or(0);
        let end = if s.end.seq == last {
            s.end
        } else {
            Position { seq: last.max(s.end.seq), offset: s.end.offset }
        };
        let state = DirState {
            id: f.id,
            segments,
            applied: end,
            synced: end,
            behind: has_live,
            ..DirState::default()
        };
        f.spares = spares;
        f.next_seq = f.next_seq.max(end.seq + 1);
        Ok((f, state))
    }
}

/// Whether what a checkpoint says of a directory can be the beginning of a replay of these segments.
pub fn fits(d: &DirSnapshot, files: &[File]) -> bool {
    let at = files.iter().find(|f| f.seq == d.position.seq);
    let info = d.segments.iter().find(|(seq, _)| *seq == d.position.seq);
    match (at, info) {
        (Some(f), Some((_, info))) => f.header.identity == info.identity,
        // A segment that a checkpoint ends in is not freed before the next two.
        _ => d.position == Position::default(),
    }
}

/// Where the replay of a directory begins, and what is known of its segments.
pub fn begin(c: Option<&Checkpoint>, id: &Id, files: &[File]) -> (Position, BTreeMap<u64, SegmentInfo>) {
    let d = c.and_then(|c| c.dirs.iter().find(|d| d.id == *id));
    let there = |seq: &u64| files.iter().any(|x| x.seq == *seq);
    let known = d.iter().flat_map(|d| &d.segments).filter(|(seq, _)| there(seq));
    (d.map_or_else(Position::default, |d| d.position), known.cloned().collect())
}

/// Whether a frame stands above a segment's end: one that was refused, and is to be cut off.
fn has_more(file: &File, end: Option<u64>) -> io::Result<bool> {
    let Some(end) = end.filter(|e| *e < file.size) else { return Ok(false) };
    let mut header = [0; HEADER];
    let n = read_full(file.file.as_ref(), &mut header, end)?;
    Ok(matches!(Header::read(&header[..n], file.header.short_identity(), end), Seen::Frame(_)))
}

/// A directory that the checkpoint does not know was not the channel's when that was taken: it was left out because
/// nothing in it was live, or has been added since. What it holds from before is over.
pub fn forget_old(c: Option<&Checkpoint>, id: &Id, scanned: &mut Scanned) {
    if let Some(c) = c.filter(|c| c.dirs.iter().all(|d| d.id != *id)) {
        scanned.puts.remove(0..c.next_number);
    }
}

/// What is live, by the checkpoint and what came after it.
pub fn merge(c: Option<&Checkpoint>, scanned: &[Scanned]) -> Intervals {
    let mut live = c.map_or_else(Intervals::default, |c| c.live.clone());
    scanned.iter().for_each(|s| live.insert_all(&s.puts));
    scanned.iter().for_each(|s| live.remove_all(&s.takes));
    live
}

/// Whether the checkpoint knows of a segment with live events that is not there, or is another one.
fn lacks_segments(c: &Checkpoint, live: &Intervals, found: &[Found]) -> bool {
    c.dirs.iter().any(|d| {
        let files = found.iter().find(|f| f.id == d.id).map_or(&[][..], |f| &f.files);
        let is_there = |seq: u64, info: &SegmentInfo| {
            files.iter().any(|x| x.seq == seq && x.header.identity == info.identity)
        };
        d.segments.iter().any(|(seq, s)| live.overlaps(s.puts.0..s.puts.1) && !is_there(*seq, s))
    })
}

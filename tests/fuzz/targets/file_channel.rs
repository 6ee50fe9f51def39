//! The files of the file channel: segments and their frames, payloads, identities, checkpoints.
//!
//! An input is a channel's directories. Changed files get right checksums most of the time, else nothing would be looked
//! at behind them. One target reads them with the commands of `flumed tool channel`; the other opens the channel, takes
//! what is in it, and opens it again.

use super::{tree, Mutate, Signature, Target, Verdict};
use crate::files::{self, File, Laid};
use crate::random::Random;
use flumed::channel::file::tool::{check, dump, repair, stats, Dump, Place, ToolError};
use flumed::channel::file::SPEC;
use flumed::channel::{Channel, ChannelParts, Take};
use flumed::config::{Context, Problems, Property};
use flumed::counters::ChannelCounters;
use flumed::registry;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub static FILES: Target = Target {
    name: "file-channel",
    seeds,
    mutate: MUTATE,
    words: &["segment-1", "flumeseg", "flumechk", "flumechz", "flumedir"],
    longest: 1 << 16,
    // Windows of 256 KiB for each segment, and what a directory is replayed with.
    memory: (64, 24 << 20),
    run: read,
};

/// An open channel keeps 16 MiB of what was put last, and buffers for as much that is read.
pub static RECOVERY: Target =
    Target { name: "file-channel-open", memory: (64, 96 << 20), run: open, ..FILES };

const MUTATE: Mutate =
    |random, input, other, words, longest| files::mutate(random, input, other, words, longest, shape);

fn seeds() -> Vec<Vec<u8>> {
    let of = |name: &str| files::pack_tree(&tree("tests/data/file-channel/1").join(name));
    ["killed", "closed", "backup", "encrypted"].map(of).into()
}

/// Changes fields of headers, and puts checksums right.
fn shape(random: &mut Random, file: &mut File) {
    let b = &mut file.bytes;
    match b.get(..8) {
        Some(b"flumeseg") if b.len() >= 128 => segment(random, b),
        Some(b"flumechk" | b"flumechz") if b.len() >= 24 => {
            if !random.one_in(4) {
                let len = b.len() as u64;
                b[16..24].copy_from_slice(&len.to_le_bytes());
            }
            seal(b);
        }
        Some(b"flumedir") if b.len() >= 16 => seal(b),
        _ => {}
    }
}

/// The checksum of checkpoints and identities.
fn seal(b: &mut [u8]) {
    let crc = crc32fast::hash(&b[12..]);
    b[8..12].copy_from_slice(&crc.to_le_bytes());
}

fn u32_at(b: &[u8], at: usize) -> usize {
    b[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
}

fn segment(random: &mut Random, b: &mut [u8]) {
    let crc = crc32fast::hash(&b[12..128]);
    b[8..12].copy_from_slice(&crc.to_le_bytes());
    let identity: [u8; 8] = b[16..24].try_into().expect("eight bytes");
    let is_frame = |at: &usize| b.len() - at >= 64 && b[at + 16..at + 24] == identity;
    let frames: Vec<usize> = (128..b.len()).step_by(8).filter(is_frame).collect();
    if let Some(at) = random.pick(&frames).copied().filter(|_| !random.one_in(3)) {
        // Fields and their lengths: synced, first, count, length, kind, flags, time, and the payload.
        let (from, n) =
            [(8, 8), (32, 8), (40, 4), (44, 4), (48, 1), (49, 1), (56, 8), (64, 8), (66, 4), (70, 4)]
                [random.below(10)];
        let value = match random.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << 62,
            3 => (1 << 62) + 1,
            4 => 1 << 30,
            5 => random.below(64) as u64,
            6 => b.len() as u64,
            _ => random.next(),
        };
        let field = at + from..(at + from + n).min(b.len());
        if field.len() == n {
            b[field].copy_from_slice(&value.to_le_bytes()[..n]);
        }
    }
    for at in frames {
        b[at + 24..at + 32].copy_from_slice(&(at as u64).to_le_bytes());
        let payload = at + 64..(at + 64).saturating_add(u32_at(b, at + 44));
        if let Some(payload) = b.get(payload) {
            let crc = crc32fast::hash(payload);
            b[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32fast::hash(&b[at + 4..at + 64]);
        b[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// The data directories that there are.
fn data_dirs(laid: &Laid) -> Vec<PathBuf> {
    ["data0", "data1"].iter().filter_map(|d| laid.dir(d)).collect()
}

fn read(input: &[u8]) -> Verdict {
    let laid = Laid::out(&files::unpack(input))?;
    let place = Place {
        data_dirs: data_dirs(&laid),
        checkpoint_dir: laid.dir("checkpoint"),
        backup_dir: laid.dir("backup"),
        key_file: Some(laid.join("key")).filter(|k| k.is_file()),
        ..Place::default()
    };
    let mut s = Signature::default();
    let mut said = |done: Result<bool, ToolError>, out: &[u8]| match done {
        Ok(is_damaged) => {
            s.exact(is_damaged);
            s.count(out.len());
            s.words(String::from_utf8_lossy(out).lines().last().unwrap_or_default());
        }
        Err(why) => s.words(&why.to_string()),
    };
    let mut out = Vec::new();
    let checked = check(&place, &mut out);
    let is_checked = checked.is_ok();
    said(checked, &out);
    out.clear();
    // All of them for each input would take long.
    match Random::of(input).below(4) {
        0 => {
            let repaired = repair(&place, true, &mut out);
            if let (true, true, Err(why)) = (is_checked, repaired.is_ok(), check(&place, &mut Vec::new())) {
                return Err(format!("cannot be checked when it is repaired: {why}"));
            }
            said(repaired.map(|()| true), &out);
        }
        1 => said(stats(&place, &mut out).map(|()| true), &out),
        n => {
            let live = n == 2;
            let what = Dump { events: true, hex: live, live, ..Dump::default() };
            said(dump(&place, &what, &mut out).map(|()| live), &out);
        }
    }
    Ok(s)
}

fn channel(laid: &Laid) -> Result<Arc<dyn Channel>, String> {
    let path = |p: PathBuf| p.to_string_lossy().into_owned();
    let dirs: Vec<String> = data_dirs(laid).into_iter().map(path).collect();
    let mut keys = vec![
        ("checkpointDir", path(laid.join("checkpoint"))),
        ("dataDirs", dirs.join(",")),
        ("useDualCheckpoints", laid.dir("backup").is_some().to_string()),
        ("backupCheckpointDir", path(laid.join("backup"))),
        ("maxFileSize", (1 << 20).to_string()),
        ("minimumRequiredSpace", (1 << 20).to_string()),
        ("takeSyncInterval", "0".to_owned()),
    ];
    if laid.join("key").is_file() {
        keys.push(("encryption.keyFile", path(laid.join("key"))));
    }
    let property = |(k, v): (&str, String)| Property::new(k, v, Default::default());
    let properties: Vec<Property> = keys.into_iter().map(property).collect();
    let mut problems = Problems::default();
    let (place, catalog) = (Default::default(), registry::catalog());
    let context = Context::parse(&SPEC.declared, "c1", &place, &properties, &[], catalog, &mut problems);
    let context = context.map_err(|_| format!("has no settings: {:?}", problems.first_error()))?;
    Ok((SPEC.build)(&context, ChannelParts::new(ChannelCounters::new("c1"), 1 << 30)))
}

/// Opens the channel and takes all that comes; what was said to be there, what came, and why no more.
fn drain(laid: &Laid, s: &mut Signature) -> Result<Option<(usize, usize)>, String> {
    let channel = channel(laid)?;
    loop {
        match channel.open() {
            Ok(true) => break,
            Ok(false) => {}
            Err(why) => {
                s.words(&why);
                return Ok(None);
            }
        }
    }
    let (there, mut came) = (channel.backlog(), 0);
    let stop = AtomicBool::new(false);
    while channel.backlog() > 0 {
        // Events that cannot be read are given up while others are waited for.
        let taken = Take::begin(&channel, 1000, Instant::now() + Duration::from_millis(50), &stop);
        match taken {
            Ok(take) if take.is_empty() => break,
            Ok(take) => {
                came += take.len();
                take.events().for_each(|e| s.count(e.headers().count()));
                take.commit().map_err(|e| format!("has a take that cannot be committed: {e}"))?;
            }
            Err(why) => {
                s.words(&why.to_string());
                break;
            }
        }
    }
    channel.close();
    Ok(Some((there, came)))
}

fn open(input: &[u8]) -> Verdict {
    let laid = Laid::out(&files::unpack(input))?;
    let mut s = Signature::default();
    let Some((there, came)) = (if data_dirs(&laid).is_empty() { None } else { drain(&laid, &mut s)? }) else {
        return Ok(s);
    };
    s.count(there);
    // More: two frames have the same numbers, which nobody can tell apart.
    s.exact(came.cmp(&there));
    if came == there {
        match drain(&laid, &mut s)? {
            Some((0, 0)) => {}
            other => {
                return Err(format!("has been drained of {there} events, and opened again has {other:?}"))
            }
        }
    }
    Ok(s)
}

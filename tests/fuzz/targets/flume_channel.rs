//! What Apache Flume's file channel left: data files, their metadata, checkpoints.
//!
//! An input is a channel's directories, as for `file_channel`; the sum in front of in-flight files is put right.

use super::{tree, Mutate, Signature, Target, Verdict};
use crate::files::{self, File, Laid};
use crate::random::Random;
use flumed::channel::flume::md5::md5;
use flumed::channel::flume::{self, CheckpointUse};

pub static TARGET: Target = Target {
    name: "flume-channel",
    seeds,
    mutate: MUTATE,
    words: &["\x7f", "\x7f\0\0\0", "\x17\x0d\x01\0\0\0\x11", "\x0d\x04\0\0\0", "log-1"],
    longest: 1 << 17,
    // Windows on the files, each a megabyte or two.
    memory: (64, 32 << 20),
    run,
};

const MUTATE: Mutate =
    |random, input, other, words, longest| files::mutate(random, input, other, words, longest, shape);

fn seeds() -> Vec<Vec<u8>> {
    let of = |name: &str| {
        let all = files::unpack(&files::pack_tree(&tree("tests/data/flume-channel").join(name)));
        let mut all: Vec<File> = all.into_iter().filter(|f| f.path.contains('/')).collect();
        // The ring of a queue is as long as the channel's capacity, and the data of one is mostly padding.
        all.iter_mut().for_each(|f| f.bytes.truncate(16 << 10));
        files::pack(&all)
    };
    ["closed", "in-flight", "killed", "two-dirs"].map(of).into()
}

/// Changes the length, type, transaction or order of a record, or a pointer, and puts sums right.
fn shape(random: &mut Random, file: &mut File) {
    let b = &mut file.bytes;
    if file.path.contains("inflight") && b.len() >= 16 {
        let sum = md5(&b[16..]);
        b[..16].copy_from_slice(&sum);
        return;
    }
    let is_record = |at: &usize| b[*at] == 0x7f && b.len() - at >= 29;
    let records: Vec<usize> = (0..b.len()).filter(is_record).collect();
    let Some(at) = random.pick(&records).copied() else { return };
    let (from, n) = [(1, 4), (7, 1), (12, 8), (21, 8), (29, 1), (31, 4), (36, 4)][random.below(7)];
    let value = [0, 1, 2, 4, u64::MAX, 1 << 31, random.next(), random.below(300) as u64][random.below(8)];
    if let Some(field) = b.get_mut(at + from..at + from + n) {
        field.copy_from_slice(&value.to_le_bytes()[..n]);
    }
}

fn run(input: &[u8]) -> Verdict {
    let laid = Laid::out(&files::unpack(input))?;
    let mut s = Signature::default();
    let dirs: Vec<_> = ["data", "data2"].iter().filter_map(|d| laid.dir(d)).collect();
    let checkpoint = laid.dir("checkpoint");
    for checkpoint in [checkpoint.as_deref(), None] {
        let mut undelivered = match flume::read(checkpoint, &dirs, &mut |_, _| {}) {
            Ok(u) => u,
            Err(why) => {
                s.words(&why.to_string());
                continue;
            }
        };
        let (all, mut came) = (undelivered.len(), 0);
        loop {
            match undelivered.next_batch(50, 1 << 20) {
                Ok(None) => break,
                Ok(Some(batch)) => came += batch.len(),
                Err(why) => {
                    s.words(&why.to_string());
                    came = usize::MAX;
                    break;
                }
            }
        }
        let report = undelivered.report();
        let unreadable = report.unreadable_events as usize;
        if came != usize::MAX && came + unreadable != all {
            return Err(format!("gives {came} events, {unreadable} are unreadable, of {all}"));
        }
        s.count(all);
        s.count(unreadable);
        if let CheckpointUse::Bad(why) = &report.checkpoint {
            s.words(why);
        }
    }
    Ok(s)
}

//! Channels that the tests write themselves: what real Flume makes only by chance.

use super::super::md5::md5;
use super::*;
use std::collections::VecDeque;

fn delimited(message: &[u8]) -> Vec<u8> {
    let (mut out, mut len) = (Vec::new(), message.len());
    while len > 0x7f {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(message);
    out
}

fn bytes(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag][..], &delimited(value)].concat()
}

fn fixed32(tag: u8, value: u32) -> Vec<u8> {
    [&[tag][..], &value.to_le_bytes()].concat()
}

fn fixed64(tag: u8, value: u64) -> Vec<u8> {
    [&[tag][..], &value.to_le_bytes()].concat()
}

fn record(kind: u32, transaction: u64, order: u64, body: &[u8]) -> Vec<u8> {
    let header = [fixed32(0x0d, kind), fixed64(0x11, transaction), fixed64(0x19, order)].concat();
    let payload = [delimited(&header), delimited(body), vec![0]].concat();
    [&[0x7f][..], &(payload.len() as u32).to_be_bytes(), &payload].concat()
}

/// A put of an event with these encoded headers.
fn put(transaction: u64, order: u64, headers: &[Vec<u8>], body: &[u8]) -> Vec<u8> {
    let event: Vec<u8> = headers.iter().flat_map(|h| bytes(0x0a, h)).chain(bytes(0x12, body)).collect();
    let sum = fixed64(0x11, u64::from(crc32fast::hash(body)));
    record(1, transaction, order, &[bytes(0x0a, &event), sum].concat())
}

fn take(transaction: u64, order: u64, pointer: u64) -> Vec<u8> {
    let (file, offset) = ((pointer >> 32) as u32, pointer as u32);
    record(2, transaction, order, &[fixed32(0x0d, file), fixed32(0x15, offset)].concat())
}

fn commit(transaction: u64, order: u64, of: u32) -> Vec<u8> {
    record(4, transaction, order, &fixed32(0x0d, of))
}

fn meta(id: u32, position: u64, order: u64, backup: (u64, u64)) -> Vec<u8> {
    delimited(
        &[
            fixed32(0x0d, 3),
            fixed32(0x15, id),
            fixed64(0x19, position),
            fixed64(0x21, order),
            fixed64(0x31, backup.0),
            fixed64(0x39, backup.1),
        ]
        .concat(),
    )
}

/// A channel with one data file.
fn channel(log: &[u8]) -> Channel {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("log-1"), log).unwrap();
    fs::write(data.join("log-1.meta"), meta(1, 0, 0, (0, 0))).unwrap();
    Channel { dir, data: vec![data] }
}

#[test]
fn headers_without_a_value_and_repeated_ones() {
    let headers = [
        bytes(0x0a, b"absent"),
        [bytes(0x0a, b"twice"), bytes(0x12, b"1")].concat(),
        [bytes(0x0a, b"x\xffy"), bytes(0x12, b"\xfe")].concat(),
        [bytes(0x0a, b"twice"), bytes(0x12, b"2")].concat(),
    ];
    let log = [put(1, 1, &headers, b"body"), put(1, 2, &[], b""), commit(1, 3, 1)].concat();
    let channel = channel(&log);
    let mut undelivered = channel.read(false).unwrap();
    assert_eq!(drain(&mut undelivered), ["{absent=, twice=2, x\u{fffd}y=\u{fffd}} body", "{} "]);
    assert!(is_clean(undelivered.report()));
}

#[test]
fn a_name_may_be_longer_than_a_peers() {
    let long = bytes(0x0a, &[b'n'; 300]);
    let log =
        [put(1, 1, &[], b"a"), put(1, 2, &[long], b"b"), put(1, 3, &[], b"c"), commit(1, 4, 1)].concat();
    let channel = channel(&log);
    let batch = channel.read(false).unwrap().next_batch(10, ALL).unwrap().unwrap();
    let names: Vec<usize> = batch.get(1).headers().map(|(k, _)| k.name().len()).collect();
    assert_eq!((batch.len(), names), (3, vec![300]));
}

#[test]
fn a_body_larger_than_any_window() {
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let log = [put(1, 1, &[], b"a"), put(1, 2, &[], &large), put(1, 3, &[], b"c"), commit(1, 4, 1)].concat();
    let channel = channel(&log);
    let mut undelivered = channel.read(false).unwrap();
    assert_eq!(undelivered.next_batch(9, 1000).unwrap().unwrap().len(), 1);
    let batch = undelivered.next_batch(9, 1000).unwrap().unwrap();
    assert!(batch.len() == 1 && batch.get(0).body() == large);
    assert_eq!(undelivered.next_batch(9, 1000).unwrap().unwrap().get(0).body(), b"c");
}

#[test]
fn a_put_in_a_later_file_than_its_commit_is_not_lost() {
    // Two dataDirs: the take of log-2 is written after the put of log-1; a file alone cannot tell.
    let first = put(1, 10, &[], b"a");
    let pointer = |at: usize| 1 << 32 | at as u64;
    let log = [first.clone(), put(1, 11, &[], b"b"), commit(1, 12, 1)].concat();
    let mut channel = channel(&log);
    let other = channel.path("data2");
    fs::create_dir(&other).unwrap();
    let takes = [take(2, 20, pointer(0)), commit(2, 21, 2), take(4, 22, pointer(first.len()))].concat();
    fs::write(other.join("log-2"), takes).unwrap();
    fs::write(other.join("log-2.meta"), meta(2, 0, 0, (0, 0))).unwrap();
    channel.data.insert(0, other);
    let mut undelivered = channel.read(false).unwrap();
    assert_eq!(drain(&mut undelivered), ["{} b"]);
    assert_eq!(undelivered.report().open, OpenTransactions { transactions: 1, puts: 0, takes: 1 });
}

/// A channel as Flume runs it, with its files, in a small model.
struct Model {
    channel: Channel,
    random: u64,
    order: u64,
    /// Per dataDir: number and content of the file being written.
    logs: Vec<(u32, Vec<u8>)>,
    last_file: u32,
    queue: VecDeque<u64>,
    puts: Vec<(u64, Vec<u64>)>,
    takes: Vec<(u64, Vec<u64>)>,
    /// Committed puts in order, less committed takes: what is to be read.
    want: Vec<u64>,
    /// Metadata of files: position and order, and those before.
    metas: std::collections::BTreeMap<u32, [u64; 4]>,
}

impl Model {
    fn new(seed: u64, dirs: usize) -> Model {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join("checkpoint")).unwrap();
        let data: Vec<PathBuf> = (0..dirs).map(|n| dir.path().join(format!("data{n}"))).collect();
        data.iter().for_each(|d| fs::create_dir(d).unwrap());
        let mut model = Model {
            channel: Channel { dir, data },
            random: seed,
            order: 1000,
            logs: vec![(0, Vec::new()); dirs],
            last_file: 0,
            queue: VecDeque::new(),
            puts: Vec::new(),
            takes: Vec::new(),
            want: Vec::new(),
            metas: Default::default(),
        };
        (0..dirs).for_each(|d| model.roll(d));
        model
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % n
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn save(&self, dir: usize) {
        let (id, log) = &self.logs[dir];
        fs::write(self.channel.data[dir].join(format!("log-{id}")), log).unwrap();
        let [position, order, p, o] = self.metas[id];
        fs::write(self.channel.data[dir].join(format!("log-{id}.meta")), meta(*id, position, order, (p, o)))
            .unwrap();
    }

    fn roll(&mut self, dir: usize) {
        if self.logs[dir].0 > 0 {
            self.save(dir);
        }
        self.last_file += 1;
        self.logs[dir] = (self.last_file, Vec::new());
        self.metas.insert(self.last_file, [0; 4]);
    }

    fn write(&mut self, transaction: u64, record: Vec<u8>) -> u64 {
        let dir = transaction as usize % self.logs.len();
        if self.logs[dir].1.len() > 900 {
            self.roll(dir);
        }
        let (id, log) = &mut self.logs[dir];
        let at = log.len() as u64;
        log.extend(record);
        u64::from(*id) << 32 | at
    }

    fn begin_or_pick(&mut self, of_puts: bool) -> usize {
        let open = if of_puts { self.puts.len() } else { self.takes.len() };
        if open < 3 {
            let transaction = self.next();
            let list = if of_puts { &mut self.puts } else { &mut self.takes };
            list.push((transaction, Vec::new()));
        }
        self.below(open.clamp(1, 3) as u64) as usize
    }

    fn step(&mut self) {
        match self.below(20) {
            0..8 => {
                let i = self.begin_or_pick(true);
                let (transaction, order) = (self.puts[i].0, self.next());
                let pointer =
                    self.write(transaction, put(transaction, order, &[], order.to_string().as_bytes()));
                self.puts[i].1.push(pointer);
            }
            8..14 => {
                let i = self.begin_or_pick(false);
                if let Some(pointer) = self.queue.pop_front() {
                    let (transaction, order) = (self.takes[i].0, self.next());
                    self.write(transaction, take(transaction, order, pointer));
                    self.takes[i].1.push(pointer);
                }
            }
            14..16 if !self.puts.is_empty() => {
                let i = self.below(self.puts.len() as u64) as usize;
                let (transaction, pointers) = self.puts.swap_remove(i);
                let order = self.next();
                self.write(transaction, commit(transaction, order, 1));
                self.queue.extend(&pointers);
                self.want.extend(&pointers);
            }
            16..18 if !self.takes.is_empty() => {
                let i = self.below(self.takes.len() as u64) as usize;
                let (transaction, pointers) = self.takes.swap_remove(i);
                let order = self.next();
                self.write(transaction, commit(transaction, order, 2));
                self.want.retain(|p| !pointers.contains(p));
            }
            18 if !self.takes.is_empty() => {
                let (transaction, pointers) = self.takes.remove(0);
                let order = self.next();
                self.write(transaction, super::made::record(3, transaction, order, b""));
                pointers.iter().rev().for_each(|p| self.queue.push_front(*p));
            }
            19 if !self.puts.is_empty() => {
                let (transaction, _) = self.puts.remove(0);
                let order = self.next();
                self.write(transaction, super::made::record(3, transaction, order, b""));
            }
            _ => {}
        }
    }

    /// As Flume does it; the files' metadata may come to tell of it, or the agent ends before.
    fn checkpoint(&mut self, with_metas: bool) {
        let order = self.next();
        let capacity = self.queue.len() as u64 + 1 + self.below(20);
        let head = self.below(capacity);
        let mut words = vec![0u64; 1029 + capacity as usize];
        (words[0], words[1]) = (3, order);
        for (i, pointer) in self.queue.iter().enumerate() {
            words[1029 + (head as usize + i) % capacity as usize] = *pointer;
        }
        let big_endian = |words: &[u64]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
        let dir = self.channel.path("checkpoint");
        fs::write(dir.join("checkpoint"), big_endian(&words)).unwrap();
        let numbers = [fixed32(0x0d, 3), fixed64(0x11, order), fixed32(0x1d, self.queue.len() as u32)];
        let meta =
            [numbers.concat(), fixed32(0x25, head as u32), bytes(0x2a, b"\x0d\x01\0\0\0\x15\x07\0\0\0")];
        fs::write(dir.join("checkpoint.meta"), delimited(&meta.concat())).unwrap();
        for (name, transactions) in [("inflightputs", &self.puts), ("inflighttakes", &self.takes)] {
            let mut words = Vec::new();
            for (transaction, pointers) in transactions.iter().filter(|(_, p)| !p.is_empty()) {
                words.extend([*transaction, pointers.len() as u64]);
                words.extend(pointers.iter().rev());
            }
            let rest = big_endian(&words);
            fs::write(dir.join(name), [&md5(&rest)[..], &rest].concat()).unwrap();
        }
        for dir in (0..self.logs.len()).filter(|_| with_metas) {
            let (id, log) = &self.logs[dir];
            let old = self.metas[id];
            self.metas.insert(*id, [log.len() as u64, order, old[0], old[1]]);
            self.save(dir);
        }
    }
}

#[test]
fn any_history_reads_the_same_with_a_checkpoint_and_without() {
    for seed in 0..60 {
        let mut model = Model::new(seed, 1 + seed as usize % 3);
        for n in 0..400 {
            model.step();
            if model.below(60) == 0 || n == 200 {
                let with_metas = model.below(4) > 0;
                model.checkpoint(with_metas);
            }
        }
        (0..model.logs.len()).for_each(|d| model.save(d));
        let whole = model.channel.read(false).unwrap();
        assert_eq!(whole.pointers, model.want, "seed {seed}");
        let mut since = model.channel.read(true).unwrap();
        assert_eq!(since.report().checkpoint, CheckpointUse::Used, "seed {seed}");
        let sorted = |pointers: &[u64]| {
            let mut pointers = pointers.to_vec();
            pointers.sort_unstable();
            pointers
        };
        assert_eq!(sorted(&since.pointers), sorted(&model.want), "seed {seed}");
        assert_eq!(since.report().open.transactions, whole.report().open.transactions, "seed {seed}");
        assert_eq!(drain(&mut since).len(), model.want.len());
        assert!(is_clean(since.report()), "seed {seed}: {:?}", since.report());
    }
}

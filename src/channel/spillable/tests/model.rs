//! Random puts, takes, commits, rollbacks, kills and stops against a plain list: all comes out once, and in order.

use super::*;

/// xorshift: replays.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n) as usize
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    /// Reserved, or appended and not known to be stored.
    Open,
    There,
    /// With a taker.
    Out,
}

/// What the channel has, in the order of its places: number, stage, side.
#[derive(Default)]
struct Model {
    events: Vec<(u64, Stage, Side)>,
    next: u64,
}

impl Model {
    fn set(&mut self, numbers: &[u64], to: Stage) {
        for e in self.events.iter_mut().filter(|e| numbers.contains(&e.0)) {
            e.1 = to;
        }
    }

    fn remove(&mut self, numbers: &[u64]) {
        self.events.retain(|e| !numbers.contains(&e.0));
    }

    /// What a take is to give: from one side, the lowest that nobody has, nothing behind what is open.
    fn expected(&self, max: usize) -> Vec<u64> {
        let left = self.events.iter().filter(|e| e.1 != Stage::Out);
        let ready: Vec<_> = left.take_while(|e| e.1 == Stage::There).collect();
        ready.iter().take_while(|e| e.2 == ready[0].2).take(max).map(|e| e.0).collect()
    }

    fn of(&self, side: Side) -> Vec<(u64, Stage, Side)> {
        self.events.iter().filter(|e| e.2 == side).copied().collect()
    }
}

/// A put on its way.
struct Pending<'a> {
    put: Option<Put<'a>>,
    ticket: Option<Ticket>,
    numbers: Vec<u64>,
}

/// Waits for the disk, and notes what is stored.
fn settle(c: &SpillableChannel, m: &mut Model, pending: &mut Vec<Pending<'_>>, failed: &mut usize) {
    while !lock(&c.shared.state).order.is_settled() {
        std::thread::yield_now();
    }
    pending.retain(|p| match p.ticket.as_ref().map(Ticket::state) {
        None | Some(TicketState::Open) => true,
        Some(TicketState::Done) => {
            m.set(&p.numbers, Stage::There);
            false
        }
        Some(TicketState::Failed(_)) => {
            m.remove(&p.numbers);
            *failed += 1;
            false
        }
    });
}

/// Returns how many batches were refused by the disk.
fn run(seed: u64, lives: usize) -> usize {
    println!("seed {seed}");
    let mut r = Random(seed);
    let mut fs = SimFs::new(seed);
    let s = Settings { capacity: 12, threshold: 20, overflow: Some(60), ..settings() };
    let (mut m, mut delivered, mut failed) = (Model::default(), 0, 0);
    for _ in 0..lives {
        let c = open(&fs, s);
        let d = dynamic(&c);
        let (has_faults, mut is_faulty) = (r.below(3) == 0, false);
        let (mut pending, mut takes) = (Vec::<Pending<'_>>::new(), Vec::<(Take, Vec<u64>)>::new());
        for _ in 0..r.below(150) {
            match r.below(12) {
                0..=3 => {
                    let n = 1 + r.below(7) as u64;
                    let waiter = (r.below(3) > 0).then(late);
                    let Ok(put) = Put::reserve(&d, room(n), waiter.as_ref()) else { continue };
                    let place = put.reserved.as_ref().unwrap().place;
                    let side = lock(&c.shared.state).order.side(place).unwrap();
                    let numbers = list(m.next..m.next + n);
                    m.next += n;
                    m.events.extend(numbers.iter().map(|n| (*n, Stage::Open, side)));
                    pending.push(Pending { put: Some(put), ticket: None, numbers });
                }
                4..=6 => {
                    let open: Vec<usize> = (0..pending.len()).filter(|i| pending[*i].put.is_some()).collect();
                    if open.is_empty() {
                        continue;
                    }
                    let p = &mut pending[open[r.below(open.len() as u64)]];
                    let put = p.put.take().unwrap();
                    if r.below(6) == 0 {
                        drop(put);
                        m.remove(&p.numbers);
                        pending.retain(|p| p.put.is_some() || p.ticket.is_some());
                    } else {
                        let events = events(p.numbers[0]..p.numbers[0] + p.numbers.len() as u64);
                        // One directory fails for a moment, now and then: what is on its way there is refused.
                        let fails = has_faults && r.below(12) == 0;
                        if fails {
                            is_faulty = true;
                            fs.fail_always("/d0/", 5);
                        }
                        p.ticket = Some(put.append(events, &nobody()).unwrap());
                        if fails {
                            settle(&c, &mut m, &mut pending, &mut failed);
                            fs.heal();
                        }
                    }
                }
                7..=9 => {
                    settle(&c, &mut m, &mut pending, &mut failed);
                    let max = 1 + r.below(9);
                    let expected = m.expected(max);
                    let t = take(&c, max);
                    let got = numbers(&t);
                    let is_right = expected.starts_with(&got) && got.is_empty() == expected.is_empty();
                    assert!(is_right, "seed {seed}: {got:?} where {expected:?} was expected");
                    m.set(&got, Stage::Out);
                    takes.extend((!t.is_empty()).then_some((t, got)));
                }
                _ if !takes.is_empty() => {
                    let (t, got) = takes.swap_remove(r.below(takes.len() as u64));
                    // Some of it, or all.
                    let [front, back] = t.split_at(r.below(got.len() as u64 + 1));
                    let (a, b) = got.split_at(front.len());
                    match front.commit() {
                        Ok(()) => {
                            m.remove(a);
                            delivered += a.len();
                        }
                        Err(_) => m.set(a, Stage::There),
                    }
                    drop(back);
                    m.set(b, Stage::There);
                }
                _ => {}
            }
        }
        for p in pending.iter_mut() {
            if p.put.take().is_some() {
                m.remove(&p.numbers);
            }
        }
        settle(&c, &mut m, &mut pending, &mut failed);
        for (t, got) in takes.drain(..) {
            drop(t);
            m.set(&got, Stage::There);
        }
        // A directory that has just failed may have takes to write again: killed then, the log repeats them.
        if r.below(2) == 0 && !is_faulty {
            fs = fs.kill();
            m.events = m.of(Side::Overflow);
        } else {
            assert_eq!(c.close(), 0, "seed {seed}");
            m.events = [m.of(Side::Overflow), m.of(Side::Memory)].concat();
        }
        m.events.iter_mut().for_each(|e| e.2 = Side::Overflow);
    }
    let c = open(&fs, s);
    let rest: Vec<u64> = m.events.iter().map(|e| e.0).collect();
    assert_eq!(drain(&c, 5), rest, "seed {seed}");
    assert_eq!((c.backlog(), c.counters().measure().bytes), (0, 0), "seed {seed}");
    assert!(delivered > 0, "seed {seed}");
    failed
}

#[test]
fn random_schedules_keep_the_order_and_lose_nothing() {
    let failed: usize = (1..=60u64).map(|seed| run(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 6)).sum();
    assert!(failed > 10, "{failed}");
}

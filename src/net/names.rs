//! Names of peers (reverse DNS), looked up on threads of their own.
//!
//! They start with the first question, `names:N`, a few, so that one name whose server does not answer holds up no other; where
//! all of them are held up, an address stands for its name at once. What they found is kept in a bounded cache, an address
//! without a name too. Who asks sets its own deadline: an answer that comes too late is for the next one. An address is looked
//! up once, whoever asks meanwhile. Any thread may ask; one leaf mutex, not held over a look-up or an answer.

use crate::lock::lock;
use dns_lookup::LookupErrorKind;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a name is good, and that an address has none.
const KEEP: Duration = Duration::from_secs(300);
/// How long it is not asked again what could not be answered.
const KEEP_FAILURE: Duration = Duration::from_secs(10);
const CACHED: usize = 4096;
/// Names that are looked up at the same time.
const THREADS: usize = 4;
/// A look-up that takes longer is held up: nobody waits for one behind it.
const LONG: Duration = Duration::from_secs(5);
/// Who may wait for the look-up threads; beyond it addresses stand for names.
const MOST_WAITING: usize = 1024;
/// Addresses of datagrams that may: anybody can make them up.
const MOST_OF_DATAGRAMS: usize = MOST_WAITING / 4;

type Answer = Box<dyn FnOnce(String) + Send>;

/// What a look-up came to.
pub struct Found {
    /// The address itself, if it has none.
    pub name: String,
    /// How long that is good.
    pub keep: Duration,
}

type LookUp = dyn Fn(IpAddr) -> Found + Send + Sync;

pub struct Names {
    look_up: Arc<LookUp>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Names, and until when they are good.
    cache: HashMap<IpAddr, (String, Instant)>,
    /// Who waits for the names that are asked for.
    pending: HashMap<IpAddr, Vec<Answer>>,
    waiting: usize,
    /// Since when they are looked up.
    at_work: HashMap<IpAddr, Instant>,
    questions: Option<Sender<IpAddr>>,
}

impl State {
    fn fresh(&self, ip: IpAddr, now: Instant) -> Option<&str> {
        self.cache.get(&ip).filter(|(_, until)| *until > now).map(|(name, _)| name.as_str())
    }

    /// Whether another question would wait for answers that do not come.
    fn is_held_up(&self, now: Instant) -> bool {
        self.at_work.len() >= THREADS && self.at_work.values().all(|since| now.duration_since(*since) > LONG)
    }

    fn keep(&mut self, ip: IpAddr, found: &Found) {
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        self.cache.insert(ip, (found.name.clone(), Instant::now() + found.keep));
    }
}

impl Default for Names {
    /// Names as the system's resolver gives them.
    fn default() -> Names {
        Names::new(|ip| match dns_lookup::lookup_addr(&ip) {
            Ok(name) => Found { name, keep: KEEP },
            Err(e) => {
                let has_none = matches!(e.kind(), LookupErrorKind::NoName | LookupErrorKind::NoData);
                Found { name: ip.to_string(), keep: if has_none { KEEP } else { KEEP_FAILURE } }
            }
        })
    }
}

impl Names {
    pub fn new(look_up: impl Fn(IpAddr) -> Found + Send + Sync + 'static) -> Names {
        Names { look_up: Arc::new(look_up), state: Arc::default() }
    }

    /// Calls `answer` with the name, at once or from a look-up thread. An address without a name answers with itself.
    pub fn ask(&self, ip: IpAddr, answer: impl FnOnce(String) + Send + 'static) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let known = match state.fresh(ip, now) {
            Some(name) => Some(name.to_owned()),
            None if state.waiting >= MOST_WAITING => Some(ip.to_string()),
            None if !state.pending.contains_key(&ip) && state.is_held_up(now) => Some(ip.to_string()),
            None => None,
        };
        if let Some(name) = known {
            drop(state);
            return answer(name);
        }
        state.waiting += 1;
        self.question(&mut state, ip).push(Box::new(answer));
    }

    /// The name as far as it is known now, perhaps of some time ago; it is looked up for the next time, if need be.
    pub fn now(&self, ip: IpAddr) -> Option<String> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.fresh(ip, now).is_none() {
            let is_new = !state.pending.contains_key(&ip);
            if is_new && state.pending.len() < MOST_OF_DATAGRAMS && !state.is_held_up(now) {
                self.question(&mut state, ip);
            }
        }
        state.cache.get(&ip).map(|(name, _)| name.clone())
    }

    /// Has an address looked up, unless it is; returns who waits for it.
    fn question<'a>(&self, state: &'a mut State, ip: IpAddr) -> &'a mut Vec<Answer> {
        if !state.pending.contains_key(&ip) {
            let questions = state.questions.get_or_insert_with(|| self.start());
            // The threads live as long as the questions do.
            let _ = questions.send(ip);
        }
        state.pending.entry(ip).or_default()
    }

    fn start(&self) -> Sender<IpAddr> {
        let (questions, asked) = channel();
        let asked = Arc::new(Mutex::new(asked));
        for i in 0..THREADS {
            let (look_up, state, asked) = (self.look_up.clone(), Arc::downgrade(&self.state), asked.clone());
            let body = move || {
                while let Some(ip) = next(&asked) {
                    let Some(state) = state.upgrade() else { return };
                    answer(ip, &*look_up, &state);
                }
            };
            if let Err(e) = std::thread::Builder::new().name(format!("names:{i}")).spawn(body) {
                log::error!("no thread for name look-ups: {e}");
            }
        }
        questions
    }
}

/// The next question; whoever waits for it has it alone.
fn next(asked: &Mutex<Receiver<IpAddr>>) -> Option<IpAddr> {
    lock(asked).recv().ok()
}

/// Looks an address up and tells who waits for it.
fn answer(ip: IpAddr, look_up: &LookUp, state: &Mutex<State>) {
    lock(state).at_work.insert(ip, Instant::now());
    let found = look_up(ip);
    let answers = {
        let mut state = lock(state);
        state.at_work.remove(&ip);
        state.keep(ip, &found);
        let answers = state.pending.remove(&ip).unwrap_or_default();
        state.waiting -= answers.len();
        answers
    };
    answers.into_iter().for_each(|answer| answer(found.name.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon<T>(heard: &Receiver<T>) -> T {
        heard.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, n])
    }

    /// Names of which those of `slow` are not found before the sender is dropped; and how often each was looked up.
    fn names(slow: fn(IpAddr) -> bool) -> (Names, Sender<()>, Receiver<IpAddr>) {
        let (release, held) = channel::<()>();
        let (look, looked) = channel();
        let (held, look) = (Mutex::new(held), Mutex::new(look));
        let names = Names::new(move |ip| {
            let _ = lock(&look).send(ip);
            if slow(ip) {
                let _ = lock(&held).recv();
            }
            Found { name: format!("name of {ip}"), keep: KEEP }
        });
        (names, release, looked)
    }

    #[test]
    fn loopback_has_some_name_and_is_remembered() {
        let names = Names::default();
        let (tx, rx) = channel();
        names.ask(ip(1), move |n| tx.send(n).unwrap());
        let name = soon(&rx);
        assert!(!name.is_empty());
        assert_eq!(names.now(ip(1)), Some(name));
    }

    /// A name server that does not answer costs who asks about its names, and nobody else.
    #[test]
    fn a_name_that_hangs_holds_up_no_other() {
        let (names, release, _) = names(|asked| asked == ip(2));
        let (tx, rx) = channel();
        let told = tx.clone();
        names.ask(ip(2), move |name| told.send(name).unwrap());
        for i in 3..30 {
            let tx = tx.clone();
            names.ask(ip(i), move |name| tx.send(name).unwrap());
            assert_eq!(soon(&rx), format!("name of 127.0.0.{i}"));
        }
        drop(release);
        assert_eq!(soon(&rx), "name of 127.0.0.2");
    }

    #[test]
    fn an_address_is_looked_up_once_for_all_who_ask() {
        let (names, release, looked) = names(|_| true);
        let (tx, rx) = channel();
        for _ in 0..5 {
            let tx = tx.clone();
            names.ask(ip(2), move |name| tx.send(name).unwrap());
            assert_eq!(names.now(ip(2)), None);
        }
        assert_eq!(soon(&looked), ip(2));
        drop(release);
        (0..5).for_each(|_| assert_eq!(soon(&rx), "name of 127.0.0.2"));
        assert_eq!(names.now(ip(2)).as_deref(), Some("name of 127.0.0.2"));
        assert!(looked.try_recv().is_err());
    }

    #[test]
    fn where_all_are_held_up_nobody_waits() {
        let (names, release, looked) = names(|_| true);
        for i in 0..THREADS as u8 {
            names.ask(ip(i), |_| {});
            soon(&looked);
        }
        let long_ago = Instant::now().checked_sub(LONG * 2);
        let Some(long_ago) = long_ago else { return };
        // Each was at work before it looked.
        assert_eq!(lock(&names.state).at_work.len(), THREADS);
        lock(&names.state).at_work.values_mut().for_each(|since| *since = long_ago);
        let (tx, rx) = channel();
        names.ask(ip(99), move |name| tx.send(name).unwrap());
        assert_eq!(rx.try_recv().unwrap(), "127.0.0.99", "the address, at once");
        assert_eq!(names.now(ip(98)), None);
        assert!(!lock(&names.state).pending.contains_key(&ip(98)));
        drop(release);
    }

    #[test]
    fn made_up_addresses_leave_room_for_connections() {
        let (names, release, _) = names(|_| true);
        for i in 0..MOST_WAITING as u32 {
            names.now(IpAddr::from(i.to_be_bytes()));
        }
        assert!(lock(&names.state).pending.len() <= MOST_OF_DATAGRAMS);
        drop(release);
    }
}

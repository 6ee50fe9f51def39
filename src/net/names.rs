//! Names of peers (reverse DNS), looked up on threads of their own.
//!
//! They start with the first question, `names:N`, a few, so that one name whose server does not answer holds up no other;
//! what they found is kept in a bounded cache, an address without a name too. Who asks sets its own deadline: an answer that
//! comes too late is for the next one. Any thread may ask; leaf mutexes.

use crate::lock::lock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEEP: Duration = Duration::from_secs(300);
const CACHED: usize = 4096;
/// Names that are looked up at the same time.
const THREADS: usize = 4;
/// Questions that may wait for the look-up thread; beyond it addresses stand for names.
const MOST_WAITING: usize = 1024;

type Answer = Box<dyn FnOnce(String) + Send>;
/// The name of an address; an address without one is its own.
type LookUp = dyn Fn(IpAddr) -> String + Send + Sync;

pub struct Names {
    look_up: Arc<LookUp>,
    cache: Arc<Mutex<HashMap<IpAddr, (Instant, String)>>>,
    asked: Mutex<Option<Sender<(IpAddr, Answer)>>>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Names {
    /// Names as the system's resolver gives them.
    fn default() -> Names {
        Names::new(|ip| dns_lookup::lookup_addr(&ip).unwrap_or_else(|_| ip.to_string()))
    }
}

impl Names {
    pub fn new(look_up: impl Fn(IpAddr) -> String + Send + Sync + 'static) -> Names {
        let (cache, asked, waiting) = (Arc::default(), Mutex::default(), Arc::default());
        Names { look_up: Arc::new(look_up), cache, asked, waiting }
    }

    /// The name, if it was looked up lately. An address without a name answers with itself.
    pub fn cached(&self, ip: IpAddr) -> Option<String> {
        let cache = lock(&self.cache);
        cache.get(&ip).filter(|(at, _)| at.elapsed() < KEEP).map(|(_, name)| name.clone())
    }

    /// Calls `answer` with the name, at once or from the look-up thread.
    pub fn ask(&self, ip: IpAddr, answer: impl FnOnce(String) + Send + 'static) {
        if let Some(name) = self.cached(ip) {
            return answer(name);
        }
        if !self.may_ask() {
            return answer(ip.to_string());
        }
        let mut asked = lock(&self.asked);
        let sender = asked.get_or_insert_with(|| self.start());
        if let Err(unsent) = sender.send((ip, Box::new(answer))) {
            let (ip, answer) = unsent.0;
            answer(ip.to_string());
        }
    }

    /// Whether there is room for another question.
    fn may_ask(&self) -> bool {
        self.waiting.fetch_add(1, Relaxed) < MOST_WAITING || {
            self.waiting.fetch_sub(1, Relaxed);
            false
        }
    }

    fn start(&self) -> Sender<(IpAddr, Answer)> {
        let (tx, rx) = channel::<(IpAddr, Answer)>();
        let questions = Arc::new(Mutex::new(rx));
        for i in 0..THREADS {
            let (cache, waiting, questions) = (self.cache.clone(), self.waiting.clone(), questions.clone());
            let look_up = self.look_up.clone();
            let body = move || loop {
                // Whoever waits for the next question has it alone.
                let Ok((ip, answer)) = lock(&questions).recv() else { return };
                let name = name_of(ip, &cache, &*look_up);
                waiting.fetch_sub(1, Relaxed);
                answer(name);
            };
            if let Err(e) = std::thread::Builder::new().name(format!("names:{i}")).spawn(body) {
                log::error!("no thread for name look-ups: {e}");
            }
        }
        tx
    }
}

/// The name of an address, or itself.
fn name_of(ip: IpAddr, cache: &Mutex<HashMap<IpAddr, (Instant, String)>>, look_up: &LookUp) -> String {
    let fresh = lock(cache).get(&ip).filter(|(at, _)| at.elapsed() < KEEP).map(|(_, name)| name.clone());
    fresh.unwrap_or_else(|| {
        let name = look_up(ip);
        let mut cache = lock(cache);
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(ip, (Instant::now(), name.clone()));
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_some_name_and_is_remembered() {
        let names = Names::default();
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let (tx, rx) = channel();
        names.ask(ip, move |n| tx.send(n).unwrap());
        let name = rx.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(!name.is_empty());
        assert_eq!(names.cached(ip), Some(name));
    }

    /// A name server that does not answer costs who asks about its names, and nobody else.
    #[test]
    fn a_name_that_hangs_holds_up_no_other() {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let slow: IpAddr = "127.0.0.2".parse().unwrap();
        let names = Names::new(move |ip| {
            if ip == slow {
                // Until the test ends.
                let _ = lock(&held).recv();
            }
            format!("name of {ip}")
        });
        let (tx, rx) = channel();
        let told = tx.clone();
        names.ask(slow, move |name| told.send(name).unwrap_or(()));
        for i in 3..30 {
            let tx = tx.clone();
            names.ask(IpAddr::from([127, 0, 0, i]), move |name| tx.send(name).unwrap());
            assert_eq!(rx.recv_timeout(Duration::from_secs(20)).unwrap(), format!("name of 127.0.0.{i}"));
        }
        drop(release);
        assert_eq!(rx.recv_timeout(Duration::from_secs(20)).unwrap(), "name of 127.0.0.2");
    }
}

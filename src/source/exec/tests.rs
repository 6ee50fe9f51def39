use super::*;
use crate::config::testing::{context, Known};
use crate::counters::SourceCounters;
use crate::lifecycle::Stop;

const WIDE: BatchLimits = BatchLimits { events: 10_000, bytes: usize::MAX };

struct Run {
    source: Box<dyn PollableSource>,
    parts: SourceParts,
}

fn run(keys: &[(&str, &str)]) -> Run {
    let Source::Polled { mut source, .. } = build(&context(&SPEC.declared, &Known, keys).unwrap()) else {
        panic!("not polled")
    };
    let parts = SourceParts { stop: Arc::new(Stop::default()), counters: SourceCounters::new("r1") };
    source.start(&parts).unwrap();
    Run { source, parts }
}

fn shell(script: &str, keys: &[(&str, &str)]) -> Run {
    run(&[&[("shell", "/bin/sh -c"), ("command", script)], keys].concat())
}

impl Run {
    fn poll(&mut self) -> (Polled, Vec<String>) {
        let mut batch = Batch::new();
        let polled = self.source.poll(WIDE, &mut batch).unwrap();
        (polled, batch.iter().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect())
    }

    /// All batches until the source has no more.
    fn batches(&mut self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let (polled, lines) = self.poll();
            if !lines.is_empty() {
                all.push(lines);
            }
            if polled == Polled::Finished {
                return all;
            }
        }
    }

    fn lines(&mut self) -> Vec<String> {
        self.batches().concat()
    }
}

#[test]
fn words_are_split_at_white_space_without_quoting() {
    assert_eq!(run(&[("command", "echo  'a  b' $HOME *")]).lines(), ["'a b' $HOME *"]);
    assert_eq!(shell("echo 'a  b'; echo $0", &[]).lines(), ["a  b", "/bin/sh"]);
}

#[test]
fn settings_are_checked() {
    let wrong = |keys: &[(&str, &str)]| context(&SPEC.declared, &Known, keys).err().unwrap().join("\n");
    assert!(wrong(&[("command", "  ")]).contains("empty"));
    assert!(wrong(&[("command", "x"), ("charset", "utf-9")]).contains("'utf-9' is not a known charset"));
    assert!(wrong(&[]).contains("command"));
}

#[test]
fn the_last_line_may_lack_its_end() {
    assert_eq!(shell("printf 'a\\r\\n\\nb\\rc'", &[]).lines(), ["a", "", "b", "c"]);
    assert_eq!(shell("exit 3", &[]).lines(), [""; 0]);
}

#[test]
fn batches_are_full_while_there_is_enough_to_read() {
    let script = "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); done >all; cat all; rm all";
    let script = format!("cd \"$(mktemp -d)\"; {script}; rmdir \"$PWD\"");
    let all = shell(&script, &[("batchSize", "30")]).batches();
    let sizes: Vec<usize> = all.iter().map(Vec::len).collect();
    assert_eq!(sizes, [30, 30, 30, 10]);
    assert_eq!(all.concat(), (0..100).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_batch_does_not_wait_for_lines_that_are_not_there() {
    let began = Instant::now();
    let mut slow = shell("echo a; exec sleep 600", &[("batchTimeout", "600000")]);
    while slow.poll().1.is_empty() {}
    assert!(began.elapsed() < Duration::from_secs(60));
    slow.source.stop();
}

/// Each poll reads at most one buffer then, however much there is.
#[test]
fn batch_timeout_ends_a_batch_that_could_go_on() {
    let all = run(&[("command", "seq 1 100000"), ("batchSize", "10000"), ("batchTimeout", "0")]).batches();
    assert_eq!(all.concat(), (1..=100_000).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(all.iter().all(|b| b.iter().map(|l| l.len() + 1).sum::<usize>() <= BUFFER + 10));
}

#[test]
fn bodies_keep_their_charset() {
    let mut r = shell("printf 'a\\000\\344\\000\\n\\000'", &[("charset", "UTF-16LE")]);
    let mut batch = Batch::new();
    while batch.is_empty() {
        r.source.poll(WIDE, &mut batch).unwrap();
    }
    assert_eq!(batch.get(0).body(), b"a\0\xe4\0");
}

#[test]
fn long_lines_are_cut_and_counted() {
    let mut r = shell("echo 0123456789abcdefghij; echo x", &[("maxLineLength", "16")]);
    assert_eq!(r.lines(), ["0123456789abcdef", "ghij", "x"]);
    assert_eq!(r.parts.counters.lines_cut.get(), 1);
}

#[test]
fn a_command_that_is_not_there_is_a_failure() {
    let mut r = run(&[("command", "/does/not/exist -x")]);
    assert_eq!(r.poll(), (Polled::Finished, vec![]));
    let why = "cannot run /does/not/exist: No such file or directory (os error 2)";
    assert_eq!(r.parts.counters.health.state(), Health::Failed(why.into()));
    assert_eq!(r.poll().0, Polled::Finished);
}

#[test]
fn an_end_in_failure_is_shown() {
    let ends = [
        ("exit 3", Some("exit status: 3")),
        ("kill -9 $$", Some("signal: 9 (SIGKILL)")),
        ("exit 0", None),
        // It closes its output, and after a while it is told to end.
        ("exec sleep 600 >&-", None),
    ];
    for (script, status) in ends {
        let mut r = shell(script, &[]);
        r.lines();
        let why = |s| format!("the command has ended, {s}; it is not run again (restart = false)");
        let shown = match r.parts.counters.health.state() {
            Health::Failed(why) => Some(why),
            _ => None,
        };
        assert_eq!(shown, status.map(why), "{script}");
    }
}

#[test]
fn restarts_are_spaced_and_counted() {
    let mut r = shell("echo x; exit 1", &[("restart", "true"), ("restartThrottle", "150")]);
    let began = Instant::now();
    let mut lines = 0;
    while lines < 3 {
        lines += r.poll().1.len();
    }
    assert_eq!(r.parts.counters.restarts.get(), 2);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    while r.parts.counters.restarts.get() < 3 {
        r.poll();
    }
    r.source.stop();
}

#[test]
fn a_stop_during_the_pause_is_immediate() {
    let mut r = run(&[("command", "true"), ("restart", "true"), ("restartThrottle", "600000")]);
    // It starts; it ends.
    assert_eq!([r.poll().0, r.poll().0], [Polled::Ready; 2]);
    let stop = r.parts.stop.clone();
    let began = Instant::now();
    let other = std::thread::spawn(move || stop.drain());
    assert_eq!(r.poll().0, Polled::Finished);
    assert!(!r.source.wind_down());
    assert!(began.elapsed() < Duration::from_secs(60));
    other.join().unwrap();
}

#[test]
fn what_was_written_before_the_stop_is_read() {
    let script = "trap 'echo last; exit' TERM; echo first; while :; do sleep 0.01; done";
    let mut r = shell(script, &[]);
    while r.poll().1.is_empty() {}
    r.parts.stop.drain();
    assert!(r.source.wind_down());
    assert_eq!(r.lines(), ["last"]);
}

#[test]
fn nobody_waits_for_who_left_the_group() {
    let mut r = shell("setsid sh -c 'printf \"first\\ntail\"; exec sleep 5' & wait", &[]);
    while r.poll().1.is_empty() {}
    r.parts.stop.drain();
    assert!(r.source.wind_down());
    let began = Instant::now();
    assert_eq!(r.lines(), ["tail"]);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn nobody_reads_on_for_who_left_the_group() {
    let mut r = shell("setsid sh -c 'while echo x; do :; done' & exec sleep 600", &[]);
    while r.poll().1.is_empty() {}
    r.parts.stop.drain();
    assert!(r.source.wind_down());
    let began = Instant::now();
    assert!(r.lines().iter().all(|l| l == "x"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// What the group has left in the pipe is read, however late that is.
#[test]
fn a_reader_that_comes_late_finds_all_lines() {
    let script = "trap 'seq 1 5000; exit' TERM; setsid sleep 8 & echo first; while :; do sleep 0.01; done";
    let mut r = shell(script, &[]);
    while r.poll().1.is_empty() {}
    r.parts.stop.drain();
    assert!(r.source.wind_down());
    // As when a full channel holds the source up.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(r.lines(), (1..=5000).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn who_ignores_sigterm_is_killed() {
    let mut r = shell("trap '' TERM; echo first; while :; do sleep 0.01; done", &[]);
    while r.poll().1.is_empty() {}
    r.parts.stop.drain();
    assert!(r.source.wind_down());
    let began = Instant::now();
    assert_eq!(r.lines(), [""; 0]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_is_left_when_there_is_no_time_is_counted() {
    let mut r = run(&[("command", "seq 1 1000"), ("batchSize", "1")]);
    while r.poll().1.is_empty() {}
    r.parts.stop.halt();
    r.source.stop();
    let c = &r.parts.counters;
    assert_eq!((c.event_dropped.get(), c.event_received.get()), (999, 999));
}

/// What the command has of the agent: no descriptor, no signal blocked or ignored that was not ignored for the agent.
#[test]
fn the_command_starts_clean() {
    let _open = std::fs::File::open("/dev/zero").unwrap();
    // No shell: one blocks signals while it waits.
    let lines = run(&[("command", "grep ^Sig[BI] /proc/self/status")]).lines();
    let of = |line: &str, name| u64::from_str_radix(line.strip_prefix(name).unwrap(), 16).unwrap();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = of(own.lines().find(|l| l.starts_with("SigIgn")).unwrap(), "SigIgn:\t");
    assert_eq!((lines.len(), of(&lines[0], "SigBlk:\t")), (2, 0), "{lines:?}");
    // SIGPIPE is 13; from 32 on they are the C library's own.
    assert_eq!(of(&lines[1], "SigIgn:\t") & 0x7fff_ffff, own & 0x7fff_ffff & !(1 << 12));

    assert_eq!(run(&[("command", "cat")]).lines(), [""; 0]);
    let open = run(&[("command", "ls -l /proc/self/fd")]).lines().join("\n");
    assert!(open.contains(" 0 -> /dev/null") && !open.contains("/dev/zero"), "{open}");
}

//! A full disk: puts are refused, sinks go on, everything resumes by itself, nothing is lost.

use super::*;

/// Puts until there is no room; returns what is stored.
fn fill(c: &Arc<FileChannel>, from: u64, most: u64) -> u64 {
    let mut next = from;
    while next < from + most {
        match put(c, &bodies(next..next + 5)) {
            Ok(()) => next += 5,
            Err(_) => return next,
        }
    }
    next
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_full_disk_is_drained_and_used_again_by_itself() {
    let fs = SimFs::new(1);
    fs.set_capacity(1 << 20);
    let size = Settings { segment_size: 32 << 10, ..settings() };
    let c = try_open(&fs, fixed(1), size).unwrap();
    let mut next = 0;
    let mut got = Vec::new();
    for round in 0..4 {
        let before = next;
        next = fill(&c, next, 100_000);
        assert!(next - before > 1000, "round {round}: only {} events found room", next - before);
        // Nothing that was refused is there, all that was stored is; one at a time, so that takes need much room.
        let max = if round % 2 == 0 { 1 } else { 50 };
        while got.len() < next as usize {
            let t = take(&c, max).unwrap();
            assert!(!t.is_empty(), "round {round}: {} of {next}", got.len());
            got.extend(texts(&t));
            t.commit().unwrap_or_else(|e| panic!("round {round}, {} of {next} are out: {e}", got.len()));
        }
        wait_for("room again", || put(&c, &bodies(next..next + 1)).is_ok());
        next += 1;
    }
    got.extend(drain(&c, 9));
    assert!(got == bodies(0..next), "{} of {next}", got.len());
}

#[test]
fn it_starts_on_a_full_disk() {
    let fs = SimFs::new(1);
    fs.set_capacity(512 << 10);
    let size = Settings { segment_size: 32 << 10, ..settings() };
    let c = try_open(&fs, fixed(1), size).unwrap();
    let next = fill(&c, 0, 100_000);
    c.close();
    let c = try_open(&fs.kill(), fixed(1), size).unwrap();
    assert!(drain(&c, 10) == bodies(0..next));
    wait_for("room again", || put(&c, &bodies(0..1)).is_ok());
}

#[test]
fn what_must_stay_free_stays_free() {
    let fs = SimFs::new(1);
    fs.set_capacity(4 << 20);
    let required_space = 2 << 20;
    let size = Settings { segment_size: 32 << 10, required_space, ..settings() };
    let c = try_open(&fs, fixed(1), size).unwrap();
    wait_for("the limit", || put(&c, &bodies(0..50)).is_err() && lock(&engine(&c).state).full().is_some());
    let next = c.backlog() as u64;
    assert_eq!(begin_put(&c, &bodies(0..1)).err(), Some(PutError::Full));
    let told = c.counters.describe_full();
    assert!(told.contains("the disk is full") && told.contains("minimumRequiredSpace is 2097152"), "{told}");
    assert!(fs.usable_space(Path::new("/")).unwrap() > 1 << 20);
    assert_eq!(drain(&c, 100).len() as u64, next);
    // Lowering the limit is enough, too: who waits is woken.
    c.live.set(Settings { required_space: 1, ..size });
    wait_for("room again", || put(&c, &bodies(0..1)).is_ok());
}

#[test]
fn a_drained_segment_is_left_where_it_is_all_there_is_to_free() {
    for restarts in [false, true] {
        let mut fs = SimFs::new(1);
        // Beside the reserve there is room for less than a segment.
        fs.set_capacity(16 << 20);
        let size = Settings { segment_size: 8 << 20, ..settings() };
        let c = try_open(&fs, fixed(1), size).unwrap();
        let large = |n: u64| vec![format!("event {n} {}", "L".repeat(50_000))];
        let mut next = 0;
        while put(&c, &large(next)).is_ok() {
            next += 1;
        }
        assert!(next > 100, "{next}");
        let c = if restarts {
            fs = fs.kill();
            c.close();
            try_open(&fs, fixed(1), size).unwrap()
        } else {
            c
        };
        assert_eq!(drain(&c, 50).len() as u64, next);
        wait_for("room again", || put(&c, &bodies(0..1)).is_ok());
        assert_eq!(drain(&c, 5), bodies(0..1));
    }
}

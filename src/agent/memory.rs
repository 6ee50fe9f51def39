//! What stands for Flume's maximum heap: `-Xmx`, else a quarter of the memory this process may use.

use std::fs;
use std::path::Path;

/// Assumed where nothing tells: a small board.
const UNKNOWN: u64 = 512 << 20;

/// Bytes to take shares of.
pub fn heap(given: Option<u64>) -> usize {
    let quarter = || memory(Path::new("/proc"), Path::new("/sys/fs/cgroup")) / 4;
    usize::try_from(given.unwrap_or_else(quarter)).unwrap_or(usize::MAX)
}

/// The machine's memory or the control group's limit, whichever is smaller.
fn memory(proc: &Path, cgroup: &Path) -> u64 {
    let total = fs::read_to_string(proc.join("meminfo")).ok().and_then(|t| {
        let line = t.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    });
    // Version 2 has one file in the process's own group, seen from inside a container at the root.
    let own = fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let group = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/');
    let files = [
        cgroup.join(group).join("memory.max"),
        cgroup.join("memory.max"),
        cgroup.join("memory/memory.limit_in_bytes"),
    ];
    let limits = files.iter().filter_map(|f| fs::read_to_string(f).ok()?.trim().parse::<u64>().ok());
    limits.chain(total).min().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_machine_and_group_counts() {
        let dir = std::env::temp_dir().join(format!("flumed-memory-{}", std::process::id()));
        let (proc, cgroup) = (dir.join("proc"), dir.join("cgroup"));
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::create_dir_all(cgroup.join("a")).unwrap();
        assert_eq!(memory(&proc, &cgroup), UNKNOWN);
        fs::write(proc.join("meminfo"), "MemTotal:        1000 kB\nMemFree: 5 kB\n").unwrap();
        assert_eq!(memory(&proc, &cgroup), 1000 << 10);
        fs::write(proc.join("self/cgroup"), "0::/a\n").unwrap();
        fs::write(cgroup.join("a/memory.max"), "max\n").unwrap();
        assert_eq!(memory(&proc, &cgroup), 1000 << 10);
        fs::write(cgroup.join("a/memory.max"), "4096\n").unwrap();
        assert_eq!(memory(&proc, &cgroup), 4096);
        assert_eq!(heap(Some(7)), 7);
        fs::remove_dir_all(dir).unwrap();
    }
}

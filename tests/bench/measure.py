"""What the benchmarks share: where the programs are, waits with a deadline, figures of a process, a row of results."""

import json
import os
import socket
import statistics
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = os.environ.get("CARGO_TARGET_DIR")
FLUMED = ROOT / (TARGET or "target") / "release/flumed"
LOADGEN = ROOT / (TARGET or "tests/bench/loadgen/target") / "release/loadgen"
# Made by scripts/bench, where there is a C compiler.
SLOWSYNC = ROOT / (TARGET or "target") / "release/slowsync.so"
HERTZ = os.sysconf("SC_CLK_TCK")


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            sys.exit(f"bench: waited in vain for {what}")
        time.sleep(0.005)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    want = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        for words in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()):
            if words[1].endswith(want) and words[3] == "0A":
                return True
    return False


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def status(pid, key):
    """A number from /proc/<pid>/status: KiB where it is memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0


def peak_mib(pid):
    return status(pid, "VmHWM") / 1024


def counters(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return json.load(answer)


def machine():
    model = next(
        (l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} x {model}, {memory} GiB, Linux {os.uname().release}"


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def print_row(label, results):
    """A line for each server of the row; `results` are its runs by its name, flumed's first."""
    ours = median(results["flumed"], "rate")
    for name, runs in results.items():
        rates = sorted(r["rate"] / 1e6 for r in runs)
        generator = f"  (generator {median(runs, 'generator'):.3f} CPU s/M)" if "generator" in runs[0] else ""
        lost = f"  lost {sum(r['lost'] for r in runs)}" if "lost" in runs[0] else ""
        ratio = "" if name == "flumed" else f"  flumed is {ours / median(runs, 'rate'):.2f} x"
        print(
            f"{label:30}  {name:12} {median(runs, 'rate') / 1e6:6.3f} M/s ({rates[0]:.3f}-{rates[-1]:.3f})"
            f"  {median(runs, 'cpu'):.3f} CPU s/M  {median(runs, 'peak'):6.1f} MiB"
            f"{lost}{generator}{ratio}",
            flush=True,
        )

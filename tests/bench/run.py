"""Benchmarks of the running agent, with rsyslog beside it where it is installed.

A run: start the server, send for some seconds with tests/bench/loadgen, stop the server, count the lines in its output.
Peers take turns, so that a noisy neighbour hits both. Printed per row: median events per second (min-max), CPU seconds
of the server per million events, its peak memory, lines lost, and the ratio to the peer. Python's standard library only.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLUMED = ROOT / "target/release/flumed"
LOADGEN = ROOT / "tests/bench/loadgen/target/release/loadgen"
HERTZ = os.sysconf("SC_CLK_TCK")

# loadgen mode, bytes per line, connections
ROWS = [
    ("syslog-tcp", 200, 1),
    ("syslog-tcp", 200, 8),
    ("syslog-tcp", 500, 1),
    ("syslog-tcp", 500, 8),
    ("netcat", 200, 1),
]

SOURCE = {
    "syslog-tcp": "a1.sources.r1.type = syslogtcp\na1.sources.r1.host = 127.0.0.1\n",
    "netcat": "a1.sources.r1.type = netcat\na1.sources.r1.bind = 127.0.0.1\na1.sources.r1.ack-every-event = false\n",
}

AGENT = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
{source}a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = {out}
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 1000
a1.sinks.k1.channel = c1
"""

# Parsed like ours, written like ours: the message alone. The fastest of the variants tried (imptcp with one and two
# threads, a direct queue, smaller queues and batches were slower).
RSYSLOG = """
module(load="imtcp")
global(workDirectory="{dir}" maxMessageSize="64k")
main_queue(queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="4096" queue.workerThreads="1"
           queue.timeoutShutdown="60000")
template(name="body" type="string" string="%msg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{out}/lines" template="body" ioBufferSize="64k" flushOnTXEnd="off")
"""


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
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Flumed:
    name = "flumed"

    def start(self, mode, work):
        out = work / "out"
        (work / "agent.conf").write_text(AGENT.format(source=SOURCE[mode], out=out))
        self.log = work / "log"
        self.child = subprocess.Popen(
            [FLUMED, "agent", "-n", "a1", "-f", work / "agent.conf"], stderr=open(self.log, "w")
        )

        def port():
            text = self.log.read_text()
            found = text.partition("source r1 started, listening on 127.0.0.1:")[2]
            return int(found.split()[0]) if "agent a1 started" in text and found else None

        return wait_for("flumed to start", port)


class Rsyslog:
    name = "rsyslog"

    def start(self, mode, work):
        port = free_port()
        conf = work / "rsyslog.conf"
        conf.write_text(RSYSLOG.format(dir=work, out=work / "out", port=port))
        self.child = subprocess.Popen(
            ["rsyslogd", "-n", "-f", conf, "-i", work / "rsyslog.pid"], stderr=subprocess.DEVNULL
        )

        def listens():
            want = f":{port:04X} 00000000:0000 0A"
            return want in Path("/proc/net/tcp").read_text()

        wait_for("rsyslog to listen", listens)
        return port


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def peak_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


def count_lines(directory):
    n = 0
    for f in directory.iterdir():
        with open(f, "rb") as lines:
            while block := lines.read(1 << 20):
                n += block.count(b"\n")
    return n


def touch_memory(work, mib):
    """Has the machine back the page cache with real memory: a virtual one may do so slowly, at the first touch."""
    block = bytes(1 << 20)
    with open(work / "touch", "wb") as f:
        for _ in range(mib):
            f.write(block)
    os.unlink(work / "touch")


def run(server, mode, size, conns, seconds, work_root):
    work = Path(tempfile.mkdtemp(dir=work_root))
    (work / "out").mkdir()
    touch_memory(work, 3000)
    port = server.start(mode, work)
    pid = server.child.pid
    before = cpu_seconds(pid)
    began = time.monotonic()
    words = [mode, "--port", port, "--size", size, "--conns", conns, "--events", 10**9, "--max-secs", seconds]
    # loadgen exits with 1 because time ended before the events did.
    sent = json.loads(subprocess.run([LOADGEN, *map(str, words)], capture_output=True, text=True).stdout)
    # Delivered is what counts: everything sent must have reached the file.
    last, out = -1, work / "out"
    while (now := sum(f.stat().st_size for f in out.iterdir())) != last:
        last = now
        ended = time.monotonic()
        time.sleep(0.05)
    cpu, peak = cpu_seconds(pid) - before, peak_mib(pid)
    server.child.send_signal(signal.SIGTERM)
    server.child.wait(timeout=60)
    lines = count_lines(out)
    shutil.rmtree(work)
    return {
        "rate": lines / (ended - began),
        "cpu": cpu / max(lines, 1) * 1e6,
        "peak": peak,
        "lost": sent["sent"] - lines,
        "generator": sent["cpu_s"] / max(sent["sent"], 1) * 1e6,
    }


def machine():
    model = next(
        (l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} x {model}, {memory} GiB, Linux {os.uname().release}"


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--runs", type=int, default=5)
    words.add_argument("--seconds", type=float, default=3)
    words.add_argument("--only", default="", help="rows whose mode contains this")
    words.add_argument("--no-peer", action="store_true")
    args = words.parse_args()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    print(f"flumed {commit.stdout.strip()} on {machine()}")
    print(f"memory channel of 10,000, file_roll batches of 1000, {args.seconds:g} s runs, medians of {args.runs}")
    peers = [Rsyslog] if shutil.which("rsyslogd") and not args.no_peer else []
    if not peers:
        print("rsyslog is not installed: no peer beside it")
    # What was measured is written where it is asked for; the default is a real file system, not memory.
    root = tempfile.mkdtemp(prefix="flumed-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        for mode, size, conns in ROWS:
            if args.only not in mode:
                continue
            servers = [Flumed] + (peers if mode == "syslog-tcp" else [])
            results = {s.name: [] for s in servers}
            for _ in range(args.runs):
                for s in servers:
                    results[s.name].append(run(s(), mode, size, conns, args.seconds, root))
            ours = statistics.median(r["rate"] for r in results["flumed"])
            for name, all_runs in results.items():
                rates = sorted(r["rate"] / 1e6 for r in all_runs)
                mid = {k: statistics.median(r[k] for r in all_runs) for k in ("rate", "cpu", "peak", "generator")}
                ratio = "" if name == "flumed" else f"  flumed is {ours / mid['rate']:.2f} x"
                print(
                    f"{mode:10} {size:4} B {conns} conn  {name:8} {mid['rate'] / 1e6:5.2f} M/s"
                    f" ({rates[0]:.2f}-{rates[-1]:.2f})  {mid['cpu']:.3f} CPU s/M  {mid['peak']:5.1f} MiB"
                    f"  lost {sum(r['lost'] for r in all_runs)}  (generator {mid['generator']:.3f} CPU s/M){ratio}",
                    flush=True,
                )
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if not args.only:
        subprocess.run(["cargo", "bench", "--quiet", "--bench", "channel"], cwd=ROOT, check=True)


main()

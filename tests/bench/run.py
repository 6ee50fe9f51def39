"""Benchmarks of the running agent, with rsyslog and Apache Flume beside it where they can be had.

A run into files: start the server, send for some seconds with tests/bench/loadgen, stop the server, count the lines in
its output. What runs beside Flume has no files and is measured by the agents' counters: see beside_flume.py. Peers take
turns, so that a noisy neighbour hits both. Printed per row: median events per second (min-max), CPU seconds of the
server per million events, its peak memory, events lost, and the ratio to the peer. Python's standard library only.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import beside_flume
import crowd
import file_beside_flume
import rpc_beside_flume
import scale
import tls
import udp_loss
from measure import FLUMED, LOADGEN, ROOT, SLOWSYNC, cpu_seconds, free_port, listens, machine, peak_mib, print_row, wait_for

# loadgen mode, bytes per line, connections
ROWS = [
    ("syslog-tcp", 200, 1),
    ("syslog-tcp", 200, 8),
    ("syslog-tcp", 500, 1),
    ("syslog-tcp", 500, 8),
    ("syslog-tcp octet-counted", 500, 1),
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


class Flumed:
    name = "flumed"

    def start(self, mode, work):
        out = work / "out"
        (work / "agent.conf").write_text(AGENT.format(source=SOURCE[mode.split()[0]], out=out))
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

        wait_for("rsyslog to listen", lambda: listens(port))
        return port


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
    mode, *more = mode.split()
    words = [mode, *(f"--{option}" for option in more), "--port", port, "--size", size, "--conns", conns, "--events", 10**9, "--max-secs", seconds]
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


def file_rows(args, root):
    wanted = [(f"{mode} {size} B {conns} conn", mode, size, conns) for mode, size, conns in ROWS]
    wanted = [row for row in wanted if args.only in row[0]]
    if not wanted:
        return
    print(f"memory channel of 10,000, file_roll batches of 1000, {args.seconds:g} s runs, medians of {args.runs}")
    peers = [Rsyslog] if shutil.which("rsyslogd") and not args.no_peer else []
    if not peers:
        print("rsyslog is not installed: no peer beside it")
    for label, mode, size, conns in wanted:
        servers = [Flumed] + (peers if mode.startswith("syslog-tcp") else [])
        results = {s.name: [] for s in servers}
        for _ in range(args.runs):
            for s in servers:
                results[s.name].append(run(s(), mode, size, conns, args.seconds, root))
        print_row(label, results)


def in_process(args):
    def bench(name, *words):
        subprocess.run(["cargo", "bench", "--quiet", "--bench", name, "--", *map(str, words)], cwd=ROOT, check=True)

    if not args.only:
        bench("channel")
    if args.only in "avro in process":
        bench("avro")
    if args.only in "thrift in process":
        bench("thrift")
    if args.only in "file channel in process":
        words = ["--runs", args.runs, "--seconds", args.seconds]
        bench("file_channel", *words)
        if SLOWSYNC.exists():
            bench("file_channel", *words, "--slowsync", SLOWSYNC)
        else:
            print("tests/bench/slowsync.c was not built: no rows with slower syncs")


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--runs", type=int, default=5)
    words.add_argument("--seconds", type=float, default=3)
    words.add_argument("--window", type=float, default=5, help="seconds of a run beside Flume")
    words.add_argument("--heap", default="1g", help="Flume's -Xmx")
    words.add_argument("--drain", type=int, default=3_000_000, help="events of a drained backlog beside Flume")
    words.add_argument("--backlog", type=int, default=1_000_000, help="events of a start beside Flume")
    only = "rows whose label contains this (netcat, to null, seq batch 100, scale idle, file channel start, avro null, tls storm, http, udp, crowd)"
    words.add_argument("--only", default="", help=only)
    words.add_argument("--no-peer", action="store_true")
    words.add_argument("--flume", action="store_true", help="Flume beside every row with avro, thrift or http, not a few")
    words.add_argument("--crowd", type=float, default=30, help="seconds of a crowd of HTTP clients")
    words.add_argument("--storm", type=float, default=60, help="seconds of a storm of TLS connections")
    args = words.parse_args()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    print(f"flumed {commit.stdout.strip()} on {machine()}")
    # What was measured is written where it is asked for; the default is a real file system, not memory.
    root = tempfile.mkdtemp(prefix="flumed-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        file_rows(args, root)
        beside_flume.rows(args, root)
        file_beside_flume.rows(args, root)
        rpc_beside_flume.rows(args, root)
        udp_loss.rows(args, root)
        tls.rows(args, root)
        scale.rows(args, root)
        crowd.rows(args, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    in_process(args)


main()

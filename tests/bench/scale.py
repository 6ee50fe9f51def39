"""Many connections on one event loop, and the same load on one loop and on two.

Idle connections: the busy ones alone, then beside the idle ones, then every idle one sends a line. Of what the agent
says of itself (/proc, its counters) the memory a connection costs in user space; the kernel's part is not in it.
"""

import json
import resource
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import FLUMED, LOADGEN, counters, cpu_seconds, free_port, median, print_row, status, wait_for

IDLE = 10_000
BUSY = 100
# Lines a second of all busy connections: far from what saturates the loop, so that a wait is seen as one.
PACE = 5000
# What the idle connections leave of this process's descriptors.
OWN_DESCRIPTORS = 500
SYSLOG_LINE = b"<13>Oct 11 22:14:15 host app: idle no more\n"

AGENT = """
a1.sources = r1 r2
a1.channels = c1
a1.sinks = k1
a1.flumed.loopThreads = {loops}
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = {netcat}
a1.sources.r1.channels = c1
a1.sources.r2.type = syslogtcp
a1.sources.r2.host = 127.0.0.1
a1.sources.r2.port = {syslog}
a1.sources.r2.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
"""


class Agent:
    def __init__(self, loops, root):
        self.work = Path(tempfile.mkdtemp(dir=root))
        self.netcat, self.syslog, self.metrics = free_port(), free_port(), free_port()
        (self.work / "agent.conf").write_text(AGENT.format(loops=loops, netcat=self.netcat, syslog=self.syslog))
        monitor = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={self.metrics}"]
        command = [FLUMED, "agent", *monitor, "-n", "a1", "-f", self.work / "agent.conf"]
        self.child = subprocess.Popen(command, stderr=open(self.work / "log", "w"))
        wait_for("flumed to start", lambda: "agent a1 started" in (self.work / "log").read_text())

    def count(self, source, key):
        return int(counters(self.metrics)[f"SOURCE.{source}"][key])

    def status(self, key):
        return status(self.child.pid, key)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(timeout=60)
        log = (self.work / "log").read_text()
        shutil.rmtree(self.work)
        if code or "ERROR" in log:
            raise SystemExit(f"bench: flumed ended with {code}: {log[-2000:]}")


def send(mode, port, conns, seconds, *more):
    words = [mode, "--port", port, "--conns", conns, "--events", 10**9, "--max-secs", seconds, *more]
    # loadgen exits with 1 because time ended before the events did.
    sent = json.loads(subprocess.run([LOADGEN, *map(str, words)], capture_output=True, text=True).stdout)
    if sent["errors"]:
        raise SystemExit(f"bench: not every line was taken: {sent}")
    return sent


def busy(agent, seconds):
    sent = send("netcat", agent.netcat, BUSY, seconds, "--expect-ok", "--batch", 1, "--rate", PACE)
    if sent["acked"] != sent["sent"]:
        raise SystemExit(f"bench: lines without an answer: {sent}")
    return sent


def speak(agent, netcat, syslog):
    """Every idle connection sends a line; the netcat ones are answered."""
    before = agent.count("r2", "EventAcceptedCount")
    answers = selectors.DefaultSelector()
    for s in netcat:
        s.sendall(b"idle no more\n")
        answers.register(s, selectors.EVENT_READ)
    for s in syslog:
        s.sendall(SYSLOG_LINE)
    left, end = len(netcat), time.monotonic() + 60
    while left:
        ready = answers.select(timeout=end - time.monotonic())
        if not ready:
            raise SystemExit(f"bench: {left} idle connections were not answered")
        for key, _ in ready:
            if (answer := key.fileobj.recv(100)) != b"OK\n":
                raise SystemExit(f"bench: an idle connection was answered {answer}")
            answers.unregister(key.fileobj)
            left -= 1
    answers.close()
    wait_for("the syslog lines", lambda: agent.count("r2", "EventAcceptedCount") == before + len(syslog))


def idle_run(n, seconds, root):
    agent = Agent(1, root)
    try:
        # Buffers, pools and the channel's memory are there before anything is compared.
        busy(agent, 1)
        alone = busy(agent, seconds)
        threads, before = agent.status("Threads"), agent.status("VmRSS")
        began = time.monotonic()
        ports = [agent.syslog if i % 10 == 0 else agent.netcat for i in range(n)]
        idle = [(socket.create_connection(("127.0.0.1", p)), p) for p in ports]
        opened = lambda: sum(agent.count(r, "OpenConnectionCount") for r in ("r1", "r2"))
        wait_for("all to be accepted", lambda: opened() == n)
        accepting = time.monotonic() - began
        open_rss = agent.status("VmRSS")
        beside = busy(agent, seconds)
        began = time.monotonic()
        speak(agent, *([s for s, p in idle if p == port] for port in (agent.netcat, agent.syslog)))
        speaking = time.monotonic() - began
        result = {
            "accepting": accepting,
            "speaking": speaking,
            "before": before / 1024,
            "idle": (open_rss - before) * 1024 / n,
            "spoken": (agent.status("VmRSS") - before) * 1024 / n,
            "peak": agent.status("VmHWM") / 1024,
            "threads before": threads,
            "threads": agent.status("Threads"),
            "p50 alone": alone["ack_us_p50"],
            "p99 alone": alone["ack_us_p99"],
            "p50": beside["ack_us_p50"],
            "p99": beside["ack_us_p99"],
        }
        for s, _ in idle:
            s.close()
        wait_for("all to be closed", lambda: opened() == 0)
        return result
    finally:
        agent.stop()


def idle_rows(args, root):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(IDLE, hard - OWN_DESCRIPTORS)
    if n < IDLE:
        print(f"the hard limit of descriptors is {hard}: {n} idle connections instead of {IDLE}")
    runs = [idle_run(n, args.seconds, root) for _ in range(args.runs)]
    m = lambda key: median(runs, key)
    span = lambda key: f"{min(r[key] for r in runs):.0f}-{max(r[key] for r in runs):.0f}"
    print(
        f"scale {n} idle, {BUSY} busy      accepted in {m('accepting'):.2f} s, each one's line in {m('speaking'):.2f} s"
        f"  threads {m('threads before'):.0f} -> {m('threads'):.0f}\n"
        f"  memory: {m('before'):.1f} MiB before, {m('idle'):.0f} B an idle connection ({span('idle')}),"
        f" {m('spoken'):.0f} B once it has spoken ({span('spoken')}), peak {m('peak'):.1f} MiB\n"
        f"  answers at {PACE}/s: p50 {m('p50 alone'):.0f} us, p99 {m('p99 alone'):.0f} us ({span('p99 alone')}) alone;"
        f" p50 {m('p50'):.0f} us, p99 {m('p99'):.0f} us ({span('p99')}) beside them",
        flush=True,
    )


def loops_run(loops, mode, conns, more, seconds, root):
    agent = Agent(loops, root)
    try:
        source, port = ("r1", agent.netcat) if mode == "netcat" else ("r2", agent.syslog)
        cpu = cpu_seconds(agent.child.pid)
        sent = send(mode, port, conns, seconds, *more)
        wait_for("all to be stored", lambda: agent.count(source, "EventAcceptedCount") == sent["sent"])
        spent = cpu_seconds(agent.child.pid) - cpu
        return {
            "rate": sent["sent"] / sent["secs"],
            "cpu": spent / sent["sent"] * 1e6,
            "peak": agent.status("VmHWM") / 1024,
            "lost": 0,
            "generator": sent["cpu_s"] / sent["sent"] * 1e6,
        }
    finally:
        agent.stop()


LOOP_ROWS = [
    ("syslogtcp 200 B 8 conn", "syslog-tcp", 8, ("--size", 200)),
    ("netcat 200 B 8 conn", "netcat", 8, ("--size", 200, "--expect-ok", "--batch", 100)),
    ("netcat 200 B 100 conn by one", "netcat", 100, ("--size", 200, "--expect-ok", "--batch", 1)),
]


def loop_rows(args, root):
    for label, mode, conns, more in LOOP_ROWS:
        results = {1: [], 2: []}
        for _ in range(args.runs):
            for loops, runs in results.items():
                runs.append(loops_run(loops, mode, conns, more, args.seconds, root))
        one = statistics.median(r["rate"] for r in results[1])
        for loops, runs in results.items():
            print_row(f"scale {label}, loops {loops}", {"flumed": runs})
        print(f"  two loops are {statistics.median(r['rate'] for r in results[2]) / one:.2f} x one")


def rows(args, root):
    if args.only in "scale idle":
        idle_rows(args, root)
    if args.only in "scale loops":
        loop_rows(args, root)

"""flumed and Apache Flume 1.11 with a file channel each: steady from a stress source to a null sink, draining a backlog
that lies on disk, and starting with one, each in turn in the same run.

Steady: the directories are used at batches of 1000 first, by an agent that is stopped again, so that files that were
written before can be used again. A start is timed from the process's beginning until the channel's own line in the log,
and by the channel's own account of its recovery; the channel of one run is left and opened three times:

    built, kill -9   ->  start "kill -9", stopped in order  ->  start "clean stop", kill -9, checkpoints deleted
                     ->  start "no checkpoint"

Neither takes a checkpoint while the backlog is built, if that takes less than the checkpointInterval. flumed drains
DRAIN_FACTOR times as many events as Flume: it would be done before the first look at its counters otherwise.
"""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from beside_flume import VERSION, Flume, Flumed, unavailable
from measure import counters, cpu_seconds, free_port, listens, median, peak_mib, print_row, wait_for

CHECKPOINT_INTERVAL_S = 30
DRAIN_FACTOR = 5
# Building or draining a backlog takes no longer.
PATIENCE_S = 300

AGENT = """
a1.channels = c1
{ends}
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = {dir}/checkpoint
a1.channels.c1.dataDirs = {dir}/data
a1.channels.c1.capacity = 20000000
a1.channels.c1.transactionCapacity = 10000
a1.channels.c1.checkpointInterval = {interval}
"""

SOURCE = """
a1.sources = r1
a1.sources.r1.type = org.apache.flume.source.StressSource
a1.sources.r1.size = {size}
a1.sources.r1.batchSize = {batch}
a1.sources.r1.maxTotalEvents = {total}
a1.sources.r1.channels = c1
"""

SINK = """
a1.sinks = k1
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = {batch}
a1.sinks.k1.channel = c1
"""

SIZE = 500
ENDLESS = -1
BATCHES = [1, 100, 1000]
ENDS = ["kill -9", "clean stop", "no checkpoint"]

# Flume's words in both logs; what stands before is the milliseconds since the JVM began.
REPLAYED = re.compile(r"Queue Size after replay: (\d+)")
BEGUN_MS = re.compile(r"^(\d+) .*Starting FileChannel c1", re.M)
REPLAYED_MS = re.compile(r"^(\d+) .*Queue Size after replay", re.M)


class Agent:
    """A running agent with that source and sink, either of which may be none."""

    def __init__(self, server, work, heap, source="", sink=""):
        self.server, self.metrics, self.log = server, free_port(), work / "log"
        interval = CHECKPOINT_INTERVAL_S * 1000
        (work / "agent.conf").write_text(AGENT.format(ends=source + sink, dir=work, interval=interval))
        defines = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={self.metrics}"]
        if server is Flume:
            defines.append("-Dorg.slf4j.simpleLogger.showDateTime=true")
        command = server.command(heap, defines, ["-n", "a1", "-f", str(work / "agent.conf")])
        with open(self.log, "w") as log:
            self.began = time.monotonic()
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def alive(self):
        if self.child.poll() is not None:
            raise SystemExit(f"bench: {self.server.name} ended: {self.log.read_text()[-2000:]}")

    def wait_for_counters(self):
        def ready():
            self.alive()
            return listens(self.metrics)

        wait_for(f"{self.server.name} to start", ready, 60)

    def count(self, key):
        return int(counters(self.metrics)["CHANNEL.c1"][key])

    def sample(self, key):
        pid = self.child.pid
        return {"time": time.monotonic(), "cpu": cpu_seconds(pid), "events": self.count(key)}

    def figures(self, began, ended):
        events = ended["events"] - began["events"]
        return {
            "rate": events / (ended["time"] - began["time"]),
            "cpu": (ended["cpu"] - began["cpu"]) / max(events, 1) * 1e6,
            "peak": peak_mib(self.child.pid),
        }

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        try:
            self.child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def build(server, work, heap, events, how):
    """Puts that many events, none of which is taken, and ends the agent."""
    agent = Agent(server, work, heap, source=SOURCE.format(size=SIZE, batch=1000, total=events))
    try:
        agent.wait_for_counters()

        def built():
            agent.alive()
            return agent.count("EventPutSuccessCount") >= events

        wait_for(f"{server.name} to build a backlog", built, PATIENCE_S)
    finally:
        agent.stop(how)


def steady_run(server, batch, window, heap, work):
    for used, seconds in ((1000, 0), (batch, window)):
        ends = {"source": SOURCE.format(size=SIZE, batch=used, total=ENDLESS), "sink": SINK.format(batch=used)}
        agent = Agent(server, work, heap, **ends)
        try:
            agent.wait_for_counters()
            # Without checkpoints no file comes free; a JVM needs the time, too.
            time.sleep(max(server.warm_up, 3))
            began = agent.sample("EventTakeSuccessCount")
            time.sleep(seconds)
            result = agent.figures(began, agent.sample("EventTakeSuccessCount")) if seconds else None
        finally:
            agent.stop()
    return result


def drain_run(server, events, heap, work):
    events *= DRAIN_FACTOR if server is Flumed else 1
    build(server, work, heap, events, signal.SIGTERM)
    agent = Agent(server, work, heap, sink=SINK.format(batch=1000))
    try:
        agent.wait_for_counters()
        samples = []

        def drained():
            agent.alive()
            samples.append(agent.sample("EventTakeSuccessCount"))
            return samples[-1]["events"] >= events

        wait_for(f"{server.name} to drain", drained, PATIENCE_S)
        # Taken since the first look; where all was gone by then, since the process began.
        first = samples[0]
        if first["events"] >= events:
            first = {"time": agent.began, "cpu": 0, "events": 0}
        return agent.figures(first, samples[-1]) | {"lost": events - samples[-1]["events"]}
    finally:
        agent.stop()


def start(server, work, heap, events, how):
    """Starts on a backlog, and ends the agent in that way."""
    agent = Agent(server, work, heap, source=SOURCE.format(size=SIZE, batch=1, total=0))
    try:

        def replayed():
            agent.alive()
            return REPLAYED.search(agent.log.read_text(errors="replace"))

        found = wait_for(f"{server.name} to recover", replayed, PATIENCE_S)
        result = {
            "start": time.monotonic() - agent.began,
            "cpu": cpu_seconds(agent.child.pid),
            "peak": peak_mib(agent.child.pid),
        }
        if int(found[1]) != events:
            raise SystemExit(f"bench: {server.name} recovered {found[1]} of {events} events")
        agent.wait_for_counters()
        result["replay"] = agent.count("RecoveryTime") / 1000 if server is Flumed else flume_replay(agent.log)
        return result
    finally:
        agent.stop(how)


def flume_replay(log):
    text = log.read_text(errors="replace")
    return (int(REPLAYED_MS.search(text)[1]) - int(BEGUN_MS.search(text)[1])) / 1000


def start_run(server, events, heap, work):
    build(server, work, heap, events, signal.SIGKILL)
    killed = start(server, work, heap, events, signal.SIGTERM)
    clean = start(server, work, heap, events, signal.SIGKILL)
    for path in (work / "checkpoint").rglob("*"):
        if path.is_file():
            path.unlink()
    return dict(zip(ENDS, (killed, clean, start(server, work, heap, events, signal.SIGTERM))))


def in_turn(servers, runs, root, one):
    """What `one` finds for each server and run, in a directory of its own."""
    results = {s.name: [] for s in servers}
    for _ in range(runs):
        for s in servers:
            work = Path(tempfile.mkdtemp(dir=root))
            try:
                results[s.name].append(one(s, work))
            finally:
                shutil.rmtree(work)
    return results


def print_start(label, results):
    for name, runs in results.items():
        times = sorted(r["replay"] for r in runs)
        print(
            f"{label:44}  {name:12} recovery {median(runs, 'replay'):6.3f} s ({times[0]:.3f}-{times[-1]:.3f})"
            f"  process to open channel {median(runs, 'start'):6.3f} s  {median(runs, 'cpu'):.2f} CPU s"
            f"  {median(runs, 'peak'):6.1f} MiB",
            flush=True,
        )


def rows(args, root):
    wants = lambda label: args.only in f"file channel {label}"
    steady = [batch for batch in BATCHES if wants(f"batch {batch}")]
    drain, starts = wants("drain"), wants("start")
    if not (steady or drain or starts):
        return
    absent = "left out" if args.no_peer else unavailable()
    servers = [Flumed] if absent else [Flumed, Flume]
    beside = absent or f"-Xmx{args.heap}"
    print(f"file channel, stress source of {SIZE} B, null sink, {args.window:g} s windows; Flume {VERSION}: {beside}")
    for batch in steady:
        one = lambda server, work: steady_run(server, batch, args.window, args.heap, work)
        print_row(f"file channel batch {batch}", in_turn(servers, args.runs, root, one))
    if drain:
        one = lambda server, work: drain_run(server, args.drain, args.heap, work)
        print_row(f"file channel drain {args.drain / 1e6:g} M", in_turn(servers, args.runs, root, one))
    if starts:
        one = lambda server, work: start_run(server, args.backlog, args.heap, work)
        found = in_turn(servers, args.runs, root, one)
        for end in ENDS:
            of_end = {name: [run[end] for run in runs] for name, runs in found.items()}
            print_start(f"file channel start {args.backlog / 1e6:g} M, {end}", of_end)

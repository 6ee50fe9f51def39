"""Thousands of keep-alive HTTP clients that post at once, while a crowd hangs on that sends a byte of a request now and then.

No request may fail: each is answered 200, no connection of those that post is closed, and every event is counted. What the
agent does with the slow ones is printed: how many it ended, and with which status. Memory is the agent's own; the kernel's part
is not in it.
"""

import json
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from measure import FLUMED, LOADGEN, counters, cpu_seconds, free_port, status, wait_for

CLIENTS, SLOW = 5000, 2000
SIZE, BATCH = 500, 10
# Seconds between the bytes of a slow one.
EVERY = 5
# What the two crowds leave of the agent's descriptors.
OWN_DESCRIPTORS = 500

AGENT = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = http
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = {port}
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
"""


def start(mode, *words):
    return subprocess.Popen([str(word) for word in (LOADGEN, mode, *words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def run(clients, slow, seconds, work):
    port, metrics = free_port(), free_port()
    (work / "agent.conf").write_text(AGENT.format(port=port))
    monitor = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={metrics}"]
    with open(work / "log", "w") as log:
        agent = subprocess.Popen([FLUMED, "agent", *monitor, "-n", "a1", "-f", work / "agent.conf"], stderr=log)
    children = [agent]
    try:
        wait_for("flumed to start", lambda: "agent a1 started" in (work / "log").read_text())
        count = lambda key: int(counters(metrics)["SOURCE.r1"][key])
        idle = status(agent.pid, "VmRSS")
        hangs = start("loris", "--port", port, "--conns", slow, "--every", EVERY, "--max-secs", 600)
        children.append(hangs)
        wait_for("the slow crowd", lambda: count("OpenConnectionCount") >= slow)
        beside = status(agent.pid, "VmRSS")
        cpu = cpu_seconds(agent.pid)
        words = ["--port", port, "--conns", clients, "--size", SIZE, "--batch", BATCH, "--events", 10**12]
        posting = start("http-crowd", *words, "--max-secs", seconds)
        children.append(posting)
        out, err = posting.communicate()
        cpu = cpu_seconds(agent.pid) - cpu
        posted = json.loads(out or "{}")
        if posting.returncode or posted["acked"] != posted["sent"]:
            raise SystemExit(f"bench: not every request of the crowd was answered well: {out} {err}")
        wait_for("all to be counted", lambda: count("EventAcceptedCount") == posted["acked"])
        peak, after = status(agent.pid, "VmHWM"), status(agent.pid, "VmRSS")
        hangs.send_signal(signal.SIGTERM)
        slow_ones = json.loads(hangs.communicate(timeout=60)[0])
        agent.send_signal(signal.SIGTERM)
        if agent.wait(timeout=60):
            raise SystemExit(f"bench: flumed ended with {agent.returncode}: {(work / 'log').read_text()[-2000:]}")
        return posted, slow_ones, cpu, idle, beside, peak, after
    finally:
        for child in reversed(children):
            if child.poll() is None:
                child.kill()
                child.wait()


def rows(args, root):
    if args.only not in "crowd http":
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    share = min(1, (hard - OWN_DESCRIPTORS) / (CLIENTS + SLOW))
    clients, slow = int(CLIENTS * share), int(SLOW * share)
    if share < 1:
        print(f"the hard limit of descriptors is {hard}: {clients} clients and {slow} slow ones")
    work = Path(tempfile.mkdtemp(dir=root))
    posted, hangs, cpu, *memory = run(clients, slow, args.crowd, work)
    shutil.rmtree(work)
    idle, beside, peak, after = (kib / 1024 for kib in memory)
    answers = ", ".join(f"{n} with {code}" for code, n in hangs["answers"].items()) or "none with an answer"
    print(
        f"crowd http: {clients} clients at once, {BATCH} events of {SIZE} B a request, for {posted['secs']:.0f} s: {posted['batches']}"
        f" requests, none failed, {posted['acked'] / posted['secs'] / 1e6:.3f} M events/s, p50 {posted['ack_us_p50'] / 1000:.0f} ms,"
        f" p99 {posted['ack_us_p99'] / 1000:.0f} ms, max {posted['ack_us_max'] / 1000:.0f} ms;"
        f" {cpu / posted['acked'] * 1e6:.3f} CPU s/M\n"
        f"  beside {slow} that send a byte every {EVERY} s: {hangs['closed']} ended ({answers}), opened again\n"
        f"  memory: {idle:.1f} MiB idle, {beside:.1f} with the slow ones, peak {peak:.1f}, {after:.1f} at the end",
        flush=True,
    )

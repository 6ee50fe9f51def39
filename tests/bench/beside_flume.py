"""flumed and Apache Flume 1.11 with the same configuration into a null sink, measured by the counters both serve.

A run: start the agent, let it warm up (a JVM needs that most), then for some seconds take the difference of the
channel's EventTakeSuccessCount and of the process's CPU seconds.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from measure import FLUMED, LOADGEN, ROOT, counters, cpu_seconds, free_port, listens, peak_mib, print_row, wait_for

PEER = ROOT / "scripts/flume-peer"
VERSION = "1.11.0"

AGENT = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
{source}
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = {batch}
a1.sinks.k1.channel = c1
"""

SEQ = "a1.sources.r1.type = seq\na1.sources.r1.batchSize = {batch}"
SYSLOG = "a1.sources.r1.type = syslogtcp\na1.sources.r1.host = 127.0.0.1\na1.sources.r1.port = {port}"
MULTIPORT = SYSLOG.replace("syslogtcp", "multiport_syslogtcp").replace(".port", ".ports")

# label, source, batch, bytes a line, connections
ROWS = [
    ("seq batch 1", SEQ, 1, 0, 0),
    ("seq batch 100", SEQ, 100, 0, 0),
    ("seq batch 1000", SEQ, 1000, 0, 0),
    ("syslogtcp 200 B 1 conn", SYSLOG, 1000, 200, 1),
    ("syslogtcp 500 B 1 conn", SYSLOG, 1000, 500, 1),
    ("syslogtcp 500 B 8 conn", SYSLOG, 1000, 500, 8),
    ("multiport 500 B 1 conn", MULTIPORT, 1000, 500, 1),
    ("multiport 500 B 8 conn", MULTIPORT, 1000, 500, 8),
]


class Flumed:
    name, warm_up = "flumed", 1

    @staticmethod
    def command(heap, defines, arguments):
        return [FLUMED, "agent", *defines, *arguments]


class Flume:
    name, warm_up = f"Flume {VERSION}", 10

    @staticmethod
    def command(heap, defines, arguments):
        return [PEER, "agent", VERSION, heap, *defines, "--", *arguments]


def unavailable():
    """Why there is no Flume here, if so."""
    prepared = subprocess.run([PEER, "prepare", VERSION], capture_output=True, text=True)
    return prepared.returncode and (prepared.stderr.strip() or f"scripts/flume-peer: {prepared.returncode}")


def run(server, source, batch, size, conns, window, heap, work_root):
    work = Path(tempfile.mkdtemp(dir=work_root))
    port, metrics = free_port(), free_port()
    (work / "agent.conf").write_text(AGENT.format(source=source.format(batch=batch, port=port), batch=batch))
    defines = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={metrics}"]
    command = server.command(heap, defines, ["-n", "a1", "-f", str(work / "agent.conf")])
    log = open(work / "log", "w")
    children = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)]
    try:
        return measure(server, children, port if size else 0, metrics, size, conns, window, work / "log")
    finally:
        for child in reversed(children):
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(work)


def measure(server, children, port, metrics, size, conns, window, log):
    agent = children[0]

    def ready():
        if agent.poll() is not None:
            raise SystemExit(f"bench: {server.name} ended: {log.read_text()[-2000:]}")
        return listens(metrics) and (not port or listens(port))

    wait_for(f"{server.name} to start", ready)
    if port:
        words = ["syslog-tcp", "--port", port, "--size", size, "--conns", conns, "--events", 10**9]
        words += ["--max-secs", server.warm_up + window + 30]
        children.append(subprocess.Popen([LOADGEN, *map(str, words)], stdout=subprocess.DEVNULL))
    time.sleep(server.warm_up)

    def now():
        seen = counters(metrics)
        return {
            "time": time.monotonic(),
            "cpu": cpu_seconds(agent.pid),
            "taken": int(seen["CHANNEL.c1"]["EventTakeSuccessCount"]),
            # Flume's syslog source drops the event that it cannot store; seq tries again.
            "lost": int(seen["SOURCE.r1"]["ChannelWriteFail"]) if port else 0,
            "generator": cpu_seconds(children[1].pid) if port else 0,
        }

    began = now()
    time.sleep(window)
    ended = now()
    spent = {key: ended[key] - began[key] for key in began}
    taken = max(spent["taken"], 1)
    result = {
        "rate": spent["taken"] / spent["time"],
        "cpu": spent["cpu"] / taken * 1e6,
        "peak": peak_mib(agent.pid),
        "lost": spent["lost"],
    }
    if port:
        result["generator"] = spent["generator"] / taken * 1e6
    return result


def rows(args, root):
    wanted = [row for row in ROWS if args.only in f"{row[0]} to null"]
    if not wanted:
        return
    absent = "left out" if args.no_peer else unavailable()
    java = "" if absent else subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.split("\n")[0]
    beside = absent or f"on {java}, -Xmx{args.heap}, warmed up {Flume.warm_up} s"
    print(f"memory channel of 100,000 into a null sink, {args.window:g} s windows; Flume {VERSION}: {beside}")
    for label, source, batch, size, conns in wanted:
        servers = [Flumed] if absent else [Flumed, Flume]
        results = {s.name: [] for s in servers}
        for _ in range(args.runs):
            for s in servers:
                results[s.name].append(run(s, source, batch, size, conns, args.window, args.heap, root))
        print_row(f"{label} to null", results)

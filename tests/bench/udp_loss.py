"""How much of a steady rate of syslog datagrams is lost, with Apache Flume 1.11 beside it, and where: in the kernel, whose
receive buffer is full, or in front of the channel.

A run: start the agent, let it warm up at the lowest rate, send at a rate for some seconds, wait until nothing comes any more.
What is lost beside what the kernel dropped, the agent lost itself. The receive buffer is what each
agent asks for by default; a datagram of a burst of 16 takes about 1.3 KB of it. A rate that the generator cannot keep is told.
"""

import json
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from beside_flume import VERSION, Flume, Flumed, unavailable
from measure import LOADGEN, counters, cpu_seconds, free_port, peak_mib, wait_for

RATES = [50_000, 100_000, 200_000, 400_000]
SIZE, BURST = 200, 16

AGENT = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = syslogudp
a1.sources.r1.host = 127.0.0.1
a1.sources.r1.port = {port}
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
"""


def kernel(port):
    """Datagrams that the kernel has dropped at this port; none where nobody listens."""
    end = f":{port:04X}"
    for table in ("udp", "udp6"):
        for words in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:]):
            if words[1].endswith(end):
                return int(words[-1])
    return None


def send(port, rate, seconds):
    words = ["syslog-udp", "--port", port, "--size", SIZE, "--batch", BURST, "--rate", rate, "--offload", "--events", 10**9]
    # It exits with 1 because time ends before the events do.
    ran = subprocess.run([LOADGEN, *map(str, words), "--max-secs", str(seconds)], capture_output=True, text=True)
    return json.loads(ran.stdout)


def run(server, rate, seconds, heap, root):
    work = Path(tempfile.mkdtemp(dir=root))
    port, metrics = free_port(), free_port()
    (work / "agent.conf").write_text(AGENT.format(port=port))
    defines = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={metrics}"]
    command = server.command(heap, defines, ["-n", "a1", "-f", str(work / "agent.conf")])
    with open(work / "log", "w") as log:
        agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(f"{server.name} to start", lambda: agent.poll() is not None or kernel(port) is not None, 60)
        if agent.poll() is not None:
            raise SystemExit(f"bench: {server.name} ended: {(work / 'log').read_text()[-2000:]}")

        def now():
            """Once nothing has come for a while."""
            last = None
            while (seen := (int(counters(metrics)["CHANNEL.c1"]["EventTakeSuccessCount"]), kernel(port))) != last:
                last = seen
                time.sleep(0.2)
            return last

        send(port, RATES[0], server.warm_up)
        before, cpu = now(), cpu_seconds(agent.pid)
        sent = send(port, rate, seconds)
        after = now()
        taken, dropped = (b - a for a, b in zip(before, after))
        return {
            "offered": sent["sent"] / sent["secs"],
            "lost": 1 - taken / sent["sent"],
            "kernel": dropped / sent["sent"],
            "cpu": (cpu_seconds(agent.pid) - cpu) / max(taken, 1) * 1e6,
            "peak": peak_mib(agent.pid),
        }
    finally:
        agent.send_signal(signal.SIGTERM)
        try:
            agent.wait(timeout=30)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
        shutil.rmtree(work)


def rows(args, root):
    wanted = [rate for rate in RATES if args.only in f"udp loss {rate // 1000}k"]
    if not wanted:
        return
    absent = "left out" if args.no_peer else unavailable()
    print(f"syslogudp, {SIZE} B in bursts of {BURST} -> memory channel of 100,000 -> null, {args.seconds:g} s runs, medians of"
          f" {args.runs}; Flume {VERSION}: {absent or f'-Xmx{args.heap}, warmed up {Flume.warm_up} s'}")
    for rate in wanted:
        servers = [Flumed] if absent else [Flumed, Flume]
        results = {s: [] for s in servers}
        for _ in range(args.runs):
            for s in servers:
                results[s].append(run(s, rate, args.seconds, args.heap, root))
        for s, runs in results.items():
            m = lambda key: statistics.median(r[key] for r in runs)
            print(f"{f'udp loss {rate // 1000}k/s':30}  {s.name:12} offered {m('offered') / 1000:.0f} k/s  lost {m('lost') * 100:.2f} %"
                  f" ({min(r['lost'] for r in runs) * 100:.2f}-{max(r['lost'] for r in runs) * 100:.2f}),"
                  f" in the kernel {m('kernel') * 100:.2f} %  {m('cpu'):.3f} CPU s/M  {m('peak'):6.1f} MiB", flush=True)

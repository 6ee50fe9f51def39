"""The avro, thrift and http sources and sinks under load, with Apache Flume 1.11 and the load generator's own receiver beside
them; beside http also Fluent Bit, where it is installed.

A run: start the agents, send for a while to warm up, send for some seconds, wait until the last channel has given out
everything that was acknowledged, and count what is in the files where there are any. The rate is that of acknowledged
events, the CPU seconds are those of all agents of the row until all was delivered. Each connection has one call on its
way. The receiver ("floor") counts events and keeps nothing: what a row cannot exceed on this machine at this moment.

    null, memory     loadgen -> avro -> memory -> null, or file_roll
    file channel     loadgen -> avro -> file -> file_roll: acknowledged when durable
    two hops         loadgen -> avro -> memory -> avro sink -> avro -> memory -> file_roll

The same for thrift and http; http posts JSON arrays. The rows with "tls" are over TLS, each beside itself without it.
"""

import collections
import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from beside_flume import VERSION, Flume, Flumed, unavailable
import tls
from measure import LOADGEN, counters, cpu_seconds, free_port, listens, median, peak_mib, print_row, wait_for

SIZE = 500
# The largest batch of a sink; it takes what is there.
SINK_BATCH = 1000

SOURCE = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = {rpc}
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = {port}
a1.sources.r1.channels = c1
a1.sinks.k1.channel = c1
"""

# Without a number Flume starts a thread for every call, thousands of them, and takes a tenth. flumed has no use for it.
THREADS = "a1.sources.r1.threads = 8\n"
DEFLATE = "a1.{component}.compression-type = deflate\n"

CHANNEL = {
    "memory": """
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
""",
    "file": """
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = {dir}/checkpoint
a1.channels.c1.dataDirs = {dir}/data
a1.channels.c1.capacity = 1000000
a1.channels.c1.transactionCapacity = 1000
""",
}

SINK = {
    "null": """
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = {batch}
""",
    "file_roll": """
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = {dir}/out
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = {batch}
""",
    "avro": """
a1.sinks.k1.type = avro
a1.sinks.k1.hostname = 127.0.0.1
a1.sinks.k1.port = {next_port}
a1.sinks.k1.batch-size = {batch}
""",
}

# The load generator's words: what it sends as, and who receives that and keeps nothing.
MODES = {"avro": "flume-avro", "thrift": "flume-thrift", "http": "http-json"}
RECEIVERS = {"avro": "sink-avro", "http": "sink-http"}

# The agents of a row: channel, sink, and what compresses the connection between two.
FLOWS = {
    "null": [("memory", "null")],
    "memory": [("memory", "file_roll")],
    "file channel": [("file", "file_roll")],
    "two hops": [("memory", "avro"), ("memory", "file_roll")],
    "two hops deflate": [("memory", "avro"), ("memory", "file_roll")],
}

# beside: whether Flume runs beside it without --flume
Row = collections.namedtuple("Row", "rpc flow batch conns beside")
ROWS = [
    Row("avro", "null", 1, 1, True),
    Row("avro", "null", 1, 8, False),
    Row("avro", "null", 100, 1, True),
    Row("avro", "null", 100, 8, False),
    Row("avro", "null", 1000, 1, False),
    Row("avro", "null", 1000, 8, False),
    Row("avro", "memory", 1, 1, False),
    Row("avro", "memory", 100, 1, False),
    Row("avro", "memory", 100, 8, False),
    Row("avro", "memory", 1000, 1, False),
    Row("avro", "file channel", 1, 1, False),
    Row("avro", "file channel", 1, 8, False),
    Row("avro", "file channel", 100, 1, True),
    Row("avro", "file channel", 100, 8, False),
    Row("avro", "file channel", 1000, 1, False),
    Row("avro", "file channel", 1000, 8, False),
    Row("avro", "two hops", 1, 1, False),
    Row("avro", "two hops", 100, 1, True),
    Row("avro", "two hops", 1000, 1, False),
    Row("avro", "two hops deflate", 100, 1, False),
    Row("avro tls", "null", 100, 1, True),
    Row("avro tls", "null", 100, 8, False),
    Row("thrift", "null", 1, 1, True),
    Row("thrift", "null", 1, 8, False),
    Row("thrift", "null", 100, 1, True),
    Row("thrift", "null", 100, 8, True),
    Row("thrift", "null", 1000, 1, False),
    Row("thrift", "null", 1000, 8, False),
    Row("thrift", "file channel", 1, 1, False),
    Row("thrift", "file channel", 1, 8, False),
    Row("thrift", "file channel", 100, 1, True),
    Row("thrift", "file channel", 100, 8, False),
    Row("thrift", "file channel", 1000, 1, False),
    Row("thrift", "file channel", 1000, 8, False),
    Row("http", "null", 1, 1, True),
    Row("http", "null", 1, 8, True),
    Row("http", "null", 100, 1, True),
    Row("http", "null", 100, 8, True),
    Row("http", "null", 1000, 1, True),
    Row("http", "null", 1000, 8, True),
    Row("http", "file channel", 100, 1, True),
    Row("http", "file channel", 100, 8, True),
    Row("http tls", "null", 100, 1, False),
    Row("http tls", "null", 100, 8, False),
]


class Agent:
    def __init__(self, server, work, index, heap, keys, more, channel, sink):
        self.dir, self.metrics, self.port = work / f"agent{index}", free_port(), keys["port"]
        (self.dir / "out").mkdir(parents=True)
        text = (SOURCE + CHANNEL[channel] + SINK[sink]).format(dir=self.dir, batch=SINK_BATCH, **keys)
        (self.dir / "agent.conf").write_text(text + more)
        defines = ["-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={self.metrics}"]
        command = server.command(heap, defines, ["-n", "a1", "-f", str(self.dir / "agent.conf")])
        with open(self.dir / "log", "w") as log:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        if self.child.poll() is not None:
            raise SystemExit(f"bench: an agent ended: {(self.dir / 'log').read_text()[-2000:]}")
        return listens(self.metrics) and listens(self.port)

    def taken(self):
        return int(counters(self.metrics)["CHANNEL.c1"]["EventTakeSuccessCount"])

    def lines(self):
        count = 0
        for path in (self.dir / "out").iterdir():
            with open(path, "rb") as lines:
                while block := lines.read(1 << 20):
                    count += block.count(b"\n")
        return count


class Floor:
    """The generator's own receiver in the place of an agent."""

    name, warm_up = "floor", 0.5

    @staticmethod
    def receiver(rpc, port):
        return [LOADGEN, RECEIVERS[rpc], "--port", str(port), "--max-secs", "600"]


class FluentBit:
    """Its http input into its null output: events are kept in memory on the way, as in a memory channel."""

    name, warm_up = "Fluent Bit", 1

    @staticmethod
    def receiver(rpc, port):
        return ["fluent-bit", "-q", "-i", "http", "-p", "listen=127.0.0.1", "-p", f"port={port}", "-o", "null", "-m", "*"]


class Plain(Flumed):
    """flumed without TLS."""

    name = "without TLS"


def send(server, row, port, seconds):
    words = [MODES[row.rpc.split()[0]], "--port", port, "--size", SIZE, "--batch", row.batch, "--conns", row.conns]
    words += ["--events", 10**9, "--max-secs", seconds] + ["--tls"] * has_tls(server, row)
    # It exits with 1 because time ends before the events do.
    done = subprocess.run([LOADGEN, *map(str, words)], capture_output=True, text=True)
    found = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"bench: sending to {server.name}: {done.stderr}")
    return found


def end(children):
    for child in children:
        child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def has_tls(server, row):
    return row.rpc.endswith("tls") and server is not Plain


def start(server, row, heap, work, agents):
    """Adds the agents of a row, each started when the one that it sends to listens: Flume's sink would pause."""
    flow = FLOWS[row.flow]
    ports = [free_port() for _ in flow]
    for i in reversed(range(len(ports))):
        keys = {"rpc": row.rpc.split()[0], "port": ports[i], "next_port": ports[i + 1] if i + 1 < len(ports) else 0}
        more = THREADS if row.rpc == "thrift" else ""
        if row.flow.endswith("deflate"):
            more += DEFLATE.format(component="sources.r1") if i > 0 else ""
            more += DEFLATE.format(component="sinks.k1") if flow[i][1] == "avro" else ""
        if has_tls(server, row):
            more += tls.source_keys(work)
        agents.insert(0, Agent(server, work, i, heap, keys, more, *flow[i]))
        wait_for(f"{server.name} to start", agents[0].ready, 60)


def run(server, row, seconds, heap, root):
    work, agents, receivers = Path(tempfile.mkdtemp(dir=root)), [], []
    children = lambda: receivers + [a.child for a in agents]
    try:
        if server in (Floor, FluentBit):
            port = free_port()
            words = server.receiver(row.rpc, port)
            receivers.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait_for("the receiver to listen", lambda: listens(port))
        else:
            start(server, row, heap, work, agents)
            port = agents[0].port
        acknowledged = send(server, row, port, server.warm_up)["acked"]
        cpu = lambda: sum(cpu_seconds(c.pid) for c in children())
        arrived = lambda: not agents or agents[-1].taken() >= acknowledged
        wait_for("the warm-up's events", arrived, 120)
        before = cpu()
        sent = send(server, row, port, seconds)
        acknowledged += sent["acked"]
        wait_for("what was acknowledged to arrive", arrived, 120)
        result = {
            "rate": sent["acked"] / sent["secs"],
            "cpu": (cpu() - before) / max(sent["acked"], 1) * 1e6,
            "peak": sum(peak_mib(c.pid) for c in children()),
            "lost": acknowledged - agents[-1].taken() if agents else 0,
            "generator": sent["cpu_s"] / max(sent["acked"], 1) * 1e6,
        }
        end(children())
        if agents and FLOWS[row.flow][-1][1] == "file_roll":
            result["lost"] = acknowledged - agents[-1].lines()
        if result["lost"] > 0:
            raise SystemExit(f"bench: {server.name} lost {result['lost']} acknowledged events")
        return result
    finally:
        end([c for c in children() if c.poll() is None])
        shutil.rmtree(work)


def label_of(row):
    return f"{row.rpc} {row.flow} batch {row.batch} {row.conns} conn"


def servers_of(row, has_flume):
    if row.rpc.endswith("tls"):
        servers = [Flumed, Plain]
    else:
        servers = [Flumed, Floor] if row.rpc in RECEIVERS and row.flow == "null" else [Flumed]
    has_fluent_bit = (row.rpc, row.flow) == ("http", "null") and shutil.which("fluent-bit")
    return servers + [FluentBit] * bool(has_fluent_bit) + [Flume] * has_flume


def rows(args, root):
    wanted = [row for row in ROWS if args.only in label_of(row)]
    if not tls.has_openssl():
        wanted = [row for row in wanted if not row.rpc.endswith("tls")]
    if not wanted:
        return
    beside = args.flume or any(row.beside for row in wanted)
    absent = "left out" if args.no_peer else "none of these rows" if not beside else unavailable()
    what = absent or f"-Xmx{args.heap}, warmed up {Flume.warm_up} s"
    print(
        f"avro, thrift and http, {SIZE} B and 2 headers, one call on its way per connection, {args.seconds:g} s windows,"
        f" medians of {args.runs}; Flume {VERSION}: {what}"
    )
    single = {}
    for row in wanted:
        servers = servers_of(row, not absent and (row.beside or args.flume))
        results = {s.name: [] for s in servers}
        for _ in range(args.runs):
            for s in servers:
                results[s.name].append(run(s, row, args.seconds, args.heap, root))
        print_row(label_of(row), results)
        cpu = median(results["flumed"], "cpu")
        if row.flow == "memory":
            single[row.batch, row.conns] = cpu
        elif (row.batch, row.conns) in single and row.flow.startswith("two hops"):
            by = cpu / single[row.batch, row.conns]
            print(f"{'':30}  {'':12} CPU {by:.2f} x that of the single hop", flush=True)

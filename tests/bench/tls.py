"""TLS connections that come in numbers: beside a steady flow, as fast as they can, and idle ones.

Storm: so many connections a second, each with a whole handshake, one Avro call of one event, and an end; beside them
a flow on connections of its own whose answers are timed, from when each call was due, without and with the storm, with
a certificate of each kind.
Speed: the same as fast as one can, and nothing beside. Idle: what a connection costs the agent in memory once its
handshake is over; the kernel's part is not in it. The certificates are openssl's; without it there are no such rows.
"""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from measure import FLUMED, LOADGEN, cpu_seconds, free_port, median, status, wait_for

PER_SECOND = 1000
# Threads of the storm: none waits for another's handshake.
AT_ONCE = 16
FLOW_CALLS, FLOW_BATCH, FLOW_CONNS = 2000, 10, 20
IDLE = 1000
KINDS = {
    "ECDSA P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "RSA 2048": ["rsa:2048"],
}

AGENT = """
a1.sources = r1 r2
a1.channels = c1
a1.sinks = k1
a1.flumed.loopThreads = {loops}
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = {port}
a1.sources.r1.channels = c1
a1.sources.r2.type = avro
a1.sources.r2.bind = 127.0.0.1
a1.sources.r2.port = {flow}
a1.sources.r2.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
"""


def has_openssl():
    return shutil.which("openssl") is not None


def source_keys(directory, kind="ECDSA P-256"):
    """The keys of a source r1 that has TLS, with a certificate that is made in `directory`. Flume takes them too."""
    key, certificate, store = (str(directory / name) for name in ("key.pem", "certificate.pem", "keystore.p12"))
    make = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "2", "-newkey", *KINDS[kind]]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    pack = ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", store, "-passout", "pass:secret"]
    subprocess.run(pack, check=True, capture_output=True)
    keys = {"ssl": "true", "keystore": store, "keystore-password": "secret", "keystore-type": "PKCS12"}
    return "".join(f"a1.sources.r1.{name} = {value}\n" for name, value in keys.items())


class Agent:
    def __init__(self, kind, root, loops=1):
        self.work = Path(tempfile.mkdtemp(dir=root))
        self.port, self.flow = free_port(), free_port()
        text = AGENT.format(port=self.port, flow=self.flow, loops=loops) + source_keys(self.work, kind)
        (self.work / "agent.conf").write_text(text)
        command = [FLUMED, "agent", "-n", "a1", "-f", self.work / "agent.conf"]
        self.child = subprocess.Popen(command, stderr=open(self.work / "log", "w"))
        wait_for("flumed to start", lambda: "agent a1 started" in (self.work / "log").read_text())

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(timeout=60)
        log = (self.work / "log").read_text()
        shutil.rmtree(self.work)
        if code or "ERROR" in log:
            raise SystemExit(f"bench: flumed ended with {code}: {log[-2000:]}")


def start(mode, port, conns, seconds, *more):
    words = [LOADGEN, mode, "--port", port, "--conns", conns, "--events", 10**9, "--max-secs", seconds, *more]
    return subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(child):
    out, err = child.communicate()
    found = json.loads(out)
    if found["errors"]:
        raise SystemExit(f"bench: not every call was answered: {found} {err}")
    return found


def start_flow(agent, seconds):
    more = ["--batch", FLOW_BATCH, "--rate", FLOW_CALLS * FLOW_BATCH]
    return start("flume-avro", agent.flow, FLOW_CONNS, seconds, *more)


def shown(flow):
    p50, p99, most = (flow[f"ack_us_{key}"] / 1000 for key in ("p50", "p99", "max"))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.1f} ms"


def storm_row(kind, loops, seconds, root):
    agent = Agent(kind, root, loops)
    try:
        alone = outcome(start_flow(agent, seconds))
        cpu = cpu_seconds(agent.child.pid)
        storm = start("avro-storm", agent.port, AT_ONCE, seconds, "--tls", "--rate", PER_SECOND)
        flow = outcome(start_flow(agent, seconds))
        storm = outcome(storm)
        cpu = cpu_seconds(agent.child.pid) - cpu
    finally:
        agent.stop()
    print(
        f"tls storm {kind}, loops {loops}: {storm['acked'] / storm['secs']:.0f} connections/s for {storm['secs']:.0f} s,"
        f" each within p99 {storm['ack_us_p99'] / 1000:.1f} ms; agent {cpu / storm['secs'] * 100:.0f} % of a core,"
        f" generator {storm['cpu_s'] / storm['secs'] * 100:.0f} %\n"
        f"  a flow of {flow['batches'] / flow['secs']:.0f} calls/s of {FLOW_BATCH}: alone {shown(alone)};"
        f" beside it {shown(flow)}",
        flush=True,
    )


def speed_row(kind, runs, seconds, root):
    rates, cpus, generators = [], [], []
    for _ in range(runs):
        agent = Agent(kind, root)
        try:
            cpu = cpu_seconds(agent.child.pid)
            storm = outcome(start("avro-storm", agent.port, AT_ONCE, seconds, "--tls"))
            rates.append({"rate": storm["acked"] / storm["secs"]})
            cpus.append({"cpu": (cpu_seconds(agent.child.pid) - cpu) / storm["acked"] * 1e6})
            generators.append({"cpu": storm["cpu_s"] / storm["acked"] * 1e6})
        finally:
            agent.stop()
    low, high = min(r["rate"] for r in rates), max(r["rate"] for r in rates)
    print(
        f"tls speed {kind}: {median(rates, 'rate'):.0f} connections/s ({low:.0f}-{high:.0f}),"
        f" {median(cpus, 'cpu'):.0f} us of CPU each (generator {median(generators, 'cpu'):.0f} us)",
        flush=True,
    )


def idle_row(runs, root):
    def one():
        agent = Agent("ECDSA P-256", root)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            # What the first ones make stays.
            outcome(start("avro-storm", agent.port, 1, 0.5, "--tls"))
            before = status(agent.child.pid, "VmRSS")
            open_now = [context.wrap_socket(socket.create_connection(("127.0.0.1", agent.port))) for _ in range(IDLE)]
            kib = (status(agent.child.pid, "VmRSS") - before) / IDLE
            for s in open_now:
                s.close()
            return {"kib": kib}
        finally:
            agent.stop()

    print(f"tls idle: {median([one() for _ in range(runs)], 'kib'):.1f} KiB a connection, of {IDLE}", flush=True)


def rows(args, root):
    wanted = [label for label in ("tls storm", "tls speed", "tls idle") if args.only in label]
    if not wanted:
        return
    if not has_openssl():
        print("openssl is not installed: no rows with TLS")
        return
    for label in wanted:
        for kind in KINDS:
            if label == "tls storm":
                storm_row(kind, 1, args.storm, root)
            elif label == "tls speed":
                speed_row(kind, args.runs, args.seconds, root)
        if label == "tls idle":
            idle_row(args.runs, root)

"""The processes of the RPC cases: agents (flumed or Flume) with an Avro or Thrift source, and those who send or receive.

Keys of a source or sink are given as a dictionary; without a type in it, it is avro.
"""
import contextlib, os, re, subprocess, tempfile

from children import DEADLINE, child, wait
from flume.agents import PEER, Agent
from . import events

HERE = os.path.dirname(os.path.abspath(__file__))
AVSC = os.path.join(HERE, "..", "..", "..", "scripts", "avsc-peer")
THRIFT = os.path.join(HERE, "..", "..", "..", "scripts", "thrift-peer")
DEFLATE = {"compression-type": "deflate"}
CONF = """
a1.sources = r1
a1.channels = c1
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @port@
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c1.transactionCapacity = 1000
"""
ROLL = """
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @dir@/out
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 500
a1.sinks.k1.sink.serializer = header_and_text
a1.sinks.k1.channel = c1
"""
FULL = """
a1.channels.c1.capacity = 1
a1.channels.c1.transactionCapacity = 1
a1.channels.c1.keep-alive = 0
"""
SEND = """
a1.sinks = k1
a1.sinks.k1.hostname = 127.0.0.1
a1.sinks.k1.port = {port}
a1.sinks.k1.batch-size = {batch}
a1.sinks.k1.channel = c1
"""


def keys(of, given):
    return "".join(f"a1.{of}.{key} = {value}\n" for key, value in {"type": "avro", **(given or {})}.items())


def agent(flumed, version, directory, conf):
    """Started, but not waited for; its log is DIRECTORY/agent.log, what file_roll writes in DIRECTORY/out."""
    os.makedirs(directory)
    with open(f"{directory}/given.conf", "w") as f:
        f.write(conf)
    return Agent(flumed, version, f"{directory}/given.conf", directory, lambda _: None)


def last(flumed, version, directory, source=None):
    """An agent that writes what comes into files."""
    return agent(flumed, version, directory, CONF + ROLL + keys("sources.r1", source))


def full(flumed, version, directory, source=None):
    """An agent whose channel has room for one event, which nobody takes."""
    return agent(flumed, version, directory, CONF + FULL + keys("sources.r1", source))


def relay(flumed, version, directory, port, source=None, sink=None, batch=100):
    """An agent that sends on what comes."""
    conf = CONF + SEND.format(port=port, batch=batch) + keys("sources.r1", source) + keys("sinks.k1", sink)
    return agent(flumed, version, directory, conf)


def start_sdk(version, path, ports, threads=1, batch=50, shared=False, kind="default", **properties):
    """Flume's client; with several ports the failover or load-balancing one."""
    hosts = [f"hosts.h{n}=127.0.0.1:{port}" for n, port in enumerate(ports)]
    words = [path, threads, batch, "yes" if shared else "no", f"client.type={kind}",
             "hosts=" + " ".join(f"h{n}" for n in range(len(ports))), *hosts,
             *(f"{name.replace('_', '-')}={value}" for name, value in properties.items())]
    command = [PEER, "java", version, "256m", f"{HERE}/Sdk.java", *map(str, words)]
    return program(*command)


@contextlib.contextmanager
def program(*command):
    """Its log has a file of its own, so that it can neither block it nor get between what it prints."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with child(*command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            process.log = log
            yield process


def ended(process, timeout=DEADLINE):
    """What it printed, once it has ended well."""
    said = process.communicate(timeout=timeout)[0]
    process.log.seek(0)
    assert process.returncode == 0, \
        f"{process.args[:3]} ended with {process.returncode}: {said} {process.log.read()[-3000:]}"
    return said


def sent(said, path, threads):
    """Checks that the SDK driver sent the whole file; gives the retries."""
    found = re.findall(r"sender (\d+): (\d+) events, crc ([0-9a-f]+), (\d+) retries, \d+ ms", said)
    assert len(found) == threads, f"the SDK driver said {said[-3000:]}"
    for thread, _, crc, _ in found:
        assert int(crc, 16) == events.crc(path, int(thread), threads), f"sender {thread} sent something else: {said}"
    return sum(int(retries) for _, _, _, retries in found)


def sdk(version, path, ports, threads=1, timeout=DEADLINE, **how):
    with start_sdk(version, path, ports, threads, **how) as process:
        return sent(ended(process, timeout), path, threads)


def log4j2(port, path, count, batch):
    """Logs `count` lines; gives the events it is to have sent, without their guId, from the file written beside."""
    defines = [f"-D{name}={value}" for name, value in {
        "log4j2.configurationFile": f"{HERE}/log4j2.xml", "interop.port": port, "interop.batch": batch,
        "interop.file": path}.items()]
    command = [PEER, "java", "log4j2", "256m", *defines, f"{HERE}/Log.java", str(count)]
    with program(*command) as process:
        ended(process)
    with open(path, encoding="utf-8", newline="") as f:
        records = [record.split("\ue001") for record in f.read().split("\ue000")[1:]]
    return [({"timeStamp": time, "number": number, "Straße": street}, body.encode())
            for time, number, street, body in records]


def avsc_client(port, path, batch, window):
    with program(AVSC, "run", f"{HERE}/avsc.js", "client", str(port), path, str(batch), str(window)) as process:
        return ended(process)


def avsc_server(stack, path, refuse=0):
    """Gives its port; it ends with the stack."""
    return server(stack, path, AVSC, "run", f"{HERE}/avsc.js", "server", path, str(refuse))


def thrift_peer(library, protocol, *words):
    """What a Thrift library's client printed."""
    with program(THRIFT, "run", f"{HERE}/thrift_peer.py", words[0], library, protocol, *map(str, words[1:])) as process:
        return ended(process)


def thrift_server(stack, path, library, protocol, refuse=0):
    command = [THRIFT, "run", f"{HERE}/thrift_peer.py", "server", library, protocol, path, str(refuse)]
    return server(stack, path, *command)


def server(stack, path, *command):
    """Starts one that appends events to this file, and gives its port; it ends with the stack."""
    open(path, "w").close()
    log = stack.enter_context(open(f"{path}.log", "w"))
    process = stack.enter_context(child(*command, stdout=log, stderr=log))

    def listening():
        with open(f"{path}.log") as f:
            said = f.read()
        assert process.poll() is None, f"{command[0]} ended: {said}"
        return said.endswith("\n") and int(said.split()[0])
    return wait("it listens", listening)

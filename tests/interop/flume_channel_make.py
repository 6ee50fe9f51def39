"""Makes file channels with a real Apache Flume, for what reads them: imports, and the unit tests' fixtures.

    flume_channel_make.py VERSION DIRECTORY EVENTS
        EVENTS undelivered events in DIRECTORY/{checkpoint,data}; the body of each is its number, from 0
    flume_channel_make.py --record [NAME ...]
        takes the fixtures in tests/data/flume-channel again

Standard library only. `scripts/flume-peer prepare VERSION` comes first.
"""
import json, os, re, shutil, socket, sys, tempfile, time, urllib.request

from children import wait
from flume.agents import Agent

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "flume-channel")
CHANNEL = """
a1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @dir@/checkpoint
a1.channels.c1.minimumRequiredSpace = 1048576
"""
SEQ = """
a1.sources = r1
a1.sources.r1.type = seq
a1.sources.r1.channels = c1
"""
NETCAT = """
a1.sources = r1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @port@
a1.sources.r1.channels = c1
"""
LOGGER = """
a1.sinks = k1
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
"""


def keys(prefix, **values):
    return "".join(f"{prefix}.{key.replace('_', '-')} = {value}\n" for key, value in values.items())


def agent(version, text, directory):
    """Flume with this configuration; its log is DIRECTORY/agent.log."""
    os.makedirs(directory, exist_ok=True)
    shutil.rmtree(f"{directory}/out", ignore_errors=True)
    with open(f"{directory}/made.conf", "w") as f:
        f.write(text)
    return Agent(None, version, f"{directory}/made.conf", directory, lambda _: None)


def counters(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return {key: int(value) for key, value in json.load(answer).get(name, {}).items() if value.isdigit()}


def put(flume, count):
    """Waits until the channel has taken in `count` events."""
    flume.started()
    wait(f"{count} events put", lambda: counters(flume.port, "CHANNEL.c1").get("EventPutSuccessCount", 0) >= count)


def make(version, directory, events):
    """A channel that an orderly stop left with this many undelivered events."""
    batch = min(events, 1000)
    text = CHANNEL + SEQ + keys("a1.channels.c1", dataDirs="@dir@/data", capacity=events, transactionCapacity=batch)
    flume = agent(version, text + keys("a1.sources.r1", totalEvents=events, batchSize=batch), directory)
    try:
        put(flume, events)
        flume.stop()
    finally:
        flume.close()


def kill(flume):
    flume.process.kill()
    flume.process.wait()


def delivered(flume, count):
    """Waits until the logger sink has delivered this many."""
    wait(f"{count} events delivered", lambda: len(flume.events("log")) >= count)


def put_lines(connection, lines):
    for line in lines:
        connection.write(line + b"\n")
        connection.flush()
        assert connection.readline() == b"OK\n"


def closed(directory):
    """Twelve events with headers; orderly stop."""
    text = CHANNEL + NETCAT + keys("a1.channels.c1", dataDirs="@dir@/data", capacity=100, transactionCapacity=10) + """
a1.sources.r1.interceptors = i1 i2
a1.sources.r1.interceptors.i1.type = static
a1.sources.r1.interceptors.i1.key = caf\\u00e9
a1.sources.r1.interceptors.i1.value = na\\u00efve \\u6f22\\u5b57 \\ud83d\\ude00
a1.sources.r1.interceptors.i2.type = regex_extractor
a1.sources.r1.interceptors.i2.regex = (\\\\d*)$
a1.sources.r1.interceptors.i2.serializers = s1
a1.sources.r1.interceptors.i2.serializers.s1.name = number
"""
    flume = agent("1.11.0", text, directory)
    flume.started()
    with socket.create_connection(("127.0.0.1", flume.port), timeout=10) as s:
        put_lines(s.makefile("rwb"), [f"l\u00efne {n if n % 3 else ''}".encode() for n in range(12)])
    flume.stop()


def killed(directory):
    """Half delivered, killed with kill -9 after checkpoints were taken."""
    text = CHANNEL + SEQ + LOGGER + keys("a1.channels.c1", dataDirs="@dir@/data", capacity=100, transactionCapacity=40,
                                         checkpointInterval=1000)
    text += keys("a1.sources.r1", totalEvents=300, batchSize=40)
    flume = agent("1.9.0", text, directory)
    delivered(flume, 200)
    kill(flume)


def two_dirs(directory):
    """Two dataDirs and small files, of which the oldest have been deleted; partly delivered, killed."""
    channel = CHANNEL + keys("a1.channels.c1", dataDirs="@dir@/data,@dir@/data2", capacity=100, transactionCapacity=40,
                             checkpointInterval=1000, maxFileSize=3000)
    flume = agent("1.11.0", channel + LOGGER + NETCAT, directory)
    flume.started()
    with socket.create_connection(("127.0.0.1", flume.port), timeout=10) as s:
        lines = s.makefile("rwb")
        while os.path.exists(f"{directory}/data/log-1"):
            put_lines(lines, [b"gone"] * 12)  # every checkpoint needs a change
            time.sleep(0.5)
    flume.stop()
    flume = agent("1.11.0", channel + SEQ + keys("a1.sources.r1", totalEvents=80, batchSize=8), directory)
    put(flume, 80)
    flume.stop()
    flume = agent("1.11.0", channel + LOGGER + "a1.sources =\n", directory)
    delivered(flume, 20)
    kill(flume)


def in_flight(directory):
    """A sink whose peer does not answer and a channel that is full: puts and takes are rolled back again and again, and
    are under way while checkpoints are taken; killed."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        text = CHANNEL + SEQ + keys("a1.channels.c1", dataDirs="@dir@/data", capacity=100, transactionCapacity=20,
                                    checkpointInterval=1000, keep_alive=1)
        text += keys("a1.sources.r1", totalEvents=105, batchSize=15) + "a1.sinks = k1\n"
        text += keys("a1.sinks.k1", type="avro", hostname="127.0.0.1", port=deaf.getsockname()[1], channel="c1",
                     batch_size=20, request_timeout=3000, connect_timeout=3000)
        flume = agent("1.11.0", text, directory)
        put(flume, 90)
        rolled_back = b"\x17\x0d\x03\0\0\0\x11"

        def ready():
            with open(f"{directory}/data/log-1", "rb") as f:
                sizes = [os.path.getsize(f"{directory}/checkpoint/inflight{kind}") for kind in ("takes", "puts")]
                return f.read().count(rolled_back) > 4 and min(sizes) > 100
        wait("rollbacks, and a checkpoint with transactions under way", ready)
        time.sleep(0.3)  # until the .meta files tell of that checkpoint too
        kill(flume)


def redelivered(version, directory, dirs):
    """What Flume itself delivers from a copy of the channel, headers in front: the truth to compare with."""
    copy = f"{directory}-copy"
    shutil.copytree(directory, copy)
    with open(f"{directory}/made.conf") as f:
        capacity = re.search(r"c1.capacity = (\d+)", f.read())[1]
    text = CHANNEL + keys("a1.channels.c1", dataDirs=",".join(f"@dir@/{d}" for d in dirs), capacity=capacity,
                          transactionCapacity=10) + """
a1.sources =
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @dir@/out
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 10
a1.sinks.k1.sink.serializer = header_and_text
a1.sinks.k1.channel = c1
"""
    flume = agent(version, text, copy)
    try:
        flume.started()
        seen = [0, -1]

        def quiet():
            """The channel is empty and was a moment ago."""
            size = counters(flume.port, "CHANNEL.c1").get("ChannelSize", -1)
            seen[:] = [seen[0] + 1 if size == 0 == seen[1] else 0, size]
            time.sleep(0.1)
            return seen[0] > 5
        wait("the copy is drained", quiet)
        flume.stop()
        return flume.events("out")
    finally:
        flume.close()


def keep(directory, name, dirs, expected):
    """Copies the channel among the fixtures: data files without the fill that Flume puts behind their end."""
    to = f"{FIXTURES}/{name}"
    shutil.rmtree(to, ignore_errors=True)
    for d in ["checkpoint", *dirs]:
        os.makedirs(f"{to}/{d}")
        for file in os.listdir(f"{directory}/{d}"):
            path = f"{directory}/{d}/{file}"
            if file == "in_use.lock" or os.path.isdir(path):
                continue
            with open(path, "rb") as f:
                content = f.read()
            if re.fullmatch(r"log-\d+", file):
                end = len(content.rstrip(b"\x80"))
                content = content[:min(len(content), end + 200)]
            with open(f"{to}/{d}/{file}", "wb") as f:
                f.write(content)
    with open(f"{to}/expected.txt", "wb") as f:
        f.writelines(line + b"\n" for line in expected)


def record(names):
    for name, version, dirs, how in [("closed", "1.11.0", ["data"], closed), ("killed", "1.9.0", ["data"], killed),
                                     ("two-dirs", "1.11.0", ["data", "data2"], two_dirs),
                                     ("in-flight", "1.11.0", ["data"], in_flight)]:
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as tmp:
            directory = f"{tmp}/channel"
            how(directory)
            expected = redelivered(version, directory, dirs)
            keep(directory, name, dirs, expected)
            print(f"{name}: {len(expected)} events undelivered")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2:])
    elif len(sys.argv) == 4:
        make(sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(__doc__)

"""Takes the exchanges in tests/data/avro again, between peers that are not ours: see the README there.

    python3 tests/interop/rpc/record.py [NAME ...]      those with NAME in theirs; default: all

`scripts/flume-peer prepare 1.11.0`, the same for 1.9.0 and log4j2, and `scripts/avsc-peer prepare` come first.
"""
import contextlib, os, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from children import wait
from rpc import events, peers, wire
from rpc.proxy import Proxy

DATA = os.path.join(HERE, "..", "..", "data", "avro")
FEW = [
    ({"k": "v"}, b"hi"), ({"städt": "Köln", "emoji 😀": "東京", "empty": ""}, "Grüße 你好".encode()), ({}, b""),
    ({}, b"no headers"), ({"only": "headers"}, b""), ({"seen": "often"}, b"same"), ({"seen": "often"}, b"same"),
    ({"bytes": "all"}, bytes(range(256))),
]


class Scene:
    """A server with a proxy before it, and files for the events."""

    def __init__(self, stack, directory, version, deflate=False, full=False, avsc=False):
        self.stack, self.directory, self.version = stack, directory, version
        if avsc:
            self.server = "npm avsc 5.7.9"
            port = peers.avsc_server(stack, f"{directory}/received")
            self.complete = lambda: len(events.read(f"{directory}/received")) == len(FEW)
        else:
            self.server = f"Apache Flume {version}, avro source"
            make = peers.full if full else peers.last
            agent = make(None, version, f"{directory}/server", deflate and peers.DEFLATE)
            stack.callback(agent.close)
            agent.started()
            port = agent.port
            size = sum(len(events.form(e)) + 1 for e in FEW)
            self.complete = lambda: events.size(f"{directory}/server/out") == size
        self.proxy = Proxy(stack, port)

    def file(self, given=FEW):
        path = f"{self.directory}/events"
        events.write(path, given)
        return path

    def client(self):
        client = wire.Client(self.proxy.port)
        self.stack.callback(client.close)
        return client


def sdk(given=FEW, **how):
    def act(scene):
        peers.sdk(scene.version, scene.file(given), [scene.proxy.port], **how)
    return act


def from_sink(deflate):
    """What an avro sink sends; it is fed by the SDK."""
    def act(scene):
        relay = peers.relay(None, scene.version, f"{scene.directory}/relay", scene.proxy.port,
                            sink=deflate and peers.DEFLATE, batch=3)
        scene.stack.callback(relay.close)
        relay.started()
        peers.sdk(scene.version, scene.file(), [relay.port], batch=8)
        wait("all events arrive", scene.complete)
        relay.stop()
    return act


def from_avsc(scene):
    peers.avsc_client(scene.proxy.port, scene.file(), 3, 2)


def from_log4j2(batch):
    def act(scene):
        peers.log4j2(scene.proxy.port, f"{scene.directory}/logged", 5, batch)
    return act


def refused(scene):
    """Room for one event only."""
    client = scene.client()
    client.send(wire.frame(1, wire.handshake() + wire.call("append", wire.event({"n": "1"}, b"fits"))))
    client.send(wire.frame(2, wire.call("append", wire.event({"n": "2"}, b"refused"))))
    client.send(wire.frame(3, wire.call("appendBatch", wire.batch([({}, b"a"), ({}, b"b")]))))
    client.send(wire.frame(4, wire.call("")))
    client.send(wire.frame(5, wire.call("appendBatch", wire.batch([]))))
    client.close()


def unusual(scene):
    """What is allowed, though no client of Flume does it."""
    client = scene.client()
    client.send(wire.frame(7, wire.handshake(meta=b"\0"), wire.call("")))
    client.send(wire.frame(-1, b"", wire.call(""), b""))
    client.send(wire.frame(0, wire.call("appendBatch", wire.batch([]))))
    one = wire.event({"block": "1"}, b"in three chunks")
    message = wire.call("append", one)
    client.send(wire.frame(9, message[:3], message[3:11], message[11:]))
    pairs = wire.sized(b"a") + wire.sized(b"1")
    more = wire.sized(b"b") + wire.sized(b"2")
    blocks = wire.number(-1) + wire.number(len(pairs)) + pairs + wire.number(1) + more + b"\0"
    blocks += wire.sized(b"two blocks")
    client.send(wire.frame(10, wire.call("append", blocks)))
    array = wire.number(-1) + wire.number(len(one)) + one + wire.number(2) + one + blocks + b"\0"
    client.send(wire.frame(11, wire.call("appendBatch", array)))
    meta = wire.number(1) + wire.sized(b"trace") + wire.sized(b"\0\1\2") + b"\0"
    client.send(wire.frame(12, wire.call("append", one, meta=meta)))
    client.send(wire.frame(13, wire.call("append", wire.event({"twice": "1"}, b"")[:-2] + b"\0\0")))
    client.close()


def mistaken(scene):
    """Calls that cannot be carried out, each with a good one behind it."""
    client = scene.client()
    good = wire.call("append", wire.event({"k": "v"}, b"good"))
    client.send(wire.frame(1, wire.handshake() + wire.call("foo", b"\2\2")))
    client.send(wire.frame(2, good))
    client.send(wire.frame(3, wire.call("append", wire.event({"k": "v"}, b"cut short")[:-4])))
    client.send(wire.frame(4, good))
    client.send(wire.frame(5, wire.call("appendBatch", wire.number(3) + wire.event({}, b"one of three"))))
    client.send(wire.frame(6, good))
    client.send(wire.frame(7, wire.call("append")))
    client.send(wire.frame(8, good))
    client.send(wire.frame(9, wire.call("append", wire.event({"k": "v"}, b"bytes behind it") + b"\1\2\3")))
    client.send(wire.frame(10, good))
    client.close()


def negotiated(text, server, then=None):
    """A client whose hash is its own."""
    def act(scene):
        client = scene.client()
        good = wire.call("append", wire.event({"k": "v"}, b"hi"))
        client.send(wire.frame(1, wire.handshake(wire.HASH, server, text) + good))
        if then:
            client.send(wire.frame(2, wire.handshake(wire.HASH, then, wire.TEXT) + good))
        client.send(wire.frame(3, good))
        client.close()
    return act


def unreadable(scene):
    client = scene.client()
    client.send(wire.frame(1, b"\x01\x02\x03"))
    client.close()


def together(scene):
    """All calls on the wire at once, behind the first one's handshake."""
    client = scene.client()
    client.send(wire.frame(1, wire.handshake() + wire.call("append", wire.event({"n": "1"}, b"first"))))
    rest = [wire.frame(n, wire.call("appendBatch", wire.batch([({"n": str(n)}, b"body %d" % n)] * (1 + n % 3))))
            for n in range(2, 26)]
    client.send(b"".join(rest), len(rest))
    client.close()


BIG = [({"size": "8200"}, b"x" * 8200)]
BOTH = ["1.11.0", "1.9.0"]
EXCHANGES = [  # name, who, versions, what is special about the server, act
    ("sdk-append", "SDK client, append", BOTH, {}, sdk(FEW[:5], batch=0)),
    ("sdk-batch", "SDK client, appendBatch of 3", BOTH, {}, sdk(batch=3)),
    ("sdk-deflate", "SDK client, appendBatch of 3, deflate", BOTH, {"deflate": True},
     sdk(batch=3, compression_type="deflate")),
    ("sdk-chunks", "SDK client, a message of several chunks", ["1.11.0"], {}, sdk(BIG, batch=1)),
    ("sdk-pipelined", "SDK client, four threads append through it", BOTH, {},
     sdk(events.numbered(24), threads=4, batch=0, shared=True)),
    ("sink", "avro sink, batch-size 3", BOTH, {}, from_sink(False)),
    ("sink-deflate", "avro sink, batch-size 3, deflate", BOTH, {"deflate": True}, from_sink(True)),
    ("sink-to-avsc", "avro sink, batch-size 3", BOTH, {"avsc": True}, from_sink(False)),
    ("log4j2", "log4j2 2.23.1, its Flume appender, append", ["1.11.0"], {}, from_log4j2(1)),
    ("log4j2-batch", "log4j2 2.23.1, its Flume appender, appendBatch of 2", ["1.11.0"], {}, from_log4j2(2)),
    ("avsc", "npm avsc 5.7.9, appendBatch of 3, two calls in flight", BOTH, {}, from_avsc),
    ("refused", "bytes by hand, a channel with room for one event", BOTH, {"full": True}, refused),
    ("unusual", "bytes by hand: what the protocol allows", BOTH, {}, unusual),
    ("mistaken", "bytes by hand: unknown message, parameters that cannot be read", BOTH, {}, mistaken),
    ("handshake-none", "bytes by hand: own hash without its text, then with it", BOTH, {},
     negotiated(None, wire.HASH, wire.HASH)),
    ("handshake-client", "bytes by hand: own hash and text, the server's hash wrong", BOTH, {},
     negotiated(wire.TEXT, wire.HASH)),
    ("handshake-both", "bytes by hand: own hash and text, the server's hash right", BOTH, {},
     negotiated(wire.TEXT, wire.FLUME_HASH)),
    ("handshake-unreadable", "bytes by hand: no handshake at all", BOTH, {}, unreadable),
    ("pipelined", "bytes by hand: 24 calls sent at once", BOTH, {}, together),
]


def hexed(body):
    """In hex, or shorter: one byte and how often it comes."""
    return f"{body[:1].hex()}*{len(body)}" if len(body) > 100 and len(set(body)) == 1 else body.hex() or "-"


def told(passed):
    """What the recorded bytes say, one line for each call, event and answer, read by `wire`."""
    sides = [wire.inflated(b"".join(piece for d, piece in passed if d == side)) for side in "><"]
    requests, replies = map(wire.frames, sides)
    answers, first = {}, True
    for serial, message in replies:  # a serial may come again: avsc's pings share theirs
        answers.setdefault(serial, []).append(message)
    lines = []
    for serial, message in requests:
        try:
            name, stored = wire.request(message, first)
        except wire.Short:
            lines += [f"call {serial} unreadable", f"answer {serial} {wire.reply(answers[serial][0], False, False)[1]}"]
            break
        lines.append(f"call {serial} {name or 'ping'}" + (" unreadable" if stored is None else ""))
        for headers, body in stored or []:
            pairs = "".join(f" {n.hex() or '-'}={v.hex() or '-'}" for n, v in headers)
            lines.append(f"event {hexed(body)}{pairs}")
        if answers.get(serial):
            match, what = wire.reply(answers[serial].pop(0), first, not name)
            lines.append(f"answer {serial} " + (f"{match} " if match else "") + what.replace("\n", "\\n"))
            first = first and match == "NONE"
    order = [serial for serial, _ in replies]
    if order != [serial for serial, _ in requests]:
        lines.append("order " + " ".join(map(str, order)))
    return lines


def write(name, client, server, passed):
    lines = [f"# client: {client}", f"# server: {server}", "# recorded by tests/interop/rpc/record.py"]
    lines += [f"{direction} {piece.hex() or 'end'}" for direction, piece in passed] + told(passed)
    text = "\n".join(lines) + "\n"
    with open(f"{DATA}/{name}.txt", "w") as f:
        f.write(text)
    order = [line for line in lines if line.startswith("order")]
    print(f"{name}: {len(text)} bytes, {sum(line.startswith('call') for line in lines)} calls"
          + (", answered out of order" if order else ""), flush=True)


def main():
    for name, who, versions, how, act in EXCHANGES:
        for version in versions:
            full = f"{name}-{version}"
            if sys.argv[1:] and not any(word in full for word in sys.argv[1:]):
                continue
            with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
                scene = Scene(stack, directory, version, **how)
                act(scene)
                connections = [c for c in scene.proxy.ended() if any(piece for _, piece in c)]
                assert len(connections) == 1, f"{full}: {len(connections)} connections"
                said = who if "SDK" not in who and "sink" not in who else f"Apache Flume {version}, {who}"
                write(full, said, scene.server, connections[0])


if __name__ == "__main__":
    main()

"""Takes the exchanges in tests/data/thrift again, between peers that are not ours: see the README there.

    python3 tests/interop/rpc/record_thrift.py [NAME ...]      those with NAME in theirs; default: all

`scripts/flume-peer prepare 1.11.0`, the same for 1.9.0, and `scripts/thrift-peer prepare` come first.
"""
import contextlib, os, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from children import wait
from rpc import events, peers, thrift_wire, wire
from rpc.proxy import Proxy
from rpc.record import FEW, hexed

DATA = os.path.join(HERE, "..", "..", "data", "thrift")
NAMES = {"apache": "Apache thrift 0.25.0 for Python", "thriftpy2": "thriftpy2 0.7.1"}
FLUME, OLD = "1.11.0", "1.9.0"


class Scene:
    """A proxy in front of a server: Flume's thrift source of this version, or a library's."""

    def __init__(self, stack, directory, protocol, server, full):
        self.stack, self.directory, self.protocol, self.server = stack, directory, protocol, server
        self.keys = {"type": "thrift", "protocol": protocol}
        if server in NAMES:
            port = peers.thrift_server(stack, f"{directory}/received", server, protocol)
            self.complete = lambda: len(events.read(f"{directory}/received")) == len(FEW)
        else:
            make = peers.full if full else peers.last
            port = self.started(make(None, server, f"{directory}/server", self.keys))
            size = sum(len(events.form(e)) + 1 for e in FEW)
            self.complete = lambda: events.size(f"{directory}/server/out") == size
        self.proxy = Proxy(stack, port)

    def started(self, agent):
        self.stack.callback(agent.close)
        agent.started()
        return agent.port

    def file(self, given):
        path = f"{self.directory}/events"
        events.write(path, given)
        return path


def sdk(given, batch):
    def act(scene):
        peers.sdk(scene.server, scene.file(given), [scene.proxy.port], batch=batch, kind="thrift",
                  protocol=scene.protocol)
    return act


def from_sink(version):
    def act(scene):
        relay = peers.relay(None, version, f"{scene.directory}/relay", scene.proxy.port, sink=scene.keys, batch=3)
        port = scene.started(relay)
        wire.send(port, FEW)
        wait("all events arrive", scene.complete)
        relay.stop()
    return act


def python(library, role, given=FEW, batch=3):
    def act(scene):
        words = [scene.file(given), batch] if role == "client" else []
        peers.thrift_peer(library, scene.protocol, role, scene.proxy.port, *words)
    return act


EXCHANGES = [  # name, protocols, who, the server, whether it has room for one event only, act
    ("sdk-append-1.11.0", ("compact", "binary"), "Apache Flume 1.11.0, SDK client, append", FLUME, False, sdk(FEW[:5], 0)),
    ("sdk-batch-1.11.0", ("compact", "binary"), "Apache Flume 1.11.0, SDK client, appendBatch of 3", FLUME, False,
     sdk(FEW, 3)),
    ("sdk-many-1.11.0", ("compact", "binary"), "Apache Flume 1.11.0, SDK client, appendBatch of 20", FLUME, False,
     sdk(events.numbered(20), 20)),
    ("sdk-batch-1.9.0", ("compact",), "Apache Flume 1.9.0, SDK client, appendBatch of 3", OLD, False, sdk(FEW, 3)),
    ("sink-1.11.0", ("compact", "binary"), "Apache Flume 1.11.0, thrift sink, batch-size 3", FLUME, False,
     from_sink(FLUME)),
    ("sink-1.9.0", ("compact",), "Apache Flume 1.9.0, thrift sink, batch-size 3", OLD, False, from_sink(OLD)),
] + [
    entry for library, name in NAMES.items() for entry in [
        (library, ("compact", "binary"), f"{name}, appendBatch of 3", FLUME, False, python(library, "client")),
        (f"{library}-unknown", ("compact", "binary"), f"{name}, a method that there is not, then append", FLUME, False,
         python(library, "unknown")),
        (f"{library}-refused", ("compact", "binary"), f"{name}, append, a channel with room for one event", FLUME, True,
         python(library, "client", events.numbered(3), 0)),
        (f"sink-to-{library}", ("compact", "binary"), "Apache Flume 1.11.0, thrift sink, batch-size 3", library, False,
         from_sink(FLUME)),
    ]
]


def told(passed):
    """What the recorded bytes say, one line for each call, event and answer, read by `thrift_wire`."""
    requests, replies = (thrift_wire.frames(b"".join(piece for d, piece in passed if d == side)) for side in "><")
    lines = []
    assert len(requests) == len(replies), f"{len(requests)} calls, {len(replies)} answers"
    for request, reply in zip(requests, replies):
        number, name, stored = thrift_wire.request(request)
        lines.append(f"call {number} {name}")
        for headers, body in stored:
            pairs = "".join(f" {n.hex() or '-'}={v.hex() or '-'}" for n, v in headers)
            lines.append(f"event {hexed(body)}{pairs}")
        lines.append("answer {} {}".format(*thrift_wire.reply(reply)))
    return lines


def main():
    os.makedirs(DATA, exist_ok=True)
    for name, protocols, who, server, full, act in EXCHANGES:
        for protocol in protocols:
            whole = f"{name}-{protocol}"
            if sys.argv[1:] and not any(word in whole for word in sys.argv[1:]):
                continue
            with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
                scene = Scene(stack, directory, protocol, server, full)
                act(scene)
                connections = [c for c in scene.proxy.ended() if any(piece for _, piece in c)]
                assert len(connections) == 1, f"{whole}: {len(connections)} connections"
                served = NAMES.get(server) or f"Apache Flume {server}, thrift source"
                lines = [f"# client: {who}", f"# server: {served}", "# recorded by tests/interop/rpc/record_thrift.py"]
                lines += [f"{direction} {piece.hex() or 'end'}" for direction, piece in connections[0]]
                lines += told(connections[0])
                with open(f"{DATA}/{whole}.txt", "w") as f:
                    f.write("\n".join(lines) + "\n")
                print(f"{whole}: {sum(line.startswith('call') for line in lines)} calls", flush=True)


if __name__ == "__main__":
    main()

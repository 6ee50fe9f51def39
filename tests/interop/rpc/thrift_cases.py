"""flumed between peers that are not ours, over Thrift in both protocols: Flume's agents and SDK, and two Python libraries.

As in `cases`; peers that a case needs may also be `thrift`: the Python packages.
"""
from children import wait
from . import events, peers, wire
from .cases import scene

UNKNOWN_METHOD = 1
PROTOCOL_ERROR = 7


def thrift(protocol):
    return {"type": "thrift", "protocol": protocol}


def from_sdk(version, protocol):
    """SDK clients, append and then appendBatch -> flumed."""
    @scene
    def case(s):
        given = events.given(100)
        agent = s.add(peers.last, "", "flumed", thrift(protocol))
        path = s.file(given)
        for batch in (0, 40):
            retries = peers.sdk(version, path, [agent.port], batch=batch, kind="thrift", protocol=protocol)
            assert retries == 0, f"{retries} retries"
        s.check(given * 2, ["flumed"])
    return case


def from_flume(version, protocol):
    """Flume's thrift sink -> flumed."""
    @scene
    def case(s):
        given = events.given()
        last = s.add(peers.last, "", "flumed", thrift(protocol))
        relay = s.add(peers.relay, version, "flume", last.port, sink=thrift(protocol))
        wire.send(relay.port, given)
        s.check(given, ["flumed"])
    return case


def to_flume(version, protocol):
    """flumed's thrift sink -> Flume."""
    @scene
    def case(s):
        given = events.given()
        last = s.add(peers.last, version, "flume", thrift(protocol))
        relay = s.add(peers.relay, "", "flumed", last.port, sink=thrift(protocol))
        wire.send(relay.port, given)
        s.check(given, ["flume"])
    return case


def from_python(library, protocol):
    """A library's client, append and then appendBatch -> flumed, whose protocol is the other one by its configuration."""
    @scene
    def case(s):
        given = events.given(100)
        other = {"compact": "binary", "binary": "compact"}[protocol]
        agent = s.add(peers.last, "", "flumed", thrift(other))
        path = s.file(given)
        for batch, calls in ((0, len(given)), (40, -(-len(given) // 40))):
            said = peers.thrift_peer(library, protocol, "client", agent.port, path, batch)
            assert said == f"status 0 {calls} times\n", said
        s.check(given * 2, ["flumed"])
    return case


def odd(library, protocol):
    """An unknown method, and an event without a body: exceptions, and the connection goes on."""
    @scene
    def case(s):
        agent = s.add(peers.last, "", "flumed", thrift(protocol))
        said = peers.thrift_peer(library, protocol, "odd", agent.port).splitlines()
        assert said == [
            f"forget: TApplicationException {UNKNOWN_METHOD}: Invalid method name: 'forget'",
            f"append: TApplicationException {PROTOCOL_ERROR}: required field 'body' is missing in ThriftFlumeEvent",
            "append: status 0",
        ], said
        s.check([({"k": "v"}, b"good")], ["flumed"])
    return case


def refused(library, protocol):
    """A channel with room for one event: FAILED, by the number that Thrift has for it."""
    @scene
    def case(s):
        agent = s.add(peers.full, "", "flumed", thrift(protocol))
        given = s.file(events.numbered(4))
        said = peers.thrift_peer(library, protocol, "client", agent.port, given, 0)
        assert said == "status 0 1 times\nstatus 1 3 times\n", said
    return case


def to_python(library, protocol, refuse):
    """flumed's thrift sink -> a library's server, which may refuse some batches."""
    @scene
    def case(s):
        given = events.given()
        path = f"{s.directory}/received"
        port = peers.thrift_server(s.stack, path, library, protocol, refuse)
        relay = s.add(peers.relay, "", "flumed", port, sink=thrift(protocol))
        wire.send(relay.port, given)

        def came():
            with open(path, "rb") as f:
                return f.read().count(b"\n") >= len(given)
        wait(f"{len(given)} events at {library}", came)
        s.stop()
        events.same([events.form(e) for e in events.read(path)], [events.form(e) for e in given], not refuse)
    return case


PROTOCOLS = ("compact", "binary")
LIBRARIES = ("apache", "thriftpy2")
CASES = [
    (f"{which}-{version}-{protocol}", [version], make(version, protocol))
    for which, make in (("source-sdk", from_sdk), ("source-flume", from_flume), ("sink-flume", to_flume))
    for version, protocol in (("1.11.0", "compact"), ("1.11.0", "binary"), ("1.9.0", "compact"))
] + [
    (f"{which}-{library}-{protocol}", ["thrift"], make(library, protocol))
    for which, make in (("source", from_python), ("source-odd", odd), ("source-refused", refused))
    for library in LIBRARIES
    for protocol in PROTOCOLS
] + [
    (f"sink-{library}-{protocol}" + ("-refused" if refuse else ""), ["thrift"], to_python(library, protocol, refuse))
    for library, refuse in (("apache", 0), ("thriftpy2", 0), ("apache", 3))
    for protocol in PROTOCOLS
]

"""flumed's http sink in front of Apache Flume's http source, and of flumed's: every event comes out once, as it was.

Flume's SDK gives the events to the sending agent over Avro. JSON is text: bodies that are none are not among them.
"""
from rpc import events, peers
from rpc.cases import scene
from rpc.certs import Certificates

HTTP = {"type": "http"}
BLOB = {**HTTP, "handler": "org.apache.flume.sink.solr.morphline.BlobHandler"}
POST = """
a1.sinks = k1
a1.sinks.k1.type = http
a1.sinks.k1.endpoint = {scheme}://localhost:{port}/collect
a1.sinks.k1.channel = c1
"""
# Room for two events that leave one by one: most requests are refused at first.
NARROW = """
a1.channels.c1.capacity = 2
a1.channels.c1.transactionCapacity = 2
a1.channels.c1.keep-alive = 0
a1.sinks.k1.sink.batchSize = 1
"""
ARRAYS = {"batchFormat": "json", "batchSize": 100}
TEXTS = [
    ({"host": "web01", "Straße": "東京"}, "Grüße, привет, 你好 😀".encode()),
    ({}, b"no headers"),
    ({"empty": ""}, b'{"a":[\\]}\t\x01'),
    *events.numbered(1000),
]


def last(s, version, source, more=""):
    return s.add(peers.agent, version, "last", peers.CONF + peers.ROLL + peers.keys("sources.r1", source) + more)


def first(s, port, sink, scheme="http"):
    keys = "".join(f"a1.sinks.k1.{key} = {value}\n" for key, value in sink.items())
    conf = peers.CONF + peers.keys("sources.r1", None) + POST.format(port=port, scheme=scheme) + keys
    return s.add(peers.agent, "", "first", conf)


def posted(version, sink, source=HTTP, more="", given=TEXTS, come=None):
    """`come`: what the events are to be behind the sink, if not as they were."""
    @scene
    def case(s):
        agent = first(s, last(s, version, source, more).port, sink)
        peers.sdk("1.11.0", s.file(given), [agent.port])
        s.check(come or given, ["last"])
    return case


def refused(version):
    """A server that has no room for most of it at first: nothing is lost, nothing comes twice."""
    return posted(version, {**ARRAYS, "batchSize": 2}, more=NARROW, given=TEXTS[:12])


def secured(version):
    @scene
    def case(s):
        certs = Certificates(f"{s.directory}/certificates")
        port = last(s, version, {**HTTP, **certs.store("keystore", "server.p12")}).port
        trust = {key: value for key, value in certs.store("truststore", "trust.p12").items() if key != "ssl"}
        agent = first(s, port, {**ARRAYS, **trust}, "https")
        peers.sdk("1.11.0", s.file(TEXTS), [agent.port])
        s.check(TEXTS, ["last"])
    return case


# Without batchFormat: the body alone, as Flume's own sink posts it.
AS_IT_IS = [({"Content-Type": "text/plain"}, body) for _, body in TEXTS]
CASES = [
    ("sink-to-flume-1.11.0", ["1.11.0"], posted("1.11.0", ARRAYS)),
    ("sink-to-flume-1.11.0-refused", ["1.11.0"], refused("1.11.0")),
    ("sink-to-flume-1.11.0-body", ["1.11.0"], posted("1.11.0", {}, BLOB, come=AS_IT_IS)),
    ("sink-to-flume-1.11.0-tls", ["1.11.0", "openssl", "keytool"], secured("1.11.0")),
    ("sink-to-flumed", ["1.11.0"], posted("", ARRAYS)),
    ("sink-to-flumed-gzip", ["1.11.0"], posted("", {**ARRAYS, "compression": "gzip"})),
    ("sink-to-flumed-refused", ["1.11.0"], refused("")),
    ("sink-to-flumed-body", ["1.11.0"], posted("", {}, BLOB, come=AS_IT_IS)),
]

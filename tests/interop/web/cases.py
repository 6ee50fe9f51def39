"""flumed's http source between clients that are not ours: large bodies, chunks, compressed ones, TLS, a full channel; and
Apache Flume's HTTP sink in front of it. (Every status, beside Flume's own source: `flume.posted`.)

Each case is given the binary and a directory of its own; it fails by AssertionError. What it needs is named in front of it.
"""
import gzip, json, socket, subprocess, zlib

from children import DEADLINE
from rpc import events, peers
from rpc.cases import scene
from rpc.certs import Certificates
from . import clients
from .clients import JSON, Request

HTTP = {"type": "http"}
BLOB = {**HTTP, "handler": "org.apache.flume.sink.solr.morphline.BlobHandler"}


def posted(given):
    return json.dumps([{"headers": headers, "body": body.decode()} for headers, body in given], ensure_ascii=False).encode()


def last(s, source=None, more=""):
    conf = peers.CONF + peers.ROLL + peers.keys("sources.r1", source or HTTP) + more
    return s.add(peers.agent, "", "flumed", conf)


def large():
    """About 3 MiB in 900 events."""
    return [(headers, body + b"x" * 3000) for headers, body in events.numbered(900)]


def in_one(send):
    """One request with all events."""
    @scene
    def case(s):
        given = large()
        agent = last(s)
        send(s, agent.port, posted(given))
        s.check(given, ["flumed"])
    return case


def expecting(s, port, body):
    """curl asks by itself whether a body above 1 MiB is welcome."""
    with open(f"{s.directory}/body", "wb") as f:
        f.write(body)
    words = ["curl", "-sSv", "--max-time", str(DEADLINE), "-H", "Content-Type: application/json", "--expect100-timeout",
             str(DEADLINE), "--data-binary", f"@{s.directory}/body", "-o", f"{s.directory}/answer", "-w", "%{http_code}"]
    ran = subprocess.run([*words, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=DEADLINE + 5)
    assert ran.returncode == 0 and ran.stdout == "200", f"{ran.returncode}: {ran.stdout} {ran.stderr[-2000:]}"
    assert "> Expect: 100-continue" in ran.stderr and "< HTTP/1.1 100 " in ran.stderr, ran.stderr[-2000:]


def by(client, **how):
    def send(_, port, body):
        (answer,) = getattr(clients, client)([Request(body, headers=JSON, **how)], port)
        assert answer.status == 200, f"{client} was answered {answer.status}: {answer.body[:500]}"
    return send


def coded(coding, pack):
    def send(_, port, body):
        (answer,) = clients.curl([Request(pack(body), headers={**JSON, "Content-Encoding": coding})], port)
        assert answer.status == 200, f"{coding} was answered {answer.status}: {answer.body[:500]}"
    return send


def kept(client, count):
    """Many requests on one connection, as the source counts them."""
    @scene
    def case(s):
        given = events.numbered(count)
        agent = last(s)
        answers = getattr(clients, client)([Request(posted([e]), headers=JSON) for e in given], agent.port)
        wrong = [a for a in answers if a.status != 200]
        assert not wrong, f"{len(wrong)} were answered otherwise: {wrong[0]}"
        s.check(given, ["flumed"])
    return case


def secured(client, trust):
    """`trust` is the file of the authority that the client knows."""
    @scene
    def case(s):
        certs = Certificates(f"{s.directory}/certificates", java=client == "java")
        given = events.numbered(200)
        agent = last(s, {**HTTP, **certs.store("keystore", "server.p12")})
        requests = [Request(posted(given[n:n + 100]), headers=JSON) for n in (0, 100)]
        answers = getattr(clients, client)(requests, agent.port, certs.path(trust))
        assert [a.status for a in answers] == [200, 200], f"{client} was answered {answers}"
        s.check(given, ["flumed"])
    return case


# 2xx has to be named: by default Flume's sink sends again for ever what was taken.
FLUME_SINK = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @port@
a1.sources.r1.ack-every-event = false
a1.sources.r1.max-line-length = 100000
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.sinks.k1.type = http
a1.sinks.k1.endpoint = http://127.0.0.1:{port}/collect?from=flume
a1.sinks.k1.contentTypeHeader = text/plain; charset=UTF-8
a1.sinks.k1.backoff.2XX = false
a1.sinks.k1.rollback.2XX = false
a1.sinks.k1.channel = c1
"""


def flume_sink(version):
    """Flume's sink posts each body as it is: to the handler that takes it so."""
    @scene
    def case(s):
        texts = [f"événement {n} – {'ж' * (n % 50)}".encode() for n in range(1000)]
        agent = last(s, BLOB)
        sender = s.add(peers.agent, version, "flume", FLUME_SINK.format(port=agent.port))
        with socket.create_connection(("127.0.0.1", sender.port), DEADLINE) as connection:
            connection.sendall(b"".join(text + b"\n" for text in texts))
            s.check([({"from": "flume", "Content-Type": "text/plain; charset=UTF-8"}, text) for text in texts], ["flumed"])
    return case


CASES = [
    ("curl-expect", ["curl"], in_one(expecting)),
    ("curl-chunked", ["curl"], in_one(by("curl", chunked=True))),
    ("java-chunked", ["java"], in_one(by("java", chunked=True))),
    ("java-expect", ["java"], in_one(by("java", ask=True))),
    ("python-chunked", [], in_one(by("python", chunked=True))),
    ("node-chunked", ["node"], in_one(by("node", chunked=True))),
    ("node-expect", ["node"], in_one(by("node", ask=True))),
    ("curl-gzip", ["curl"], in_one(coded("gzip", gzip.compress))),
    ("curl-deflate", ["curl"], in_one(coded("deflate", zlib.compress))),
    ("python-keep-alive", [], kept("python", 2000)),
    ("java-keep-alive", ["java"], kept("java", 1000)),
    ("node-keep-alive", ["node"], kept("node", 1000)),
    ("curl-tls", ["curl", "openssl"], secured("curl", "ca.pem")),
    ("python-tls", ["openssl"], secured("python", "ca.pem")),
    ("java-tls", ["java", "openssl", "keytool"], secured("java", "trust.p12")),
    ("node-tls", ["node", "openssl"], secured("node", "ca.pem")),
    ("flume-1.11.0-sink", ["1.11.0"], flume_sink("1.11.0")),
    ("flume-1.9.0-sink", ["1.9.0"], flume_sink("1.9.0")),
]

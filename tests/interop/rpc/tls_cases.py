"""flumed and Flume over TLS, Avro and Thrift, with and without deflate; and client certificates, which Flume has not on
either side, with Python's ssl and between two flumed.

As in `cases`. Flume's keystores are JKS and PKCS#12 by keytool; flumed's PKCS#12 by keytool and by openssl, and PEM.
"""
import contextlib, re, socket, ssl, threading

from children import DEADLINE, wait
from . import events, peers, wire
from .cases import scene
from .certs import Certificates

AVRO = {"type": "avro"}
THRIFT = {"type": "thrift", "protocol": "compact"}
# How Flume 1.9 orders deflate and TLS.
OLD = {"compression-order": "1.9"}


def certificates(s):
    return Certificates(f"{s.directory}/certificates")


def from_flume(version, kind, keystore, truststore):
    """Flume's sink -> flumed, whose certificate Flume's truststore knows; `kind`: further keys of both."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        own = certs.pem("server") if keystore == "pem" else certs.store("keystore", keystore)
        last = s.add(peers.last, "", "flumed", {**kind, **own})
        relay = s.add(peers.relay, version, "flume", last.port, sink={**kind, **certs.store("truststore", truststore)})
        wire.send(relay.port, given)
        s.check(given, ["flumed"])
    return case


def to_flume(version, kind, keystore, truststore, more=None):
    """flumed's sink -> Flume; `more`: keys that flumed alone has."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        last = s.add(peers.last, version, "flume", {**kind, **certs.store("keystore", keystore)})
        relay = s.add(peers.relay, "", "flumed", last.port,
                      sink={**kind, **certs.store("truststore", truststore), **(more or {})})
        wire.send(relay.port, given)
        s.check(given, ["flume"], ordered=kind["type"] == "thrift" or version.startswith("1.9."))
    return case


def from_sdk(kind):
    """SDK -> flumed."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        agent = s.add(peers.last, "", "flumed", {**kind, **certs.store("keystore", "server.p12")})
        trust = {name.replace("-", "_"): value for name, value in certs.store("truststore", "trust.jks").items()}
        retries = peers.sdk("1.11.0", s.file(given), [agent.port],
                            kind="thrift" if kind is THRIFT else "default", **trust)
        assert retries == 0, f"{retries} retries"
        s.check(given, ["flumed"])
    return case


def mutual(kind):
    """flumed -> flumed, each with a certificate that the other one asks for."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        server, client = certs.mutual()
        last = s.add(peers.last, "", "last", {**kind, **server})
        relay = s.add(peers.relay, "", "first", last.port, sink={**kind, **client})
        wire.send(relay.port, given)
        s.check(given, ["last"])
    return case


def from_python(version):
    """Python's ssl with a certificate -> flumed; without one, or with a stranger's, it is turned away."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        agent = s.add(peers.last, "", "flumed", certs.mutual()[0])
        for own, why in ((None, "has sent no certificate"), ("stranger", "nobody who is trusted")):
            def turned_away():
                with contextlib.suppress(OSError), contextlib.closing(
                        wire.Client(agent.port, certs.context(own=own, version=version))) as client:
                    client.send(wire.frame(0, wire.handshake() + wire.call("appendBatch", wire.batch(given[:1]))))
                    assert not client.got, f"with {own or 'no'} certificate it is answered"
            agent.tells(why, turned_away)
        wire.send(agent.port, given, certs.context(own="client", version=version))
        s.check(given, ["flumed"])
    return case


def to_python(own, refused):
    """flumed's sink -> Python's ssl, which asks for a certificate, and in front of another flumed. `own`: flumed's."""
    @scene
    def case(s):
        given, certs = events.given(), certificates(s)
        last = s.add(peers.last, "", "last")
        context = certs.context(server=True, own="server")
        front = s.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=decrypt, args=(front, context, last.port), daemon=True).start()
        identity = certs.pem(own) if own else {}
        relay = s.add(peers.relay, "", "first", front.getsockname()[1],
                      sink={**certs.store("truststore", "ca.pem"), **identity})
        wire.send(relay.port, given)
        if not refused:
            return s.check(given, ["last"])
        wait(f"the log says '{refused}'", lambda: re.search(refused.encode(), relay.said()))
        assert events.size(s.out("last")) == 0, "events came, though the certificate is refused"
    return case


def decrypt(listener, context, port):
    """Serves TLS, and passes on what is in it."""
    def carry(source, sink):
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # either side has ended

    def serve(connection):
        try:
            client = context.wrap_socket(connection, server_side=True)
            client.getpeername()
        except OSError:
            return connection.close()
        server = socket.create_connection(("127.0.0.1", port), DEADLINE)
        server.settimeout(None)
        threading.Thread(target=carry, args=(server, client), daemon=True).start()
        carry(client, server)
    try:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    except OSError:
        pass  # the case is over


DEFLATE = {**AVRO, **peers.DEFLATE}
CASES = [
    ("source-sdk-avro", ["1.11.0"], from_sdk(AVRO)),
    ("source-sdk-thrift", ["1.11.0"], from_sdk(THRIFT)),
    ("source-flume-avro", ["1.11.0"], from_flume("1.11.0", AVRO, "keytool.p12", "keytool-trust.jks")),
    ("source-flume-avro-pem", ["1.9.0"], from_flume("1.9.0", AVRO, "pem", "trust.jks")),
    ("source-flume-thrift", ["1.11.0"], from_flume("1.11.0", THRIFT, "server.p12", "trust.p12")),
    ("sink-flume-avro", ["1.11.0"], to_flume("1.11.0", AVRO, "server.jks", "trust.p12")),
    ("sink-flume-thrift", ["1.11.0"], to_flume("1.11.0", THRIFT, "keytool.p12", "keytool.pem")),
    ("source-flume-deflate-1.11.0", ["1.11.0"], from_flume("1.11.0", DEFLATE, "pem", "trust.jks")),
    ("source-flume-deflate-1.9.0", ["1.9.0"], from_flume("1.9.0", DEFLATE, "server.p12", "trust.jks")),
    ("sink-flume-deflate-1.11.0", ["1.11.0"], to_flume("1.11.0", DEFLATE, "server.p12", "ca.pem")),
    ("sink-flume-deflate-1.9.0", ["1.9.0"], to_flume("1.9.0", DEFLATE, "server.jks", "ca.pem", OLD)),
    ("mutual-avro", ["keytool"], mutual(AVRO)),
    ("mutual-thrift", ["keytool"], mutual(THRIFT)),
    ("mutual-source-python-1.2", ["keytool"], from_python(ssl.TLSVersion.TLSv1_2)),
    ("mutual-source-python-1.3", ["keytool"], from_python(ssl.TLSVersion.TLSv1_3)),
    ("mutual-sink-python", ["keytool"], to_python("client", "")),
    ("mutual-sink-python-none", ["keytool"], to_python(None, "wants a certificate of ours")),
    ("mutual-sink-python-stranger", ["keytool"], to_python("stranger", "does not trust our certificate|UnknownCA")),
]

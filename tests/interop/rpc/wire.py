"""Avro RPC in Flume's Netty framing, by hand: to send what no client sends, and to read a recorded exchange back."""
import contextlib, hashlib, socket, struct, zlib

from children import DEADLINE

# The protocol with words of our own in it, so that no peer knows its hash.
TEXT = b'{"protocol":"AvroSourceProtocol","namespace":"org.apache.flume.source.avro","doc":"by hand",' \
       b'"types":[{"type":"enum","name":"Status","symbols":["OK","FAILED","UNKNOWN"]},{"type":"record",' \
       b'"name":"AvroFlumeEvent","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}],' \
       b'"messages":{"append":{"request":[{"name":"event","type":"AvroFlumeEvent"}],"response":"Status"},"appendBatch":' \
       b'{"request":[{"name":"events","type":{"type":"array","items":"AvroFlumeEvent"}}],"response":"Status"}}}'
HASH = hashlib.md5(TEXT).digest()
FLUME_HASH = bytes.fromhex("86aadae2c45474c0fe93ffd0f2350a65")  # of its own text, which has a comment in it
MATCH = ["BOTH", "CLIENT", "NONE"]
STATUS = ["OK", "FAILED", "UNKNOWN"]


def number(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def sized(data):
    return number(len(data)) + data


def event(headers, body):
    pairs = b"".join(sized(n.encode()) + sized(v.encode()) for n, v in headers.items())
    return (number(len(headers)) + pairs if headers else b"") + b"\0" + sized(body)


def batch(events):
    return (number(len(events)) + b"".join(event(*e) for e in events) if events else b"") + b"\0"


def frame(serial, *chunks):
    return struct.pack(">ii", serial, len(chunks)) + b"".join(struct.pack(">i", len(c)) + c for c in chunks)


def handshake(client=FLUME_HASH, server=FLUME_HASH, text=None, meta=b"\2\0"):
    return client + (b"\2" + sized(text) if text else b"\0") + server + meta


def call(name, parameters=b"", meta=b"\0"):
    return meta + sized(name.encode()) + parameters


class Short(Exception):
    """The bytes end before what they announce."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise Short
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self):
        n, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return (n >> 1) ^ -(n & 1)

    def sized(self):
        return self.take(self.number())

    def blocks(self, one):
        out = []
        while (count := self.number()) != 0:
            if count < 0:
                self.number()
            for _ in range(abs(count)):
                out.append(one())
        return out

    def map(self):
        return self.blocks(lambda: (self.sized(), self.sized()))

    def optional(self, one):
        return one() if self.number() else None

    def event(self):
        headers = self.map()
        return headers, self.sized()


def inflated(stream):
    return zlib.decompressobj().decompress(stream) if stream[:1] == b"\x78" else stream


def frames(stream):
    """(serial, message) of each whole frame."""
    at, found = Reader(stream), []
    while at.at < len(stream):
        serial, count = struct.unpack(">ii", at.take(8))
        found.append((serial, b"".join(at.take(struct.unpack(">i", at.take(4))[0]) for _ in range(count))))
    return found


def request(message, first):
    """(name, events) of a call, which has a handshake in front if it is among the first."""
    at = Reader(message)
    if first:
        at.take(16)
        at.optional(at.sized)
        at.take(16)
        at.optional(at.map)
    at.map()
    name = at.sized().decode()
    try:
        if name == "append":
            return name, [at.event()]
        return name, at.blocks(at.event) if name == "appendBatch" else []
    except Short:
        return name, None


def reply(message, first, ping):
    """(match, what) of a reply; match is None where there is no handshake in it."""
    at = Reader(message)
    match = None
    if first:
        match = MATCH[at.number()]
        at.optional(at.sized)
        at.optional(lambda: at.take(16))
        at.optional(at.map)
    if match == "NONE" or ping:
        return match, "nothing"
    at.map()
    if at.take(1) == b"\1":
        assert at.number() == 0
        return match, "error " + at.sized().decode()
    return match, STATUS[at.number()]


class Client:
    """A connection that sends what it is told and reads whole replies."""

    def __init__(self, port, context=None):
        """`context`: of TLS."""
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.got = b""

    def send(self, data, replies=1):
        """Sends it and waits for so many more replies, or the end."""
        self.socket.sendall(data)
        want = self.replies() + replies
        while self.replies() < want and (piece := self.socket.recv(65536)):
            self.got += piece

    def replies(self):
        """How many are here, whole."""
        at, found = Reader(self.got), 0
        with contextlib.suppress(Short):
            while at.at < len(self.got):
                for _ in range(struct.unpack(">ii", at.take(8))[1]):
                    at.take(struct.unpack(">i", at.take(4))[0])
                found += 1
        return found

    def close(self):
        self.socket.close()


def send(port, events, context=None, size=50):
    """Sends them, and takes no answer but OK."""
    with contextlib.closing(Client(port, context)) as client:
        parts = [events[at:at + size] for at in range(0, len(events), size)]
        for n, part in enumerate(parts):
            hello = b"" if n else handshake()
            client.send(frame(n, hello + call("appendBatch", batch(part))))
        answers = [reply(message, n == 0, False)[1] for n, (_, message) in enumerate(frames(client.got))]
        assert answers == ["OK"] * len(parts), answers

"""The requests that go through every status of the http source: by clients, and by hand what no client sends. Bodies name
their events MARK|, which becomes the name of the request and the client."""
import gzip

from .clients import JSON, Request


def event(text="MARK| event"):
    return b'[{"headers":{"k":"v"},"body":"%s"}]' % text.encode()


def typed(kind):
    return {"Content-Type": kind}


# What all clients send. name: request, how many events it has
CLIENTS = {
    "events": (Request(b'[{"headers":{"a":"1","b":"2"},"body":"MARK| one"},{"body":"MARK| two"},{"headers":{}}]'
                       .replace(b'{"headers":{}}', b'{"headers":{"c":"3"},"body":"MARK| three"}'), headers=JSON), 3),
    "none": (Request(b"[]", headers=JSON), 0),
    "any-path": (Request(event(), target="/any/path?with=words&more", headers=JSON), 1),
    "get": (Request(event(), "GET", headers=JSON), 1),
    "chunked": (Request(event(), headers=JSON, chunked=True), 1),
    "utf-8": (Request(event("MARK| Grüße, 東京 😀"), headers=typed("application/json; charset=utf-8")), 1),
    "plain": (Request(event("MARK| no charset"), headers=typed("text/plain")), 1),
    "truncated": (Request(event()[:-2], headers=JSON), 0),
    "object": (Request(event()[1:-1], headers=JSON), 0),
    "nested": (Request(b'[{"headers":{"k":{}},"body":"MARK|"}]', headers=JSON), 0),
    "behind": (Request(event() + b" more", headers=JSON), 0),
    "put": (Request(event(), "PUT", headers=JSON), 0),
    "delete": (Request(b"", "DELETE"), 0),
    "patch": (Request(event(), "PATCH", headers=JSON), 0),
    "options": (Request(b"", "OPTIONS"), 0),
    "trace": (Request(b"", "TRACE"), 0),
    "empty": (Request(b"", headers=JSON), 0),
    "null": (Request(b"null", headers=JSON), 0),
    "charset": (Request(event(), headers=typed("application/json; charset=koi8-r")), 0),
    "gzip": (Request(gzip.compress(event(), mtime=0), headers={**JSON, "Content-Encoding": "gzip"}), 1),
    "coding": (Request(event(), headers={**JSON, "Content-Encoding": "br"}), 0),
    "too-many": (Request(b"[" + b",".join([event()[1:-1]] * 101) + b"]", headers=JSON), 0),
    "flood": (Request(event(), headers={**JSON, **{f"X-Flood-{n}": "x" * 100 for n in range(200)}}), 0),
    # After all that went wrong, the same connection, or a new one where the server closed, serves.
    "last": (Request(event(), headers=JSON), 1),
}


def by_hand(*lines, body=b"", host=True, first="POST / HTTP/1.1"):
    lines = [first, *(["Host: localhost"] if host else []), *lines]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CLOSE, TYPE = "Connection: close", "Content-Type: application/json"
CHUNK = b"%x\r\n%s\r\n0\r\n"


def length(body, more=0):
    return f"Content-Length: {len(body) + more}"


def one(name, more=()):
    body = event(f"{name}|")
    return by_hand(TYPE, length(body), *more, body=body)


def many(name, *more, end=b""):
    body = event(f"{name}|")
    return by_hand(TYPE, *more, "Transfer-Encoding: chunked", CLOSE, body=CHUNK % (len(body), body) + (end or b"\r\n"))


# What is written by hand. name: bytes, how many events they have. The last request on each connection asks to close it.
WRITTEN = {
    "pipelined": (one("pipelined") * 2 + one("pipelined", [CLOSE]), 3),
    "http-1.0": (by_hand(TYPE, length(event("http-1.0|")), body=event("http-1.0|"), first="POST / HTTP/1.0", host=False), 1),
    "no-host": (by_hand(TYPE, length(event()), CLOSE, body=event(), host=False), 0),
    "no-length": (by_hand(TYPE, CLOSE), 0),
    "two-lengths": (by_hand(TYPE, length(event()), length(event(), 1), CLOSE, body=event()), 0),
    "length-and-chunked": (many("length-and-chunked", length(event("length-and-chunked|"))), 0),
    "bad-length": (by_hand(TYPE, "Content-Length: +2", CLOSE, body=b"[]"), 0),
    "bad-chunk": (by_hand(TYPE, "Transfer-Encoding: chunked", CLOSE, body=b"zz\r\n[]\r\n0\r\n\r\n"), 0),
    "unknown-transfer": (by_hand(TYPE, "Transfer-Encoding: gzip", CLOSE), 0),
    "bad-name": (one("bad-name", ["Bad Name: x", CLOSE]), 0),
    "version": (by_hand(CLOSE, first="POST / HTTP/3.0"), 0),
    "not-http": (b"<13>Oct 11 22:14:15 host app: no HTTP\r\n\r\n", 0),
    "expect-other": (one("expect-other", ["Expect: a-miracle", CLOSE]), 0),
    "trailers": (many("trailers", end=b"X-Trailer: 1\r\n\r\n"), 1),
}

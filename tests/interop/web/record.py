"""Writes tests/data/http: what HTTP clients put on the wire when they post, and what is to come of it.

    python3 tests/interop/web/record.py [--only WORD]

Each file is one connection, recorded by a server that answers every request with 200. expected.txt is written by an oracle
of its own, which reads heads and chunks with a few lines of Python. `scripts/flume-peer prepare 1.11.0` comes first.
"""
import argparse, contextlib, gzip, json, os, socket, subprocess, sys, tempfile, threading, urllib.request

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from children import DEADLINE, wait
from rpc import peers
from web import clients
from web.clients import JSON, Request

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "http")


def events(*texts):
    given = [{"headers": {"host": "web01", "Straße": "東京"}, "body": text} for text in texts]
    return json.dumps(given, ensure_ascii=False).encode()


PLAIN = [Request(events(f"event {n}", "Grüße 😀", ""), headers=JSON) for n in range(3)]
CHUNKED = [request._replace(chunked=True) for request in PLAIN]
ASKING = [request._replace(ask=True) for request in PLAIN]
ZIPPED = Request(gzip.compress(events("compressed"), mtime=0), headers={**JSON, "Content-Encoding": "gzip"})
PATHS = [Request(b"[]", target="/any/path?a=b%20c&d", headers=JSON), Request(events("by GET"), "GET", headers=JSON)]


class Recorder:
    """Keeps the bytes of each connection."""

    def __init__(self, stack):
        self.connections = []
        self.socket = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                got = bytearray()
                self.connections.append(got)
                threading.Thread(target=self.serve, args=(connection, got), daemon=True).start()

    def serve(self, connection, got):
        at, asked = 0, -1
        with connection, contextlib.suppress(OSError):
            while True:
                end = whole(got, at)
                if end:
                    at = end
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                head = got.find(b"\r\n\r\n", at)
                if head >= 0 and asked != at and b"100-continue" in got[at:head].lower():
                    asked = at
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                piece = connection.recv(65536)
                if not piece:
                    return
                got += piece


def whole(got, at):
    """Where the request that begins here ends, if all of it is there."""
    try:
        return parse(got, at)[0]
    except (ValueError, IndexError):
        return None


def parse(got, at):
    """The end of a request, its first line, its fields, its body out of its chunks. ValueError: more is wanted."""
    head = got.index(b"\r\n\r\n", at) + 4
    first, *lines = got[at:head - 4].decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("transfer-encoding", "") == "chunked":
        body, at = b"", head
        while True:
            line = got.index(b"\r\n", at)
            size = int(got[at:line], 16)
            at = line + 2 + size + 2
            if len(got) < at:
                raise ValueError("more is wanted")
            body += got[line + 2:at - 2]
            if not size:
                return at, first, fields, body
    end = head + int(fields.get("content-length", 0))
    if len(got) < end:
        raise ValueError("more is wanted")
    return end, first, fields, bytes(got[head:end])


def requests(got):
    at = 0
    while at < len(got):
        at, first, fields, body = parse(got, at)
        yield first, fields, body


def told(name, got):
    """The lines of expected.txt for a file."""
    yield f"file {name}"
    for first, fields, body in requests(got):
        if fields.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        yield f"request {first}"
        if "json" in fields.get("content-type", ""):
            for event in json.loads(body):
                headers = " ".join(f"{k}={v}" for k, v in sorted(event.get("headers", {}).items()))
                yield f"event {headers} | {event.get('body') or ''}"
        else:
            yield f"body {body.decode()}"


# What a client does; gives how many requests it sends on its one connection.

def by(client, given, **how):
    def send(port, _):
        getattr(clients, client)(given, port, **how)
        return len(given)
    return send


def one_curl(*words):
    """Three requests by one process."""
    def send(port, tmp):
        with open(f"{tmp}/body", "wb") as f:
            f.write(PLAIN[0].body)
        one = ["-sS", "--data-binary", f"@{tmp}/body", *words, f"http://127.0.0.1:{port}/"]
        subprocess.run(["curl", *one, "--next", *one, "--next", *one], check=True, timeout=DEADLINE)
        return 3
    return send


def urllib_post(port, _):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", PLAIN[0].body, JSON)
    urllib.request.urlopen(request, timeout=DEADLINE).read()
    return 1


def flume_sink(port, tmp):
    """Flume's own sink posts each body as it is."""
    texts = ["first", "Grüße 😀", "third with a % and a +"]
    conf = SINK.format(port=port)
    agent = peers.agent("", "1.11.0", f"{tmp}/agent", conf)
    with contextlib.closing(agent):
        agent.started()
        with socket.create_connection(("127.0.0.1", agent.port), DEADLINE) as connection:
            connection.sendall("".join(f"{text}\n" for text in texts).encode())
            wait("the events are counted", lambda: record.now() >= len(texts))
    return len(texts)


SINK = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @port@
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = http
a1.sinks.k1.endpoint = http://127.0.0.1:{port}/collect
a1.sinks.k1.defaultBackoff = false
a1.sinks.k1.defaultRollback = true
a1.sinks.k1.rollback.200 = false
a1.sinks.k1.backoff.503 = true
a1.sinks.k1.channel = c1
"""

RECORDED = {
    "curl-json": one_curl("-H", "Content-Type: application/json"),
    "curl-form": one_curl(),
    "curl-chunked": one_curl("-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked"),
    "curl-expect": one_curl("-H", "Content-Type: application/json", "-H", "Expect: 100-continue"),
    "curl-gzip": by("curl", [ZIPPED]),
    "java-json": by("java", PLAIN + PATHS, version="1.1"),
    "java-upgrade": by("java", PLAIN[:1]),
    "java-chunked": by("java", CHUNKED, version="1.1"),
    "java-expect": by("java", ASKING, version="1.1"),
    "python-json": by("python", PLAIN + PATHS + [ZIPPED]),
    "python-chunked": by("python", CHUNKED),
    "python-urllib": urllib_post,
    "node-json": by("node", PLAIN + PATHS),
    "node-chunked": by("node", CHUNKED),
    "node-expect": by("node", ASKING),
    "flume-sink": flume_sink,
}


def record(only):
    kept = {}
    for name, send in RECORDED.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as tmp, contextlib.ExitStack() as stack:
            recorder = Recorder(stack)
            record.now = lambda: sum(len(list(requests(c))) for c in recorder.connections)
            sent = send(recorder.port, tmp)
            found = [bytes(c) for c in recorder.connections if c]
        assert len(found) == 1, f"{name}: {len(found)} connections"
        kept[name] = found[0]
        count = len(list(requests(found[0])))
        assert count == sent, f"{name}: {count} requests of {sent}"
        print(f"recorded {name}: {count} requests, {len(found[0])} bytes", flush=True)
    os.makedirs(DATA, exist_ok=True)
    for name, got in kept.items():
        with open(f"{DATA}/{name}.bin", "wb") as f:
            f.write(got)
    if not only:
        with open(f"{DATA}/expected.txt", "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for name, got in kept.items() for line in told(name, got))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="files with this in their name, without expected.txt")
    record(options.parse_args().only)

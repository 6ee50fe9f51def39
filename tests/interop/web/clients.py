"""HTTP clients that are not ours: curl, Java's java.net.http, Python's http.client, Node; and requests written by hand, for what
no client sends. Each is given requests and gives the answers, in order."""
import contextlib, http.client, os, re, socket, ssl, subprocess, tempfile, typing

from children import DEADLINE

HERE = os.path.dirname(os.path.abspath(__file__))
JSON = {"Content-Type": "application/json"}


class Request(typing.NamedTuple):
    body: bytes = b""
    method: str = "POST"
    target: str = "/"
    headers: dict = {}
    chunked: bool = False
    ask: bool = False  # Expect: 100-continue


class Answer(typing.NamedTuple):
    status: int
    headers: dict = {}  # names in lower case
    body: bytes = b""


def has_content(request):
    return bool(request.body) or request.method in ("POST", "PUT")


def curl(requests, port, ca=None, options=()):
    """A process for each."""
    found = []
    for request in requests:
        with tempfile.TemporaryDirectory() as tmp:
            words = ["curl", "-sS", "--max-time", str(DEADLINE), "-o", f"{tmp}/body", "-D", f"{tmp}/head", "-w",
                     "%{http_code}", "-X", request.method, *options]
            # A header that curl would put there by itself is taken away where it is not asked for.
            headers = {"Content-Type": "", **request.headers}
            if request.chunked:
                headers["Transfer-Encoding"] = "chunked"
            if request.ask:
                headers["Expect"] = "100-continue"
            for name, value in headers.items():
                words += ["-H", f"{name}: {value}" if value else f"{name}:"]
            if has_content(request):
                with open(f"{tmp}/sent", "wb") as f:
                    f.write(request.body)
                words += ["--data-binary", f"@{tmp}/sent"]
            words += ["--cacert", ca] if ca else []
            ran = subprocess.run([*words, f"{'https' if ca else 'http'}://127.0.0.1:{port}{request.target}"],
                                 capture_output=True, text=True, timeout=DEADLINE + 5)
            assert ran.returncode == 0, f"curl ended with {ran.returncode}: {ran.stderr}"
            body = b""
            with contextlib.suppress(FileNotFoundError):  # no body, no file
                with open(f"{tmp}/body", "rb") as f:
                    body = f.read()
            with open(f"{tmp}/head", "rb") as f:
                head = f.read().rstrip().rpartition(b"\r\n\r\n")[2]  # the last one: before it may be 100 (Continue)
            found.append(Answer(int(ran.stdout), fields(head), body))
    return found


def fields(head):
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def python(requests, port, ca=None):
    """All on one connection, as long as the server keeps it."""
    if ca:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE,
                                                 context=ssl.create_default_context(cafile=ca))
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    found = []
    with contextlib.closing(connection):
        for request in requests:
            headers = dict(request.headers)
            body = request.body if has_content(request) else None
            if request.chunked:
                headers["Transfer-Encoding"] = "chunked"
                body = [request.body[:7], request.body[7:]] if request.body else []
            for again in (False, True):
                try:
                    connection.request(request.method, request.target, body, headers, encode_chunked=request.chunked)
                    answer = connection.getresponse()
                    break
                except ConnectionError:  # a server may close a connection that it has kept, without a word, at any time
                    if again:
                        raise
                    connection.close()
            found.append(Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read()))
    return found


def java(requests, port, trust=None, version="2"):
    """Java's client, all with one; it offers HTTP/2 as it does by default, unless `version` is 1.1."""
    return driven(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", f"{HERE}/Client.java", version, trust or ""], requests, port,
                  bool(trust))


def node(requests, port, ca=None):
    return driven(["node", f"{HERE}/client.js", ca or ""], requests, port, bool(ca))


def driven(command, requests, port, tls):
    """A program that is told the requests in a file, its fields in hexadecimal, and prints the answers likewise."""
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/requests", "w") as f:
            for r in requests:
                words = [r.method, r.target, "chunked" if r.chunked else "ask" if r.ask else "", r.body,
                         *(text for pair in r.headers.items() for text in pair)]
                f.write("\t".join((w if isinstance(w, bytes) else w.encode()).hex() for w in words) + "\n")
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        ran = subprocess.run([*command, url, f"{tmp}/requests"], capture_output=True, text=True, timeout=2 * DEADLINE)
    assert ran.returncode == 0, f"{command[0]} ended with {ran.returncode}: {ran.stdout[-1000:]} {ran.stderr[-3000:]}"
    found = []
    for line in ran.stdout.splitlines():
        status, body, *headers = line.split("\t")
        headers = [bytes.fromhex(text).decode("latin-1") for text in headers]
        names = [name.lower() for name in headers[::2]]
        found.append(Answer(int(status), dict(zip(names, headers[1::2])), bytes.fromhex(body)))
    assert len(found) == len(requests), f"{command[0]} gave {len(found)} answers to {len(requests)} requests"
    return found


def by_hand(payload, port):
    """Sends these bytes on a connection of its own, and gives the answers until the server closes or the stream is idle."""
    answers = b""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        with contextlib.suppress(ConnectionError):  # closed already, in front of the end
            connection.sendall(payload)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answers += piece
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", answers, re.MULTILINE)]

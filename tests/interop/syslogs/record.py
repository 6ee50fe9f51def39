"""Writes tests/data/syslog: what syslog senders put on the wire, and what is to come of it by an oracle of its own."""
import contextlib, datetime, os, re, socket, tempfile, threading, time

from children import wait
from .cases import CASES
from .senders import Target, missing

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "syslog")


class Recorder:
    """Writes down what arrives, as it arrives; datagrams behind their length in two bytes."""

    def __init__(self, stack, transport):
        self.got, self.messages, self.closed = b"", 0, 0
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.socket = stack.enter_context(socket.socket(socket.AF_INET, kind))
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        if transport == "tcp":
            self.socket.listen()
        threading.Thread(target=self.accept if transport == "tcp" else self.receive, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                while piece := connection.recv(65536):
                    self.got += piece
                self.closed += 1

    def receive(self):
        with contextlib.suppress(OSError):
            while True:
                datagram = self.socket.recv(65536)
                self.got += len(datagram).to_bytes(2, "big") + datagram
                self.messages += 1

    def complete(self, count):
        """All of it, once so many messages, or connections that had one each, have come."""
        wait(f"{count} messages", lambda: max(self.messages, self.closed, len(list(frames(self.got)))) >= count)
        return self.got


def frames(got):
    """The messages of a stream that are there whole: behind a count of their octets, or up to a newline."""
    while got:
        counted = re.match(rb"(\d+) ", got)
        end = counted.end() + int(counted[1]) if counted else got.find(b"\n") + 1
        if not end or end > len(got):
            return
        # A newline within the counted octets ends the message too: syslog-ng puts one there.
        yield got[counted.end() if counted else 0:end].removesuffix(b"\n")
        got = got[end:]


def oracle(message, year):
    """What is to come of a recorded message, told apart from flumed's own reading of it."""
    pri = re.match(rb"<(\d{1,3})>", message)
    if not pri:
        return {"Facility": "0", "Severity": "0", "flume.syslog.status": "Invalid"}, message
    value = int(pri.group(1))
    headers = {"Facility": str(value // 8), "Severity": str(value % 8)}
    rest = message[pri.end():]
    new = re.match(rb"(?:(\d) )?(\d{4}-\d\d-\d\dT\S+) (\S+) ", rest)
    old = re.match(rb"()(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S+) ", rest)
    if not (new or old):
        return headers, message
    version, stamp, host = (g.decode() if g else None for g in (new or old).groups())
    if new:
        at = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    else:
        at = datetime.datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    milliseconds = (at - datetime.datetime.fromtimestamp(0, at.tzinfo)) // datetime.timedelta(milliseconds=1)
    headers.update(priority=str(value), timestamp=str(milliseconds), host=host)
    if version:
        headers["version"] = version
    return headers, rest[(new or old).end():]


def messages(case, got):
    """What was sent, out of its frames."""
    if case.transport != "udp":
        yield from frames(got)
        return
    while got:
        size = int.from_bytes(got[:2], "big")
        yield got[2:2 + size].removesuffix(b"\n")
        got = got[2 + size:]


def record(only):
    """Cases with `only` in their names; with it, the time of the recording and the other cases stay in expected.txt."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    now = int(time.time())
    files = {}
    with open(f"{DATA}/expected.txt") as f:
        head, *sections = f.read().split("file ")
    if only:
        files = {name: lines for name, _, lines in (section.partition("\n") for section in sections)}
        now = int(head.split()[1]) // 1000
    for case in CASES:
        if not case.recorded or only not in case.name or any(map(missing, case.needs)):
            continue
        with tempfile.TemporaryDirectory() as tmp, contextlib.ExitStack() as stack:
            recorder = Recorder(stack, case.transport)
            sent = case.send(Target(case.transport, recorder.port, tmp, stack))
            got = recorder.complete(len(sent))
        with open(f"{DATA}/{case.name}.bin", "wb") as f:
            f.write(got)
        lines = []
        for message in messages(case, got):
            headers, body = oracle(message, time.gmtime(now).tm_year)
            text = body.decode().replace("\0", "\\0")
            lines.append(" ".join(f"{k}={v}" for k, v in sorted(headers.items())) + f" | {text}\n")
        files[case.name] = "".join(lines)
        print(f"recorded {case.name}: {len(lines)} messages")
    with open(f"{DATA}/expected.txt", "w") as f:
        f.write(f"now {now}000\n" + "".join(f"file {name}\n{lines}" for name, lines in files.items()))

"""Real syslog senders against the real flumed: what they send comes out, with the right headers. The packages `flume` and
`rpc` and `tls` have the cases beside Apache Flume, over Avro and Thrift, and over TLS.

Each case starts an agent of its own on a port the kernel chose, lets one peer send, waits until all events are in
the file (written with headers, by header_and_text), stops the agent and compares. `--record` puts a plain recorder
in the agent's place and writes tests/data/syslog: the bytes, and what is to come of them by an oracle of its own.
Standard library only; children are stopped by their process id; every wait has a deadline.
"""
import argparse, contextlib, datetime, logging, logging.handlers, os, re, signal, socket, subprocess, sys
import tempfile, threading, time

import flume, rpc, tls
from children import DEADLINE, child, wait

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data", "syslog")
LINES = 20000
FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
              None, None, None, None, *(f"local{i}" for i in range(8))]
SEVERITIES = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
HOST = socket.gethostname().split(".")[0].lower()  # as rsyslog has it; the others keep its case
# One message for each facility that has a name (logger, being no kernel, may not say kern), all severities.
PRIORITIES = [(f, f % 8) for f, name in enumerate(FACILITIES) if name and f > 0]


class Agent:
    """flumed with one syslog source; `stop` gives the events as (headers, body)."""
    CONF = """
a1.sources = in
a1.channels = mem
a1.sinks = out
a1.sources.in.type = syslog{transport}
a1.sources.in.host = 127.0.0.1
a1.sources.in.port = 0
a1.sources.in.channels = mem
a1.channels.mem.type = memory
a1.channels.mem.capacity = 10000
a1.channels.mem.transactionCapacity = 1000
a1.sinks.out.type = file_roll
a1.sinks.out.sink.directory = {dir}/out
a1.sinks.out.sink.rollInterval = 0
a1.sinks.out.sink.serializer = header_and_text
a1.sinks.out.channel = mem
"""

    def __init__(self, flumed, stack, tmp, transport):
        os.mkdir(f"{tmp}/out")
        with open(f"{tmp}/agent.conf", "w") as f:
            f.write(self.CONF.format(transport=transport, dir=tmp))
        self.out, self.log = f"{tmp}/out", f"{tmp}/agent.log"
        self.process = stack.enter_context(
            child(flumed, "agent", "-n", "a1", "-f", f"{tmp}/agent.conf", stderr=open(self.log, "w")))
        self.port = int(wait("agent listens", self.listening).group(1))

    def listening(self):
        assert self.process.poll() is None, "agent ended: " + open(self.log).read()
        return re.search(r"source in started, listening on \S+:(\d+)", open(self.log).read())

    def bytes(self):
        names = sorted(os.listdir(self.out), key=lambda n: (len(n), n))
        return b"".join(open(f"{self.out}/{n}", "rb").read() for n in names)

    def wait_for(self, count):
        wait(f"{count} events in the file", lambda: self.bytes().count(b"\n") >= count)

    def stop(self):
        """Ends the agent in order; the events are complete then."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE)
        assert code == 0, f"agent ended with {code}: " + open(self.log).read()
        return [self.parse(line) for line in self.bytes().decode().split("\n")[:-1]]

    @staticmethod
    def parse(line):
        headers, body = re.fullmatch(r"\{(.*?)\} (.*)", line).groups()
        return dict(h.split("=", 1) for h in headers.split(", ") if h), body


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
        wait(f"{count} messages", lambda: max(self.messages, self.closed, self.got.count(b"\n")) >= count)
        return self.got


# Peers. Each sends and returns what it sent as (facility, severity, text).

def logger(*options):
    def send(transport, port, tmp):
        sent = [(f, s, f"message {f}.{s}") for f, s in PRIORITIES]
        if "--octet-count" in options:
            sent = sent[:1]
        for f, s, text in sent:
            subprocess.run(["logger", f"--{transport}", "--server", "127.0.0.1", "--port", str(port), "-t", "web",
                            "-p", f"{FACILITIES[f]}.{SEVERITIES[s]}", *options, text], check=True, timeout=DEADLINE)
        return sent
    return send


def rsyslog(template, lines=0):
    """With `lines`, reads that many from a file; else takes a message for each priority on a private socket."""
    def send(transport, port, tmp):
        path = f"{tmp}/in"
        if lines:
            sent = [(16, 5, f"sequence {i:06}") for i in range(lines)]
            with open(path, "w") as f:
                f.writelines(text + "\n" for _, _, text in sent)
            source = 'module(load="imfile")\n' \
                     f'input(type="imfile" File="{path}" Tag="web:" Facility="local0" Severity="notice")'
        else:
            sent = [(f, s, f"message {f}.{s}") for f, s in PRIORITIES]
            source = 'module(load="imuxsock" SysSock.Use="off")\n' \
                     f'input(type="imuxsock" Socket="{path}" RateLimit.Interval="0")'
        with open(f"{tmp}/rsyslog.conf", "w") as f:
            f.write(f'global(workDirectory="{tmp}")\n{source}\n'
                    f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{transport}"'
                    f' template="{template}")\n')
        send.stack.enter_context(child("rsyslogd", "-n", "-C", "-f", f"{tmp}/rsyslog.conf", "-i", f"{tmp}/rsyslog.pid",
                                       stdout=subprocess.DEVNULL))
        if not lines:
            wait("rsyslog's socket", lambda: os.path.exists(path))
            for f, s, text in sent:
                subprocess.run(["logger", "-u", path, "-t", "web", "-p", f"{FACILITIES[f]}.{SEVERITIES[s]}", text],
                               check=True, timeout=DEADLINE)
        return sent
    return send


def python(form, end):
    """`form` is the layout of a message, `end` what the handler puts behind it."""
    def send(transport, port, tmp):
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        handler = logging.handlers.SysLogHandler(("127.0.0.1", port), logging.handlers.SysLogHandler.LOG_LOCAL4, kind)
        handler.append_nul = end == "\0"
        stamp = "%Y-%m-%dT%H:%M:%SZ" if form.startswith("1 ") else "%b %d %H:%M:%S"
        handler.setFormatter(logging.Formatter(form.replace("HOST", HOST) + end.strip("\0"), stamp))
        handler.formatter.converter = time.gmtime
        sent = []
        for level, severity in [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3),
                                (logging.CRITICAL, 2)]:
            text = f"Grüße {severity}"
            handler.emit(logging.LogRecord("web", level, "", 0, text, None, None))
            sent.append((20, severity, text))
        handler.close()
        return sent
    return send


# What the events should be: `body` is a pattern with TEXT and PRI in it; `plain`: no header but the
# priority is to be found; `recorded`: kept in tests/data/syslog.

class Case:
    def __init__(self, name, transport, send, body, version=None, status=None, plain=False, recorded=True):
        self.name, self.transport, self.send, self.body = name, transport, send, body
        self.version, self.status, self.plain, self.recorded = version, status, plain, recorded

    def want(self, facility, severity, text):
        pri = str(facility * 8 + severity)
        if self.status == "Invalid":
            headers = {"Facility": "0", "Severity": "0", "flume.syslog.status": "Invalid"}
        else:
            headers = {"Facility": str(facility), "Severity": str(severity)}
            if not self.plain:
                headers.update(priority=pri, host=HOST)
                if self.version:
                    headers["version"] = self.version
        return headers, self.body.replace("PRI", pri).replace("TEXT", re.escape(text))

    def check(self, sent, events, began):
        assert len(events) == len(sent), f"{len(events)} events of {len(sent)} messages"
        if self.name.startswith("logger"):  # each message had a connection of its own: no order among them
            events = sorted(events, key=lambda e: [int(n) for n in re.findall(r"\d+", e[1].split("message ")[1])])
        for (headers, body), message in zip(events, sent):
            headers = {k: v.lower() if k == "host" else v for k, v in headers.items()}
            want, pattern = self.want(*message)
            if "host" in want:
                sent_at = int(headers.pop("timestamp", 0)) / 1000
                assert began - 2 <= sent_at <= time.time() + 2, f"timestamp {sent_at}, sent after {began}"
            assert headers == want, f"headers {headers}, not {want}"
            assert re.fullmatch(pattern, body), f"body {body!r} is not {pattern!r}"

    def run(self, flumed, tmp):
        with contextlib.ExitStack() as stack:
            began = int(time.time())
            agent = Agent(flumed, stack, tmp, self.transport)
            with contextlib.ExitStack() as peers:
                self.send.stack = peers
                sent = self.send(self.transport, agent.port, tmp)
                agent.wait_for(len(sent))
            self.check(sent, agent.stop(), began)

    def record(self, tmp):
        with contextlib.ExitStack() as stack:
            recorder = Recorder(stack, self.transport)
            self.send.stack = stack
            return recorder.complete(len(self.send(self.transport, recorder.port, tmp)))


def cases():
    sd = r"web - - \[timeQuality [^]]*\] TEXT"
    found = []
    for transport in ("tcp", "udp"):
        nul = r"\x00" if transport == "udp" else ""
        end = "\0" if transport == "udp" else "\n"
        found += [
            Case(f"logger-{transport}-rfc3164", transport, logger("--rfc3164"), "web: TEXT"),
            Case(f"logger-{transport}-rfc5424", transport, logger("--rfc5424"), sd, version="1"),
            Case(f"rsyslog-{transport}-forward", transport, rsyslog("RSYSLOG_ForwardFormat"), "web: TEXT"),
            Case(f"rsyslog-{transport}-traditional", transport, rsyslog("RSYSLOG_TraditionalForwardFormat"),
                 "web: TEXT"),
            Case(f"rsyslog-{transport}-protocol23", transport, rsyslog("RSYSLOG_SyslogProtocol23Format"),
                 "web - - -  ?TEXT", version="1"),
            Case(f"python-{transport}-plain", transport, python("web: %(message)s", end), "<PRI>web: TEXT" + nul,
                 plain=True),
            Case(f"python-{transport}-rfc3164", transport, python("%(asctime)s HOST web: %(message)s", end),
                 "web: TEXT" + nul),
            Case(f"python-{transport}-rfc5424", transport, python("1 %(asctime)s HOST web - - - %(message)s", end),
                 "web - - - TEXT" + nul, version="1"),
        ]
    found += [
        # Flume does not know octet counting: the count is no "<", so the line is Invalid and kept whole.
        Case("logger-tcp-octet-count", "tcp", logger("--rfc5424", "--octet-count"), r"\d+ <PRI>1 \S+ \S+ " + sd,
             status="Invalid"),
        Case("rsyslog-tcp-20000-lines", "tcp", rsyslog("RSYSLOG_ForwardFormat", LINES), "web: TEXT", recorded=False),
        Case("rsyslog-tcp-20000-lines-protocol23", "tcp", rsyslog("RSYSLOG_SyslogProtocol23Format", LINES),
             "web - - -  ?TEXT", version="1", recorded=False),
    ]
    return found


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


def record():
    os.environ["TZ"] = "UTC"
    time.tzset()
    now = int(time.time())
    with open(f"{DATA}/expected.txt", "w") as expected:
        expected.write(f"now {now}000\n")
        for case in cases():
            if not case.recorded:
                continue
            with tempfile.TemporaryDirectory() as tmp:
                got = case.record(tmp)
            with open(f"{DATA}/{case.name}.bin", "wb") as f:
                f.write(got)
            messages = []
            if case.transport == "tcp":
                messages = got.removesuffix(b"\n").split(b"\n")
            else:
                while got:
                    size = int.from_bytes(got[:2], "big")
                    messages.append(got[2:2 + size].removesuffix(b"\n"))
                    got = got[2 + size:]
            expected.write(f"file {case.name}\n")
            for message in messages:
                headers, body = oracle(message, time.gmtime(now).tm_year)
                text = body.decode().replace("\0", "\\0")
                expected.write(" ".join(f"{k}={v}" for k, v in sorted(headers.items())) + f" | {text}\n")
            print(f"recorded {case.name}: {len(messages)} messages")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flumed", required=True, help="the binary")
    options.add_argument("--record", action="store_true", help="write tests/data/syslog instead")
    options.add_argument("--only", default="", help="cases with this in their name")
    args = options.parse_args()
    for peer in (["logger", "--version"], ["rsyslogd", "-v"]):
        version = subprocess.run(peer, capture_output=True, text=True).stdout
        print(re.match(r"[^\n(]*", version)[0].strip())
    print(f"Python {sys.version.split()[0]}", flush=True)
    if args.record:
        return record()
    failed = passed = 0
    for case in cases():
        if args.only not in case.name:
            continue
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as tmp:
                case.run(os.path.abspath(args.flumed), tmp)
            passed += 1
            print(f"ok      {case.name} ({time.monotonic() - began:.2f} s)", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            failed += 1
            print(f"FAILED  {case.name}: {e}", flush=True)
    skipped = 0
    for more in (flume, rpc, tls):
        tally = more.run(os.path.abspath(args.flumed), args.only)
        passed, failed, skipped = passed + tally[0], failed + tally[1], skipped + tally[2]
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed + skipped else 0


if __name__ == "__main__":
    sys.exit(main())

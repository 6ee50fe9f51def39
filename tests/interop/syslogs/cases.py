"""What a sender's messages are to become in which source, and whether they did: the priority, the time, the host and the text
of each as they were sent."""
import contextlib, os, re, signal, time

from children import DEADLINE, child, wait
from .senders import HOST, PRIORITIES, Target, logger, python, rsyslog, syslog_ng

LINES = 20000


class Agent:
    """flumed with one syslog source; `stop` gives the events as (headers, body)."""
    CONF = """
a1.sources = in
a1.channels = mem
a1.sinks = out
a1.sources.in.type = {source}
a1.sources.in.host = 127.0.0.1
a1.sources.in.{port} = 0
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

    def __init__(self, flumed, stack, tmp, source, keys):
        os.mkdir(f"{tmp}/out")
        with open(f"{tmp}/agent.conf", "w") as f:
            f.write(self.CONF.format(source=source, port="ports" if source.startswith("multiport") else "port", dir=tmp))
            f.writelines(f"a1.sources.in.{key} = {value}\n" for key, value in keys.items())
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
        try:
            wait(f"{count} events in the file", lambda: self.bytes().count(b"\n") >= count)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.bytes()[-500:]}; the log ends {open(self.log).read()[-1000:]}") from e

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


class Case:
    """`body` is a pattern with TEXT and PRI in it; `plain`: no header but the priority is to be found."""

    def __init__(self, name, transport, send, body, version=None, plain=False, source=None, needs=(), recorded=False):
        self.name, self.transport, self.send, self.body, self.version = name, transport, send, body, version
        self.plain, self.needs, self.recorded = plain, needs, recorded
        self.source = source or ("syslogudp" if transport == "udp" else "syslogtcp")

    def into_multiport(self):
        """The same, into the source that listens on several ports."""
        needs = [need for need in self.needs if need]
        return Case(f"multiport-{self.name}", self.transport, self.send, self.body, self.version, self.plain,
                    "multiport_syslogtcp", needs)

    def want(self, facility, severity, text):
        pri = str(facility * 8 + severity)
        if self.source.startswith("multiport"):
            # Its own parser, in Flume too: its words begin with capitals, and what has no time is Invalid.
            if self.plain:
                return {"flume.syslog.status": "Invalid"}, self.pattern(pri, text)
            headers = {"Priority": pri, "Facility": str(facility), "Severity": str(severity), "host": HOST}
            headers.update({"Version": self.version} if self.version else {})
            return headers, self.pattern(pri, text)
        headers = {"Facility": str(facility), "Severity": str(severity)}
        if not self.plain:
            headers.update(priority=pri, host=HOST)
            headers.update({"version": self.version} if self.version else {})
        return headers, self.pattern(pri, text)

    def pattern(self, pri, text):
        return self.body.replace("PRI", pri).replace("TEXT", re.escape(text))

    def check(self, sent, events, began):
        assert len(events) == len(sent), f"{len(events)} events of {len(sent)} messages: {events[:3]}"
        if "logger" in self.name:  # each message had a connection of its own: no order among them
            events = sorted(events, key=lambda e: [int(n) for n in re.findall(r"\d+", e[1].split("message ")[1])])
        for (headers, body), message in zip(events, sent):
            headers = {k: v.lower() if k == "host" else v for k, v in headers.items()}
            want, pattern = self.want(*message)
            if "host" in want:
                sent_at = int(headers.pop("timestamp", 0)) / 1000
                assert began - 2 <= sent_at <= time.time() + 2, f"timestamp {sent_at}, sent after {began}"
            assert headers == want, f"headers {headers}, not {want}"
            assert re.fullmatch(pattern, body), f"body {body!r} is not {pattern!r}"

    def run(self, flumed, tmp, certs):
        with contextlib.ExitStack() as stack:
            began = int(time.time())
            tls = certs() if self.transport == "tls" else None
            keys = tls.store("keystore", "server.p12") if tls else {}
            agent = Agent(flumed, stack, tmp, self.source, keys)
            with contextlib.ExitStack() as peers:
                sent = self.send(Target(self.transport, agent.port, tmp, peers, tls))
                agent.wait_for(len(sent))
            self.check(sent, agent.stop(), began)


SD = r"web - - \[timeQuality [^]]*\] TEXT"
META = r"web - - (?:- )?(?:\[meta sequenceId=\"\d+\"\] )?TEXT"
LAYOUTS = {"plain": "web: %(message)s", "rfc3164": "%(asctime)s HOST web: %(message)s",
           "rfc5424": "1 %(asctime)s HOST web - - - %(message)s"}


def over(transport):
    """The cases that any transport has."""
    nul, end = (r"\x00", "\0") if transport == "udp" else ("", "\n")
    kept = {"recorded": True}
    return [
        Case(f"logger-{transport}-rfc3164", transport, logger("--rfc3164"), "web: TEXT", **kept),
        Case(f"logger-{transport}-rfc5424", transport, logger("--rfc5424"), SD, version="1", **kept),
        Case(f"rsyslog-{transport}-forward", transport, rsyslog("RSYSLOG_ForwardFormat"), "web: TEXT", **kept),
        Case(f"rsyslog-{transport}-traditional", transport, rsyslog("RSYSLOG_TraditionalForwardFormat"), "web: TEXT", **kept),
        Case(f"rsyslog-{transport}-protocol23", transport, rsyslog("RSYSLOG_SyslogProtocol23Format"), "web - - -  ?TEXT",
             version="1", **kept),
        Case(f"syslog-ng-{transport}-network", transport, syslog_ng("network"), "web: TEXT", needs=["syslog-ng"], **kept),
        Case(f"syslog-ng-{transport}-syslog", transport, syslog_ng("syslog"), META, version="1", needs=["syslog-ng"], **kept),
        Case(f"python-{transport}-plain", transport, python(LAYOUTS["plain"], end), "<PRI>web: TEXT" + nul, plain=True, **kept),
        Case(f"python-{transport}-rfc3164", transport, python(LAYOUTS["rfc3164"], end), "web: TEXT" + nul, **kept),
        Case(f"python-{transport}-rfc5424", transport, python(LAYOUTS["rfc5424"], end), "web - - - TEXT" + nul, version="1",
             **kept),
    ]


def streams():
    """What only a stream has: a length in front of each message, and many of them."""
    ng = ["syslog-ng"]
    return [
        Case("logger-tcp-octet-count", "tcp", logger("--rfc5424", "--octet-count"), SD, version="1", recorded=True),
        Case("rsyslog-tcp-octets-forward", "tcp", rsyslog("RSYSLOG_ForwardFormat", octets=True), "web: TEXT", recorded=True),
        Case("rsyslog-tcp-octets-protocol23", "tcp", rsyslog("RSYSLOG_SyslogProtocol23Format", octets=True),
             "web - - -  ?TEXT", version="1", recorded=True),
        Case("syslog-ng-tcp-lines", "tcp", syslog_ng("network", more="flags(syslog-protocol)"), META, version="1", needs=ng,
             recorded=True),
        Case("rsyslog-tcp-20000-lines", "tcp", rsyslog("RSYSLOG_ForwardFormat", LINES), "web: TEXT"),
        Case("rsyslog-tcp-20000-lines-protocol23", "tcp", rsyslog("RSYSLOG_SyslogProtocol23Format", LINES),
             "web - - -  ?TEXT", version="1"),
        Case("rsyslog-tcp-20000-octets", "tcp", rsyslog("RSYSLOG_SyslogProtocol23Format", LINES, octets=True),
             "web - - -  ?TEXT", version="1"),
        Case("syslog-ng-tcp-20000-octets", "tcp", syslog_ng("syslog", LINES), META, version="1", needs=ng),
    ]


def secured():
    return [
        Case("rsyslog-tls-gtls", "tls", rsyslog("RSYSLOG_ForwardFormat", driver="gtls"), "web: TEXT",
             needs=["openssl", "gtls"]),
        Case("rsyslog-tls-gtls-octets", "tls", rsyslog("RSYSLOG_SyslogProtocol23Format", octets=True, driver="gtls"),
             "web - - -  ?TEXT", version="1", needs=["openssl", "gtls"]),
        Case("rsyslog-tls-ossl-octets", "tls", rsyslog("RSYSLOG_SyslogProtocol23Format", octets=True, driver="ossl"),
             "web - - -  ?TEXT", version="1", needs=["openssl", "ossl"]),
        Case("syslog-ng-tls-network", "tls", syslog_ng("network"), "web: TEXT", needs=["openssl", "syslog-ng"]),
        Case("syslog-ng-tls-syslog", "tls", syslog_ng("syslog"), META, version="1", needs=["openssl", "syslog-ng"]),
        Case("python-tls-rfc3164", "tls", python(LAYOUTS["rfc3164"], "\n"), "web: TEXT", needs=["openssl"]),
        Case("python-tls-rfc5424", "tls", python(LAYOUTS["rfc5424"], "\n"), "web - - - TEXT", version="1", needs=["openssl"]),
    ]


CASES = over("tcp") + over("udp") + streams() + secured()
CASES += [case.into_multiport() for case in CASES if case.transport != "udp"]

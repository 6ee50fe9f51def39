"""What each configuration is fed, how much is to come out, and where flumed differs on purpose.

Fed text bears marks: `word|`. What is seen of the events is kept apart by mark, so that a difference concerns one mark.
"""
import contextlib, datetime, json, os, re, socket, time, urllib.request

from children import DEADLINE, wait


class Differs:
    """What Flume and flumed are each to give where they differ, and why. Flume 1.9 may have its own."""

    def __init__(self, why, flume, flumed, flume_1_9=None):
        self.why, self.flume, self.flumed, self.flume_1_9 = why, flume, flumed, flume_1_9

    def theirs(self, version):
        return self.flume_1_9 if self.flume_1_9 and version.startswith("1.9.") else self.flume


class Case:
    """`outputs`: how many events flumed puts out per file_roll directory, or into its `log`; `now`: headers that hold
    the time of the run; `ordered`: is the order of the headers to be the same?"""
    outputs, now, differs, ordered = {}, (), {}, True

    def __init__(self, name):
        self.name = name

    def prepare(self, directory):
        """Before the agent starts."""

    def feed(self, agent):
        return {}

    def look(self, agent):
        """Once everything is out."""
        return {}

    def expected(self, output, version):
        """How many events are to come out."""
        count = self.outputs[output]
        for name, known in self.differs.items():
            if version and name.startswith(output + " "):
                count += len(known.theirs(version) or []) - len(known.flumed or [])
        return count

    @staticmethod
    def groups(events):
        """The events by mark, each group in its order."""
        found = {}
        for event in events:
            mark = re.search(rb"([\w-]+)\|", event)
            found.setdefault(mark[1].decode() if mark else "unmarked", []).append(event)
        return found.items()


def converse(port, payload):
    """Sends all of it on a connection of its own and says so; what is answered until the agent closes."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        with contextlib.suppress(OSError):  # closed already, after a line that is too long
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
        answers = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answers += piece
        return answers


class Fed(Case):
    """Each payload on a connection of its own, one after the other."""
    payloads = {}

    def feed(self, agent):
        return {f"answers {name}": converse(agent.port, payload) for name, payload in self.payloads.items()}


class NetcatLogger(Fed):
    payloads = {
        "words": "Hello Flume\nhello|\n\nGrüße aus Köln, 12 €\nwith a CR|\r\ntab\there|\n\0nul|\n".encode(),
        "long": b"long| " + b"0123456789" * 20 + b"\n",
        "many": b"".join(b"many| %d\n" % i for i in range(300)),
        "brace": b"brace} |{}\n",
    }
    outputs = {"log": 309}


class NetcatLimits(Fed):
    too_long = b"FAILED: Event exceeds the maximum length (20 chars, including newline)\n"
    payloads = {
        "fits": b"fits| 3456789012345\n" + "fits| äöüäöüäöüäöüä\n".encode() + b"\n\n",
        "over": b"over| fine\nover| 34567890123456\nover| never read\n",
        "far-over": b"far-over| " + b"x" * 10000,
        "bytes": b"bytes| \xff\xfe\n",
        "tail": b"tail| one\ntail| two",
    }
    outputs = {"out": 8}
    differs = {
        "answers bytes": Differs("bytes that are no UTF-8 pass through", b"", b"OK\n"),
        "out bytes": Differs("as above", None, [b"bytes| \xff\xfe"]),
        "answers tail": Differs("an unterminated last line is an event", b"OK\n", b"OK\nOK\n"),
        "out tail": Differs("as above", [b"tail| one"], [b"tail| one", b"tail| two"]),
    }


class NetcatReplicated(Fed):
    payloads = {
        "quiet": b"quiet| no answer\nquiet| " + b"0123456789" * 5 + b"\n",
        "many": b"".join(b"many| %06d\n" % i for i in range(5000)),
    }
    outputs = {"out": 5002, "log": 5002}
    answer = b"{ headers:{} body: 71 75 69 65 74 7C 20 6E 6F 20 61 6E 73 77 65 72 quiet| no answer }"
    digits = b"{ headers:{} body: 71 75 69 65 74 7C 20 30 31 32 33 34 35 36 37 38 quiet| 012345678"
    differs = {
        "log quiet": Differs("maxBytesToLog works, as documented", [answer, digits + b" }"], [
            answer, digits + b"\n    00000010 39 30 31 32 33 34 35 36 37 38 39 30 31 32 33 34 9012345678901234"
                             b"\n    00000020 35 36 37 38 39 30 31 32                         56789012 }"]),
    }

    def look(self, agent):
        return {"names": agent.names("out")}


class ExecTail(Case):
    outputs, now = {"out": 1504}, (b"timestamp",)

    def prepare(self, directory):
        with open(f"{directory}/app.log", "wb") as f:
            f.write(b"".join(b"before| %d\n" % i for i in range(1000)))

    def feed(self, agent):
        with open(f"{agent.directory}/app.log", "ab", buffering=0) as f:
            f.write(b"".join(b"after| %d\n" % i for i in range(500)))
            f.write("utf8| Grüße €\n\nspaces|   \n".encode())
            f.write(b"halves| one")
            f.write(b", two\n")
        return {}


class ExecShell(Case):
    outputs = {"out": 11}
    head = b"{eventId=log-<uuid>} "
    instead = "\ufffd".encode()
    differs = {
        "out latin": Differs("bytes that are no UTF-8 pass through",
                             [head + b"latin: latin| Gr" + instead * 2 + b"e"], [head + b"latin: latin| Gr\xfc\xdfe"]),
        "out unmarked": Differs("as above", [head, head, head + instead + b"| cut short"],
                                [head, head, head + b"\xe2\x82| cut short"]),
    }

    def prepare(self, directory):
        with open(f"{directory}/odd", "wb") as f:
            f.write(b"%name%: unix|\ndos|\r\nmac|\rafter mac|\n\n\nempty lines| above\n")
        with open(f"{directory}/latin", "wb") as f:
            f.write(b"%name%: latin| Gr\xfc\xdfe\n\xe2\x82| cut short\n\xf0\x9f\x98\x80emoji|\nno newline|")


class SeqStress(Case):
    outputs = {"out": 500}
    counters = {
        "CHANNEL.c1": ["Type", "ChannelCapacity", "ChannelSize", "ChannelFillPercentage", "EventPutAttemptCount",
                       "EventPutSuccessCount", "EventTakeSuccessCount", "StopTime"],
        "SOURCE.r1": ["Type", "EventReceivedCount", "EventAcceptedCount", "AppendBatchReceivedCount",
                      "AppendBatchAcceptedCount", "AppendAcceptedCount", "ChannelWriteFail", "EventReadFail",
                      "OpenConnectionCount"],
        "SINK.k1": ["Type", "EventDrainAttemptCount", "EventDrainSuccessCount", "ConnectionCreatedCount",
                    "ConnectionClosedCount", "ConnectionFailedCount", "EventWriteFail", "ChannelReadFail"],
    }

    differs = {
        "SOURCE.r1 EventReceivedCount": Differs("every source counts what it received", "0", "500"),
        "SOURCE.r1 AppendBatchReceivedCount": Differs("as above", "0", "72"),
    }

    @staticmethod
    def metrics(agent):
        with urllib.request.urlopen(f"http://127.0.0.1:{agent.port}/metrics", timeout=DEADLINE) as answer:
            return answer.headers["Content-Type"].lower().replace(" ", ""), json.load(answer)

    def look(self, agent):
        def taken():
            kind, counters = self.metrics(agent)
            return counters["CHANNEL.c2"]["EventTakeSuccessCount"] == "620" and (kind, counters)
        kind, counters = wait(f"{agent.name}: 620 events to the null sink", taken)
        seen = {"metrics": kind}
        for component, names in [*self.counters.items(), ("CHANNEL.c2", self.counters["CHANNEL.c1"])]:
            for name in names:
                seen[f"{component} {name}"] = counters[component].get(name)
        return seen


def day(ahead):
    """A date as old syslog has it, without a year; no 29th of February, which not every year has."""
    when = datetime.date.today() + datetime.timedelta(days=ahead)
    return f"{when:%b} {min(when.day, 28):2}".encode()


YESTERDAY, AHEAD = day(-1), day(60)


def long(head, event_size):
    """A message whose "long| rest" is more than fits."""
    return (head + b"x" * event_size)[:event_size] + b"long| rest\n"


class Syslog(Fed):
    """The order of headers is that of a Java hash table, and the size of the one that Flume's syslog sources make
    depends on the Java version."""
    ordered = False
    payloads = {
        "old": b"<13>%s 22:14:15 web01 old| yesterday\n" % YESTERDAY
               + b"<34>%s 12:14:15 web01.example.org old| in two months\n" % AHEAD
               + b"<191>1 %s 22:14:15 a_b-c@d old| versioned\n" % YESTERDAY,
        "new": b"<165>1 2003-10-11T22:14:15Z mymachine.example.com evntslog - ID47 - new| UTC\n"
               b"<165>1 2003-08-24T05:14:15-07:00 192.0.2.1 myproc 8710 - - new| offset\n"
               b"<165>1 2003-01-24T05:14:15 192.0.2.1 new| local\n"
               b"<165>2003-01-24T05:14:15Z h new| no version\n"
               b"<165>1 - - new| nothing known\n",
        "plain": b"<13>plain| neither time nor host\n<0>plain| kernel\n<999>plain| far too much\n"
                 b"<34>Nov 21 2:14:15 h plain| an hour of one digit\n",
        "invalid": b"invalid| no priority\n<>invalid| empty\n<abc>invalid| letters\n<1234>invalid| long\n"
                   b"\n\n123<34>1 - - invalid| digits in front\n",
        "counted": b"25 <34>1 - - counted| octets\n",
        "long": long(b"<13>1 2003-10-11T22:14:15Z h long| ", 2500),
        "text": "<13>1 2003-10-11T22:14:15Z h text| Grüße €\n<13>1 2003-10-11T22:14:15Z h text| nul\0 tab\t\n".encode(),
        "fraction": b"<165>1 2003-10-11T22:14:15.003Z h fraction| 3 ms\n",
        "crlf": b"<13>1 2003-10-11T22:14:15Z h crlf| two bytes\r\n",
        "ipv6": b"<165>1 2003-10-11T22:14:15Z 2001:db8::1 ipv6| sender\n",
        "sticky": b"<165>1 2003-10-11T22:14:15Z h sticky| one\n<14>sticky| two\n",
        "bytes": b"<165>1 2003-10-11T22:14:15Z h bytes| \xff\n",
        "tail": b"<13>1 - - tail| one\n<13>1 - - tail| two",
    }
    outputs = {"out": 30}
    known = b"Facility=20, Severity=5, host=h, priority=165, timestamp=%d, version=1"
    cut = b"{Facility=1, Severity=5, flume.syslog.status=Incomplete, host=h, priority=13, timestamp=1065910455000, " \
          b"version=1} long| " + b"x" * 2465
    rest = b"{Facility=0, Severity=0, flume.syslog.status=Invalid%s} long| rest"
    differs = {
        "out fraction": Differs("RFC 5424: a fraction of a second, in the zone that is given",
                                [b"{" + known % 1065924855003 + b"} fraction| 3 ms"],
                                [b"{" + known % 1065910455003 + b"} fraction| 3 ms"]),
        "out counted": Differs("octets may be counted (RFC 6587)",
                               [b"{Facility=0, Severity=0, flume.syslog.status=Invalid} 25 <34>1 - - counted| octets"],
                               [b"{Facility=4, Severity=2, priority=34, version=1} counted| octets"]),
        "out crlf": Differs("CR LF ends a line too",
                            [b"{Facility=1, Severity=5} <13>1 2003-10-11T22:14:15Z h crlf| two bytes\r"],
                            [b"{Facility=1, Severity=5, host=h, priority=13, timestamp=1065910455000, version=1}"
                             b" crlf| two bytes"]),
        "out ipv6": Differs("a host may have colons",
                            [b"{Facility=20, Severity=5} <165>1 2003-10-11T22:14:15Z 2001:db8::1 ipv6| sender"],
                            [b"{" + known.replace(b"=h", b"=2001:db8::1") % 1065910455000 + b"} ipv6| sender"]),
        "out sticky": Differs("a message's fields are its own",
                              [b"{" + known % 1065910455000 + b"} sticky| one",
                               b"{Facility=1, Severity=6, priority=165, version=1} <14>sticky| two"],
                              [b"{" + known % 1065910455000 + b"} sticky| one",
                               b"{Facility=1, Severity=6} <14>sticky| two"]),
        "out long": Differs("as above, for the second part of a cut one",
                            [cut, rest % b", priority=13, version=1"], [cut, rest % b""]),
        "out bytes": Differs("bytes that are no UTF-8 pass through",
                             [b"{" + known % 1065910455000 + b"} bytes| \xef\xbf\xbd"],
                             [b"{" + known % 1065910455000 + b"} bytes| \xff"]),
        "out tail": Differs("an unterminated last line is an event",
                            [b"{Facility=1, Severity=5, priority=13, version=1} tail| one"],
                            [b"{Facility=1, Severity=5, priority=13, version=1} tail| one",
                             b"{Facility=1, Severity=5, priority=13, version=1} tail| two"]),
    }


class SyslogKeepFields(Fed):
    now, ordered = (b"received",), False
    payloads = {
        "old": b"<13>%s 22:14:15 web01 old| kept\n" % YESTERDAY,
        "new": b"<165>1 2003-10-11T22:14:15Z web02 new| kept\n<165>1 - - new| nothing known\n",
        "plain": b"<13>plain| neither time nor host\nplain| nor priority\n",
        "long": long(b"<13>long| ", 120),
    }
    outputs = {"out": 7, "log": 7}


class InterceptorChain(Fed):
    payloads = {
        "pay": "shop: 2024-07-01 10:20:30,123 INFO  user=Zoë pay| card 1234-5678-9012-3456, 1111-2222-3333-4444\n"
               "shop: 2024-01-31 23:59:59,999 ERROR user=Bob pay| card 12345678-9012-3456\n".encode(),
        "dropped": b"shop: 2024-07-01 10:20:30,123 DEBUG user=Bob dropped| chatter\n"
                   b"shop: 2024-07-01 10:20:30,123 INFO user=Bob dropped| healthcheck fine\n"
                   b"WARN healthcheck dropped|\r\n",
        "other": "Büro: 2024-07-01 10:20:30,123 INFO user=Bob other| a word that is not ASCII\n"
                 "WARN other| no fields, ١٢٣٤-١٢٣٤-١٢٣٤-١٢٣٤\n".encode(),
        "group": b"shop: 2024-07-01 10:20:30,123 WARN user=- group| took no part\n",
    }
    outputs = {"out": 5}
    took = b"level=WARN, team=billing & payments, id=<uuid>, %stimestamp=1719843630123} " \
           b"shop: 2024-07-01 10:20:30,123 WARN user=- group| took no part"
    differs = {
        "out group": Differs("a group that took no part in the match sets no header",
                             [b"{" + took % b"user=null, "], [b"{" + took % b""]),
    }


class Interpolated(Case):
    outputs = {"out": 1}
    year = b"%d" % datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=-5))).year  # New York's
    values = b"{escaped=${env:INTEROP_TIER}, unresolved=${INTEROP_TIER}, default=none/at all, site=%s, year=" \
             + year + b", env=gold, sys=harbour} word|"
    differs = {
        "out word": Differs(
            "a property may be used wherever it stands; Flume 1.9 has no interpolation of this kind",
            [values % b"${site}"], [values % b"harbour-1"],
            [b"{escaped=$${env:INTEROP_TIER}, unresolved=${INTEROP_TIER}, default=${env:INTEROP_UNSET:-none}/"
             b"${sys:interop.unset:-at all}, site=${site}, year=${date:yyyy}, env=${env:INTEROP_TIER}, "
             b"sys=${sys:interop.site}} word|"]),
    }

    def prepare(self, directory):
        with open(f"{directory}/words", "w") as f:
            f.write("word|\n")


class Multiplexing(Fed):
    def lines(tier, mark, count):
        return b"".join(b"%s %s| %d\n" % (tier, mark, i) for i in range(count))

    payloads = {
        "tiers": b"".join(b"tier=%s %s| %d\n" % (tier, tier, i) for i in range(200) for tier in (b"gold", b"silver")),
        "dots": lines(b"tier=a.b", b"dotted", 20) + lines(b"tier=a", b"half", 20),
        "optional": lines(b"tier=lead", b"lead", 20),
        "others": lines(b"", b"none", 20) + lines(b"tier=", b"empty", 20) + lines(b"tier=Gold", b"case", 20),
    }
    outputs = {"c1": 240, "c2": 200, "c3": 400, "c4": 100}

    def prepare(self, directory):
        for output in self.outputs:
            os.mkdir(f"{directory}/{output}")


CASES = [
    NetcatLogger("01-netcat-logger"),
    NetcatLimits("02-netcat-limits"),
    NetcatReplicated("03-netcat-replicated"),
    ExecTail("04-exec-tail"),
    ExecShell("05-exec-shell"),
    SeqStress("06-seq-stress"),
    Syslog("07-syslogtcp"),
    SyslogKeepFields("08-syslogtcp-keepfields"),
    InterceptorChain("09-interceptor-chain"),
    Interpolated("10-interpolated"),
    Multiplexing("11-multiplexing"),
]

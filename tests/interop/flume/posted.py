"""What is posted to the http source: every status of its table by several clients, JSON of many shapes, blobs, a full channel."""
import shutil

from web import clients
from web.clients import Request
from web.statuses import CLIENTS, WRITTEN, event, typed

from .cases import Case, Differs

SENDERS = {"curl": "curl", "python": "python3", "java": "java", "node": "node"}
STRANGE = "what is no request, or too much, is told by its own status: "

# Where flumed answers otherwise: why, Flume's status, flumed's status, Flume 1.9's if it has its own.
STATUSES = {
    "patch": (STRANGE + "every method that is not served is 405", 501, 405),
    "empty": ("what is no array of events is the client's fault", 500, 400),
    "null": ("as above", 500, 400),
    "charset": (STRANGE + "an unknown charset", 500, 415),
    "gzip": ("a compressed body is inflated", 400, 200),
    "coding": ("an unknown coding of the body is refused, not stored", 200, 415),
    "too-many": ("more events than the channel takes at once will never be taken", 503, 413),
    "no-length": ("what has no body is no array of events", [500], [400]),
    "bad-length": ("a length has digits only", [200], [400]),
    "bad-chunk": ("chunks that are none are the client's fault", [500], [400]),
    "unknown-transfer": (STRANGE + "a transfer coding that is not known", [400], [501], [500]),
    "length-and-chunked": ("a length beside chunks is how requests are smuggled past a proxy", [400], [400], [200]),
    "version": (STRANGE + "HTTP/3.0", [505], [505], [400]),
}

# Sent by Python: shapes of JSON, charsets. What comes of them is compared.
TEXTS = {
    "single": Request(b"[{'headers':{'k':'v'},'body':'single| quotes'}]", headers=clients.JSON),
    "unquoted": Request(b"[{headers:{k:v},body:'unquoted| names'}]", headers=clients.JSON),
    "comments": Request(b"/* one */ [ // two\n# three\n{\"body\":\"comments| inside\"}]", headers=clients.JSON),
    "numbers": Request(b'[{"headers":{"i":1,"f":1.50,"t":true},"body":"numbers| in headers"}]', headers=clients.JSON),
    "unknown": Request(b'[{"more":[1,{"a":null}],"headers":{"k":"v"},"body":"unknown| member","x":{}}]', headers=clients.JSON),
    "no-headers": Request(b'[{"body":"no-headers| absent"},{"headers":null,"body":"no-headers| null"}]', headers=clients.JSON),
    "escapes": Request(rb'[{"headers":{"\u006b":"\ud83d\ude00"},"body":"escapes| \u00e9\t\\\/\" \ud83d\ude00"}]',
                       headers=clients.JSON),
    "utf-16": Request('[{"body":"utf-16| Grüße"}]'.encode("utf-16"), headers=typed("application/json; charset=UTF-16")),
    "utf-8-text": Request(event("utf-8-text| Grüße"), headers=typed("text/plain; charset=\"UTF-8\"")),
    "no-charset": Request(event("no-charset| Grüße"), headers=typed("text/plain")),
    "no-type": Request(event("no-type| Grüße")),
    "duplicate": Request(b'[{"headers":{"k":"v","k":"w"},"body":"duplicate|"}]', headers=clients.JSON),
    "trailing-comma": Request(b'[{"body":"trailing-comma|"},]', headers=clients.JSON),
    "bom": Request(b"\xef\xbb\xbf" + event("bom| in front"), headers=clients.JSON),
    "lone": Request(rb'[{"body":"lone| \ud83d"}]', headers=clients.JSON),
    "bytes": Request(b'[{"body":"bytes| \xff"}]', headers=clients.JSON),
}


class Posted(Case):
    def senders(self):
        return [name for name, command in SENDERS.items() if shutil.which(command)]

    def feed(self, agent):
        seen = {}
        for sender in self.senders():
            requests = [request._replace(body=request.body.replace(b"MARK", f"{name}-{sender}".encode()))
                        for name, (request, _) in CLIENTS.items()]
            answers = getattr(clients, sender)(requests, agent.port)
            seen.update({f"status {name} {sender}": a.status for name, a in zip(CLIENTS, answers)})
        for name, (payload, _) in WRITTEN.items():
            seen[f"status {name}"] = clients.by_hand(payload, agent.port)
        return seen

    @property
    def outputs(self):
        return {"out": sum(n for _, n in CLIENTS.values()) * len(self.senders()) + sum(n for _, n in WRITTEN.values())}

    @property
    def differs(self):
        found = {}
        for name, (why, *statuses) in STATUSES.items():
            if name in WRITTEN:
                found[f"status {name}"] = Differs(why, *statuses)
                continue
            for sender in self.senders():
                found[f"status {name} {sender}"] = Differs(why, *statuses)
        for sender in self.senders():
            came = [b"{k=v} coding-%s| event" % sender.encode()]
            found[f"out coding-{sender}"] = Differs(STATUSES["coding"][0], came, None)
        # Its name is compressed.
        found["out MARK"] = Differs(STATUSES["gzip"][0], None, [b"{k=v} MARK| event"] * len(self.senders()))
        smuggled = "length-and-chunked"
        found[f"out {smuggled}"] = Differs(STATUSES[smuggled][0], None, None, [b"{k=v} length-and-chunked|"])
        return found


class Texts(Case):
    ordered = False
    outputs = {"out": 14}
    differs = {
        "status bytes": Differs("bytes that are no text of the charset are refused, not stored as U+FFFD", 200, 400),
        "out bytes": Differs("as above", [b"{} bytes| \xef\xbf\xbd"], None),
        "status trailing-comma": Differs("what is no array of events is the client's fault", 500, 400),
        "out no-charset": Differs("without a charset, JSON is UTF-8", [b"{k=v} no-charset| Gr\xc3\x83\xc2\xbc\xc3\x83\xc2\x9fe"],
                                  [b"{k=v} no-charset| Gr\xc3\xbc\xc3\x9fe"]),
        "out no-type": Differs("as above", [b"{k=v} no-type| Gr\xc3\x83\xc2\xbc\xc3\x83\xc2\x9fe"],
                               [b"{k=v} no-type| Gr\xc3\xbc\xc3\x9fe"]),
    }

    def feed(self, agent):
        answers = clients.python(TEXTS.values(), agent.port)
        return {f"status {name}": answer.status for name, answer in zip(TEXTS, answers)}


class Blob(Case):
    """The whole body is one event."""
    ordered = False

    def __init__(self, name, count, differs):
        super().__init__(name)
        self.outputs, self.differs = {"out": count}, differs

    requests = {
        "text": Request(b"text| as it is", target="/?host=web01&path=%2Fvar%2Flog", headers=typed("text/plain")),
        "bytes": Request(b"bytes| \x00\xff", target="/?host=web02&empty=", headers=typed("application/octet-stream")),
        "absent": Request(b"absent| host", headers=typed("text/plain")),
        "empty": Request(b"", target="/?host=web03"),
    }

    def feed(self, agent):
        answers = clients.python(self.requests.values(), agent.port)
        return {f"status {name}": answer.status for name, answer in zip(self.requests, answers)}


class Full(Case):
    """A channel that has room for one event."""
    differs = {"retry": Differs("a client is told when to come again", [], ["retry-after"])}

    def feed(self, agent):
        requests = [Request(event(), headers=clients.JSON)] * 3
        first, *later = clients.python(requests, agent.port)
        (by_curl,) = clients.curl(requests[:1], agent.port)
        assert first.status == 200, f"{agent.name}: the first answer is {first.status}"
        if agent.name == "flumed":
            agent.orderly = 3  # it tells of the event that nobody has taken
        said = sorted({name for answer in later for name in answer.headers if name == "retry-after"})
        return {"later": [answer.status for answer in later], "curl": by_curl.status, "retry": said}


CASES = [
    Posted("12-http"),
    Texts("13-http-json"),
    Blob("14-http-blob", 4, {}),
    Blob("15-http-blob-parameters", 3, {
        "status absent": Differs("a parameter that has to be there is the client's to send", 500, 400),
    }),
    Full("16-http-full"),
]

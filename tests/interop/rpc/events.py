"""Events as the peers of the RPC cases take and give them, and the check that what went in came out.

A file of events has one a line, in base64 with tabs between: body, then name and value of each header. What an agent's
file_roll sink writes (header_and_text) is compared with it in one form: `{name=value, ...} body`, headers sorted. So no
body holds a newline, and no header `, ` or `} `.
"""
import base64, collections, os, re, time, zlib

from children import DEADLINE


def given(count=400):
    """Of each kind some: (headers, body)."""
    alphabet = bytes(b for b in range(256) if b != 10)
    kinds = [
        ({"host": "web01", "level": "INFO"}, b"plain"),
        ({"städt": "Köln", "都市": "東京", "empty": "", "emoji 😀": "\U0001f680\u0000\u2028"},
         "Grüße, привет, 你好 😀".encode()),
        ({}, b"no headers"),
        ({"only": "headers"}, b""),
        ({}, b""),
        ({f"name-{n}": f"value {n}" for n in range(150)}, b"many headers"),
        ({"long": "é" * 20_000}, b"one long header"),
        ({"bytes": "all but newline"}, alphabet),
        ({"size": "8191"}, b"a" * 8191), ({"size": "8192"}, b"b" * 8192), ({"size": "8193"}, b"c" * 8193),
        *[({"seen": "often"}, b"the same again")] * 5,
        ({"size": "1 MiB"}, (alphabet * 4113)[:1 << 20]),
    ]
    return kinds + numbered(count)


def numbered(count):
    """Each its own, with text of several scripts."""
    return [({"n": str(n), "Straße": f"東京 {n % 97}", "😀": ""}, f"événement {n} – {'ж' * (n % 50)}".encode())
            for n in range(count)]


def write(path, events, mode="wb"):
    with open(path, mode) as f:
        for headers, body in events:
            fields = [body] + [text.encode() for pair in headers.items() for text in pair]
            f.write(b"\t".join(base64.b64encode(field) for field in fields) + b"\n")


def read(path):
    events = []
    with open(path, "rb") as f:
        for line in f:
            body, *fields = [base64.b64decode(field) for field in line.rstrip(b"\n").split(b"\t")]
            events.append(({n.decode(): v.decode() for n, v in zip(fields[::2], fields[1::2])}, body))
    return events


def crc(path, thread, threads):
    """The checksum of one sender's share of the file, as the SDK driver prints it."""
    with open(path, "rb") as f:
        return zlib.crc32(b"".join(line for n, line in enumerate(f) if n % threads == thread))


def form(event):
    headers, body = event
    return b"{" + b", ".join(sorted(f"{n}={v}".encode() for n, v in headers.items())) + b"} " + body


def rolled(directory):
    """What came out, in the same form."""
    lines = []
    for name in sorted(os.listdir(directory)):
        with open(f"{directory}/{name}", "rb") as f:
            for line in f.read().split(b"\n")[:-1]:
                headers, body = re.fullmatch(rb"\{(.*?)\} (.*)", line, re.DOTALL).groups()
                lines.append(b"{" + b", ".join(sorted(headers.split(b", "))) + b"} " + body)
    return lines


def size(directory):
    return sum(os.path.getsize(f"{directory}/{name}") for name in os.listdir(directory))


def arrived(directories, forms, agents=()):
    """Waits until the files have as many bytes as these events need; as long as they grow, there is time."""
    want = sum(len(event) + 1 for event in forms)
    last, since = -1, time.monotonic()
    while (now := sum(size(d) for d in directories)) < want:
        if now > last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > DEADLINE:
            logs = "; ".join(f"the log of {a.name} ends {a.said()[-1500:].decode(errors='replace')}" for a in agents)
            raise AssertionError(f"{now} of {want} bytes came out and no more for {DEADLINE} s; {logs}")
        time.sleep(0.01)


def same(got, want, ordered):
    """Every event once, with what it had."""
    if ordered and got == want:
        return
    missing = collections.Counter(want)
    missing.subtract(got)
    lost = [(event, n) for event, n in missing.items() if n > 0]
    more = [(event, -n) for event, n in missing.items() if n < 0]
    assert not lost and not more, \
        f"of {len(want)} events {sum(n for _, n in lost)} are missing and {sum(n for _, n in more)} too many: " \
        f"missing {brief(lost)}, too many {brief(more)}"
    at = next((n for n, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), None)
    assert not ordered or at is None, f"event {at} out of order: {got[at][:200]!r}, not {want[at][:200]!r}"


def brief(counted):
    return [(event[:200], n) for event, n in counted[:3]]

"""TLS of a syslog source and of the metrics, to clients that are not ours: openssl s_client, Python's ssl, rsyslog with
GnuTLS and with OpenSSL, curl. Certificates are made in each case. RPC over TLS is in the package `rpc`."""
import contextlib, logging, logging.handlers, re, socket, ssl, subprocess, tempfile, time

from children import DEADLINE, child, wait
from rpc import events, peers
from rpc.certs import Certificates
from syslogs import senders

LINES = 20_000
CONF = """
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = syslogtcp
a1.sources.r1.host = 127.0.0.1
a1.sources.r1.port = @port@
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c1.transactionCapacity = 1000
"""
MONITORED = """
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = seq
a1.sources.r1.totalEvents = 10
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
"""


class Scene:
    """A flumed with a syslog source over TLS, and what its clients need."""

    def __init__(self, stack, flumed, directory):
        self.stack, self.flumed, self.directory = stack, flumed, directory
        self.certs = Certificates(f"{directory}/certificates", java=False)

    def start(self, conf):
        self.agent = peers.agent(self.flumed, "", f"{self.directory}/agent", conf)
        self.stack.callback(self.agent.close)
        self.agent.started()
        return self.agent.port

    def syslog(self, **more):
        """Gives its port. `more`: keys of the source."""
        given = {"type": "syslogtcp", **self.certs.store("keystore", "server.p12"), **more}
        return self.start(CONF + peers.ROLL + peers.keys("sources.r1", given))

    def check(self, texts):
        """These messages came, in their order, and nothing else."""
        out = f"{self.directory}/agent/out"
        wait(f"{len(texts)} events", lambda: len(self.agent.events("out")) >= len(texts))
        self.agent.stop()
        got = [line.rpartition(b"web: ")[2].decode() for line in events.rolled(out)]
        assert got == texts, f"{len(got)} events, of {len(texts)}: {got[:3]} ... {got[-3:]}"

    def tells(self, why, provoke):
        """The log names the peer and the reason."""
        self.agent.tells(rf"connection from 127\.0\.0\.1:\d+ ended: .*{why}", provoke)

    def openssl(self, port, text, *words, trust="ca"):
        """What s_client said, and its exit code."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", self.certs.path(f"{trust}.pem"),
                   "-verify_return_error", "-verify_hostname", "localhost", *words]
        ran = subprocess.run(command, input=text, capture_output=True, text=True, timeout=DEADLINE)
        return ran.stdout + ran.stderr, ran.returncode


def line(text):
    return f"<13>Oct 11 22:14:15 host web: {text}\n"


def openssl(version):
    def act(s):
        port = s.syslog()
        said, code = s.openssl(port, line("from s_client"), version)
        name = {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}[version]
        assert code == 0 and "Verify return code: 0 (ok)" in said and name in said, f"{code}: {said[-1500:]}"
        s.check(["from s_client"])
    return act


def openssl_mutual(s):
    """With a certificate; without one, or with a stranger's, it is turned away and the log says why."""
    port = s.syslog(**s.certs.store("truststore", "ca.pem"), **{"client-auth": "need"})
    for own, why in ((None, "has sent no certificate"), ("stranger", "nobody who is trusted")):
        words = ["-cert", s.certs.path(f"{own}.pem"), "-key", s.certs.path(f"{own}.key")] if own else []
        s.tells(why, lambda: s.openssl(port, line("unwanted"), *words))
    words = ["-cert", s.certs.path("client.pem"), "-key", s.certs.path("client.key")]
    said, code = s.openssl(port, line("known"), *words)
    assert code == 0, said[-1500:]
    s.check(["known"])


def refused(s):
    """An old version, a client that trusts another authority, plain text: the log says so; then a good one is served."""
    port = s.syslog()

    def old():
        said, code = s.openssl(port, line("old"), "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        assert code != 0 and re.search("alert (protocol version|handshake failure)", said), f"{code}: {said}"

    def distrustful():
        said, code = s.openssl(port, line("distrust"), trust="stranger")
        assert code != 0 and "Verify return code: 19" in said, f"{code}: {said}"

    def plain():
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(line("plain").encode())
            while connection.recv(100):
                pass
    s.tells("no TLS version that is allowed here", old)
    s.tells("the peer does not trust our certificate", distrustful)
    s.tells("no TLS: the peer sends plain text", plain)
    s.openssl(port, line("good"))
    s.check(["good"])


def python(version):
    """logging's SysLogHandler over ssl."""
    def act(s):
        port = s.syslog()
        handler = logging.handlers.SysLogHandler(("127.0.0.1", port), socktype=socket.SOCK_STREAM)
        handler.socket = s.certs.context(version=version).wrap_socket(handler.socket, server_hostname="localhost")
        handler.append_nul = False
        handler.setFormatter(logging.Formatter("%(asctime)s host web: %(message)s\n", "%b %d %H:%M:%S"))
        texts = [f"Grüße {n} {'x' * (n * 37 % 2000)}" for n in range(1000)]
        for text in texts:
            handler.emit(logging.LogRecord("web", logging.INFO, "", 0, text, None, None))
        handler.close()
        s.check(texts)
    return act


def rsyslog(driver, mutual):
    def act(s):
        more = {**s.certs.store("truststore", "ca.pem"), "client-auth": "need"} if mutual else {}
        port = s.syslog(**more)
        texts = [f"sequence {n:06}" for n in range(LINES)]
        with open(f"{s.directory}/in", "w") as f:
            f.writelines(text + "\n" for text in texts)
        senders.rsyslog_conf(s.directory, senders.from_file(f"{s.directory}/in"), port, "RSYSLOG_ForwardFormat", driver=driver,
                             certs=s.certs, own="client" if mutual else None)
        log = s.stack.enter_context(open(f"{s.directory}/rsyslog.log", "w"))
        with child(*senders.rsyslog_command(s.directory), stdout=log, stderr=log):
            wait(f"{LINES} events", lambda: len(s.agent.events("out")) >= LINES)
        s.check(texts)
    return act


def curl(s):
    """The metrics over TLS: with our authority they are served, by default curl trusts nobody we know."""
    keys = {"ssl": "true", "keystore": s.certs.path("server.p12"), "keystore-password": "secret"}
    conf = "".join(f"a1.flumed.monitoring.{key} = {value}\n" for key, value in keys.items())
    port = s.start(MONITORED + conf)

    def get(*words):
        return subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, timeout=DEADLINE)
    url = f"https://localhost:{port}/metrics"
    trust = ["--cacert", s.certs.path("ca.pem"), "--ipv4"]
    wait("10 events are counted", lambda: '"EventDrainSuccessCount":"10"' in get(*trust, url).stdout)
    served = get(*trust, "--tlsv1.3", url)
    assert served.returncode == 0 and '"CHANNEL.c1"' in served.stdout, f"{served.returncode}: {served.stderr}"
    stranger = get("--ipv4", url)
    assert stranger.returncode == 60, f"{stranger.returncode}: {stranger.stderr}"
    plain = get("--ipv4", url.replace("https", "http"))
    assert plain.returncode != 0, f"plain HTTP is answered: {plain.stdout}"
    s.agent.stop()


CASES = [
    ("openssl-1.2", ["openssl"], openssl("-tls1_2")),
    ("openssl-1.3", ["openssl"], openssl("-tls1_3")),
    ("openssl-mutual", ["openssl"], openssl_mutual),
    ("openssl-refused", ["openssl"], refused),
    ("python-1.2", ["openssl"], python(ssl.TLSVersion.TLSv1_2)),
    ("python-1.3", ["openssl"], python(ssl.TLSVersion.TLSv1_3)),
    ("rsyslog-gtls", ["openssl", "gtls"], rsyslog("gtls", False)),
    ("rsyslog-gtls-mutual", ["openssl", "gtls"], rsyslog("gtls", True)),
    ("rsyslog-ossl", ["openssl", "ossl"], rsyslog("ossl", False)),
    ("curl", ["openssl", "curl"], curl),
]


def run(flumed, only):
    """All cases whose names hold `only`; gives how many passed, failed and were skipped."""
    tally = {"ok": 0, "FAILED": 0, "skipped": 0}
    for name, needs, act in CASES:
        if only not in f"tls-{name}":
            continue
        began = time.monotonic()
        why = "; ".join(filter(None, map(senders.missing, needs)))
        outcome, what = ("skipped", why) if why else one(act, flumed)
        tally[outcome] += 1
        print(f"{outcome:7} tls-{name}" + (f": {what}" if what else f" ({time.monotonic() - began:.2f} s)"), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def one(act, flumed):
    try:
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
            act(Scene(stack, flumed, directory))
        return "ok", ""
    except Exception as e:  # one case is not the end of all
        return "FAILED", str(e) if isinstance(e, AssertionError) else repr(e)

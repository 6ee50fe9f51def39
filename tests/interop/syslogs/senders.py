"""Syslog senders that are not ours: util-linux logger, rsyslog, syslog-ng, Python's SysLogHandler. Each sends to a target and
gives what it sent as (facility, severity, text)."""
import glob, logging, logging.handlers, os, shutil, socket, subprocess, time, typing

from children import DEADLINE, child, wait

HERE = os.path.dirname(os.path.abspath(__file__))
SYSLOG_NG = os.path.join(HERE, "..", "..", "..", "scripts", "syslog-ng-peer")
FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
              None, None, None, None, *(f"local{i}" for i in range(8))]
SEVERITIES = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
HOST = socket.gethostname().split(".")[0].lower()  # as rsyslog has it; the others keep its case
# One message for each facility that has a name (logger, being no kernel, may not say kern), all severities.
PRIORITIES = [(f, f % 8) for f, name in enumerate(FACILITIES) if name and f > 0]


class Target(typing.NamedTuple):
    """`tmp`: a directory of the case; `stack`: what ends the processes that are started; `certs` where it has TLS."""
    transport: str
    port: int
    tmp: str
    stack: typing.Any
    certs: typing.Any = None


def by_priority():
    return [(f, s, f"message {f}.{s}") for f, s in PRIORITIES]


def log(f, s, text, *words):
    subprocess.run(["logger", "-t", "web", "-p", f"{FACILITIES[f]}.{SEVERITIES[s]}", *words, text], check=True,
                   timeout=DEADLINE)


def logger(*options):
    """A process, and so a connection, for each message."""
    def send(target):
        sent = by_priority()
        for f, s, text in sent:
            log(f, s, text, f"--{target.transport}", "--server", "127.0.0.1", "--port", str(target.port), *options)
        return sent
    return send


def fed(tmp, lines, tell):
    """Writes a relay's configuration with `tell`, given the path of its input; gives what it is to send, and how it is fed."""
    path = f"{tmp}/in"
    if lines:
        sent = [(16, 5, f"sequence {i:06}") for i in range(lines)]
        with open(path, "w") as f:
            f.writelines(text + "\n" for _, _, text in sent)
    else:
        sent = by_priority()
    tell(path)

    def feed():
        if lines:
            return
        wait("the relay's socket", lambda: os.path.exists(path))
        for f, s, text in sent:
            log(f, s, text, "-u", path)
    return sent, feed


def rsyslog_conf(tmp, source, port, template, octets=False, transport="tcp", driver=None, certs=None, own=None):
    """With `driver` over TLS; `own` is the name of a certificate that it shows."""
    words, tls = [], ""
    if driver:
        files = {"CAFile": "ca.pem", **({"CertFile": f"{own}.pem", "KeyFile": f"{own}.key"} if own else {})}
        words = [f'DefaultNetstreamDriver="{driver}"']
        words += [f'DefaultNetstreamDriver{name}="{certs.path(file)}"' for name, file in files.items()]
        tls = f' StreamDriver="{driver}" StreamDriverMode="1" StreamDriverAuthMode="x509/name"' \
              ' StreamDriverPermittedPeers="localhost"'
    framing = ' TCP_Framing="octet-counted"' if octets else ""
    with open(f"{tmp}/rsyslog.conf", "w") as f:
        f.write(f'global(workDirectory="{tmp}" {" ".join(words)})\n{source}\n'
                f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{transport}"{framing}{tls}'
                f' template="{template}")\n')


def rsyslog_command(tmp):
    return "rsyslogd", "-n", "-C", "-f", f"{tmp}/rsyslog.conf", "-i", f"{tmp}/rsyslog.pid"


def from_file(path):
    """rsyslog's source of a file's lines."""
    return f'module(load="imfile")\ninput(type="imfile" File="{path}" Tag="web:" Facility="local0" Severity="notice")'


def rsyslog(template, lines=0, octets=False, driver=None):
    """With `lines`, reads that many from a file; else takes a message for each priority on a private socket."""
    def send(target):
        def tell(path):
            source = from_file(path) if lines else 'module(load="imuxsock" SysSock.Use="off")\n' \
                f'input(type="imuxsock" Socket="{path}" RateLimit.Interval="0")'
            transport = "udp" if target.transport == "udp" else "tcp"
            rsyslog_conf(target.tmp, source, target.port, template, octets, transport, driver, target.certs)
        sent, feed = fed(target.tmp, lines, tell)
        target.stack.enter_context(child(*rsyslog_command(target.tmp), stdout=subprocess.DEVNULL))
        feed()
        return sent
    return send


NG = """
@version: 3.35
options {{ stats-freq(0); flush-lines(1); }};
source s {{ {source}; }};
destination d {{ {driver}("127.0.0.1" port({port}) transport("{transport}") {more}); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""


def syslog_ng(driver, lines=0, more=""):
    """`driver` is network, whose messages have the form of RFC 3164, or syslog: RFC 5424, on TCP octet-counted."""
    def send(target):
        def tell(path):
            source = f'file("{path}" flags(no-parse) program-override("web") default-facility(local0)' \
                     ' default-priority(notice) follow-freq(0.1))' if lines else f'unix-dgram("{path}")'
            tls = f'tls(ca-file("{target.certs.path("ca.pem")}") peer-verify(required-trusted))' if target.certs else ""
            with open(f"{target.tmp}/syslog-ng.conf", "w") as f:
                f.write(NG.format(source=source, driver=driver, port=target.port, transport=target.transport,
                                  more=more + tls).lstrip())
        sent, feed = fed(target.tmp, lines, tell)
        files = {"-f": "syslog-ng.conf", "-R": "persist", "-c": "control", "-p": "pid"}
        words = [word for option, name in files.items() for word in (option, f"{target.tmp}/{name}")]
        log_file = target.stack.enter_context(open(f"{target.tmp}/syslog-ng.log", "w"))
        target.stack.enter_context(child(SYSLOG_NG, "run", "-F", "--no-caps", "-e", *words, stdout=log_file, stderr=log_file))
        feed()
        return sent
    return send


def python(form, end):
    """`form` is the layout of a message, `end` what the handler puts behind it."""
    def send(target):
        kind = socket.SOCK_DGRAM if target.transport == "udp" else socket.SOCK_STREAM
        address = ("127.0.0.1", target.port)
        handler = logging.handlers.SysLogHandler(address, logging.handlers.SysLogHandler.LOG_LOCAL4, kind)
        if target.certs:
            handler.socket = target.certs.context().wrap_socket(handler.socket, server_hostname="localhost")
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


def missing(need):
    """Why this is not here, if so."""
    if need in ("gtls", "ossl"):
        found = [f for at in ("lib", "lib64", "lib/*") for f in glob.glob(f"/usr/{at}/rsyslog/lmnsd_{need}.so")]
        return "" if found else f"rsyslog has no driver {need} on this machine"
    if need == "syslog-ng":
        prepared = subprocess.run([SYSLOG_NG, "prepare"], capture_output=True, text=True)
        return prepared.returncode and (prepared.stderr.strip() or f"exit code {prepared.returncode}")
    return "" if shutil.which(need) else f"no {need} on this machine"

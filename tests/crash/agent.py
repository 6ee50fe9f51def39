"""What the crash tests share: checks, waits with deadlines, an agent, and pieces of configurations.

Standard library only; an agent is ended by its process id, never by a name.
"""
import json, re, signal, subprocess, time, urllib.request

DEADLINE = 60
MIB = 1 << 20
BOUND = 100 * MIB  # of resident memory, whatever the backlog

CHANNEL = """
a1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.dataDirs = {data}/data
a1.channels.c1.checkpointDir = {data}/checkpoint
a1.channels.c1.minimumRequiredSpace = 1048576
"""
FILES = """
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = {out}
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.channel = c1
"""


class Failed(Exception):
    """A check did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def wait(what, ready, seconds=DEADLINE):
    """Until `ready` gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = ready()
        if got:
            return got
        time.sleep(0.01)
    raise Failed(f"{what}: not within {seconds} s")


class Agent:
    """A running flumed; its log goes to a file of its own."""
    count = 0

    def __init__(self, flumed, directory, conf):
        Agent.count += 1
        self.directory, self.log = directory, f"{directory}/log-{Agent.count}"
        self.write(conf)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [flumed, "agent", "-n", "a1", "-f", f"{directory}/a1.conf", "-Dflume.monitoring.type=http",
                 "-Dflume.monitoring.port=0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)

    def write(self, conf):
        with open(f"{self.directory}/a1.conf", "w") as f:
            f.write(conf)

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, seconds=DEADLINE):
        def found():
            match = re.search(pattern, self.said())
            check(match or self.process.poll() is None, f"the agent ended: {self.said()[-3000:]}")
            return match
        return wait(f"'{pattern}' in the log", found, seconds)

    def port(self, who):
        return int(self.wait_log(who + r" started, listening on \S+:(\d+)")[1])

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port('monitor metrics')}/metrics", timeout=30) as answer:
            return json.load(answer)

    def metric(self, component, key):
        return int(self.metrics()[component][key])

    def memory(self, key="VmHWM"):
        """Bytes of resident memory: the most there was (VmHWM), or now (VmRSS)."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(rf"{key}:\s+(\d+) kB", f.read())[1]) * 1024

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """An orderly end; how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Failed(f"the agent does not stop: {self.said()[-3000:]}") from None
        check(code == 0, f"exit code {code}: {self.said()[-3000:]}")
        return time.monotonic() - began

    def recovered(self):
        """What a recovery says of itself: events, seconds, from what."""
        m = self.wait_log(r"Queue Size after replay: (\d+) \[channel=c1\]; (.*), (\S+) s\n", 600)
        return int(m[1]), float(m[3]), m[2]

    def close(self):
        if self.process.poll() is None:
            self.kill()


def lines_of(directory, names):
    """The lines of files; a kill may leave a piece of one at the end, which is none."""
    found = []
    for name in names:
        with open(f"{directory}/{name}") as f:
            found += f.read().split("\n")[:-1]
    return found


def in_order(names):
    return sorted(names, key=lambda n: [int(part) for part in n.split("-")])

"""The agents of a comparison, flumed and Apache Flume, behind one face: start, where it listens, what came out, stop.

Each runs the same configuration in a directory of its own. A port of 0 in it has the kernel choose; which one that
was is read from /proc, since Flume's log does not always tell. Local time is New York's for all.
"""
import os, re, subprocess

from children import DEADLINE, stop, wait

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "..", "..", "scripts", "flume-peer")
ENVIRONMENT = {**os.environ, "TZ": "America/New_York", "INTEROP_TIER": "gold"}
DEFINES = ["-Dinterop.site=harbour"]
MONITORED = ["-Dflume.monitoring.type=http", "-Dflume.monitoring.port=0"]
LOGGED = re.compile(rb"Event: (\{ headers:\{.*?\} body:.*? \})\n", re.DOTALL)


class Agent:
    """One running agent; `version` is empty for flumed. It listens on one port: its source's, else its metrics'."""

    def __init__(self, flumed, version, conf, directory, prepare):
        self.name = f"Flume {version}" if version else "flumed"
        self.orderly = 143 if version else 0  # a JVM that SIGTERM ends says 128 + 15
        self.directory, self.log = directory, f"{directory}/agent.log"
        os.mkdir(f"{directory}/out")
        prepare(directory)
        with open(conf) as f:
            text = f.read()
        self.conf = f"{directory}/agent.conf"
        with open(self.conf, "w") as f:
            f.write(text.replace("@port@", "0").replace("@dir@", directory))
        defines = DEFINES + ([] if "@port@" in text else MONITORED)
        words = ["-n", re.search(r"(\S+)\.sources\s*[:=]", text)[1], "-f", self.conf]
        if version:
            command = [PEER, "agent", version, "256m", *defines, "--", *words]
        else:
            command = [flumed, "agent", *words, *defines]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT,
                                            cwd=directory)

    def started(self):
        self.port = wait(f"{self.name} listens", self.listening)

    def listening(self):
        """The port it listens on, once it does."""
        assert self.process.poll() is None, f"{self.name} ended: " + self.said().decode(errors="replace")
        mine = set()
        for number in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                mine.add(os.readlink(f"/proc/{self.process.pid}/fd/{number}"))
            except OSError:
                pass  # closed since it was listed
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}") as f:
                for words in (line.split() for line in f):
                    if words[3] == "0A" and f"socket:[{words[9]}]" in mine:
                        return int(words[1].rpartition(":")[2], 16)
        return None

    def said(self):
        with open(self.log, "rb") as f:
            return f.read()

    def tells(self, why, provoke):
        """Provokes this line, a pattern, until it is logged: of several in one second flumed logs the first."""
        def told():
            provoke()
            return re.search(why.encode(), self.said())
        wait(f"{self.name} logs '{why}'", told)

    def events(self, output):
        """What came out so far: the lines of the files in a directory, or what a logger sink wrote into the log."""
        if output == "log":
            return LOGGED.findall(self.said())
        lines = []
        for name in sorted(os.listdir(f"{self.directory}/{output}")):
            with open(f"{self.directory}/{output}/{name}", "rb") as f:
                lines += f.read().split(b"\n")[:-1]
        return lines

    def names(self, output):
        """Of the files in a directory, without the time of the run."""
        return [re.sub(r"\d{13}", "<now>", name) for name in sorted(os.listdir(f"{self.directory}/{output}"))]

    def wait_for(self, output, count):
        try:
            wait(f"{self.name}: {count} events in {output}", lambda: len(self.events(output)) >= count)
        except AssertionError as e:
            events = self.events(output)
            end = f"{len(events)}, the last {events[-3:]}; the log ends {self.said()[-2000:]}"
            raise AssertionError(f"{e}: {end}") from e

    def close(self):
        stop(self.process)

    def stop(self):
        code = stop(self.process)
        assert code == self.orderly, f"{self.name} ended with {code} or not within {DEADLINE} s"

"""The real release binary, longer and larger than `make test` has time for: its file channel, and tiers of agents.

    kill     SIGKILL at random moments, over and over, while netcat clients send and a sink drains
    full     a small file system fills up, is drained, and fills again
    backlog  ten million events with no sink to take them: memory, recovery, drain
    power    the power cuts of the in-process simulation, with more seeds than `make test` takes
    tiers    three agents into a pair, balanced and with failover; one of the pair is killed and comes back, under load
    outage   a chain of three, the last one away for a time: it fills tier by tier, refuses, and drains

Each prints what it saw and fails on what should not be: an acknowledged event lost, one repeated that was not in a
batch under way, one that nobody sent, memory above its bound. Standard library only; children are ended by their
process id; every wait has a deadline. `full` mounts a tmpfs and so needs root; without it, it is skipped.
"""
import argparse, collections, contextlib, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, threading
import time

from agent import BOUND, CHANNEL, DEADLINE, FILES, MIB, Agent, Failed, check, in_order, lines_of, wait
import tiers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")

NETCAT = """
a1.sources = r1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
"""
NULL = """
a1.sinks = k1
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
"""


class Client(threading.Thread):
    """Sends lines `<name> <n>` over netcat, some at a time, until the agent is gone or it is told to end."""

    def __init__(self, port, name, first, size=0):
        super().__init__()
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.name, self.next, self.pad = name, first, "x" * size
        self.sent, self.stored, self.refused = [], [], []
        self.heard = collections.Counter()
        self.ends = threading.Event()
        self.broken = None

    def run(self):
        try:
            with self.socket, self.socket.makefile("rb") as answers:
                while not self.ends.is_set():
                    lines = [f"{self.name} {n}{self.pad}" for n in range(self.next, self.next + 1 + self.next % 40)]
                    self.next += len(lines)
                    self.sent += lines
                    self.socket.sendall("".join(line + "\n" for line in lines).encode())
                    was_refused = False
                    for line in lines:
                        answer = answers.readline()
                        if not answer.endswith(b"\n"):
                            return
                        self.heard[answer.decode().strip()] += 1
                        was_refused |= answer != b"OK\n"
                        (self.stored if answer == b"OK\n" else self.refused).append(line)
                    if was_refused:
                        self.ends.wait(0.2)
        except OSError:
            pass  # the agent is gone
        except Exception as e:
            self.broken = e


def check_order(delivered):
    """Of each client the lines come in its order, first times only."""
    last = {}
    for line in dict.fromkeys(delivered):
        name, n = line.rstrip("x").split(" ")
        check(last.get(name, -1) < int(n), f"{name} {n} came after {last.get(name)}")
        last[name] = int(n)


def kill(args, directory):
    """The agent is killed at random; what was acknowledged has to come out."""
    batch, clients = 100, 4
    out = f"{directory}/out"
    os.mkdir(out)
    seed = args.seed or random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"kill: {args.rounds} rounds, seed {seed}", flush=True)
    # Two data directories, and segments that are used again many times.
    conf = CHANNEL.format(data=directory).replace("/data\n", f"/data, {directory}/data2\n") + NETCAT + FILES
    conf += f"a1.channels.c1.maxFileSize = {MIB}\na1.channels.c1.checkpointInterval = 1000\n"
    conf += f"a1.sinks.k1.sink.batchSize = {batch}\n"
    oracle, firsts = Oracle(clients, batch), [0] * clients
    moments, busy, seen = [], 0, set()

    def judge():
        """Of what has come out since it was asked last."""
        names = [n for n in in_order(os.listdir(out)) if n not in seen]
        seen.update(names)
        oracle.run(lines_of(out, names))

    for number in range(args.rounds):
        # Now and then the sink cannot work: its events pile up for the next round.
        sink = out if chance.random() < 0.8 else f"{directory}/missing"
        moment = chance.choice([0.02, 0.1, 0.5, 1.0]) * (0.5 + chance.random())
        began = time.monotonic()
        agent = Agent(args.flumed, directory, conf.format(out=sink))
        talking = []
        with contextlib.closing(agent):
            def left():
                return max(0, began + moment - time.monotonic())
            with contextlib.suppress(Failed, OSError):
                port = int(wait("port", lambda: re.search(r"source r1 started, listening on \S+:(\d+)", agent.said()),
                                left())[1])
                for i in range(clients):
                    talking.append(Client(port, f"client{i}", firsts[i]))
                    talking[-1].start()
                time.sleep(left())
            agent.kill()
        for i, client in enumerate(talking):
            client.join(DEADLINE)
            check(not client.is_alive() and not client.broken, f"{client.name}: {client.broken}")
            check(not client.refused, f"{client.name} heard {client.heard}")
            oracle.told(i, firsts[i], client.next, len(client.stored))
            firsts[i] = client.next
        busy += any(client.stored for client in talking)
        moments.append(time.monotonic() - began)
        judge()
        if (number + 1) % 20 == 0:
            print(f"  {number + 1} kills, {oracle.acknowledged} acknowledged", flush=True)
    with contextlib.closing(Agent(args.flumed, directory, conf.format(out=out))) as agent:
        wait("the channel to be empty", lambda: agent.metric("CHANNEL.c1", "ChannelSize") == 0)
        damaged = agent.metric("CHANNEL.c1", "EventDamagedCount")
        agent.stop()
    judge()
    lost = oracle.lost()
    print(f"  killed {min(moments):.2f} to {max(moments):.2f} s after the start; {busy} rounds had acknowledgements")
    print(f"  acknowledged {oracle.acknowledged}, delivered {oracle.delivered}"
          f" ({oracle.delivered + len(lost) - oracle.acknowledged} of them with an answer that a kill cut off)")
    print(f"  lost {len(lost)}, damaged {damaged}")
    print(f"  delivered again {oracle.repeated}, each of them among the last {batch} lines that a killed run wrote,"
          f" a batch of the sink; in one run {oracle.most} at most")
    check(not lost, f"{len(lost)} acknowledged events are lost, such as {lost[:3]}")
    check(not damaged, f"{damaged} events are counted as damaged")
    check(oracle.repeated <= batch * args.rounds, f"{oracle.repeated} repeats of {args.rounds} kills")


class Oracle:
    """Judges what comes out of an agent that is killed, run by run: lines `client<i> <n>`.

    Acknowledged lines come out. Of a client they come in order, but for repeats, and only the last batch of a run that
    was killed may be repeated. Nothing comes out that nobody sent."""

    def __init__(self, clients, batch):
        self.batch = batch
        self.came = [bytearray() for _ in range(clients)]  # how often, by number
        self.stored = [[] for _ in range(clients)]  # ranges
        self.ends = set()  # the last lines of runs
        self.last = [-1] * clients
        self.acknowledged = self.delivered = self.repeated = self.most = 0

    def told(self, client, first, end, stored):
        """Of the lines sent, first to end, so many were acknowledged: those in front."""
        self.came[client].extend(bytes(end - first))
        self.stored[client].append(range(first, first + stored))
        self.acknowledged += stored

    def run(self, lines):
        again = set()
        for line in lines:
            name, n = line.split(" ")
            i, n = int(name.removeprefix("client")), int(n)
            check(0 <= n < len(self.came[i]), f"nobody sent '{line}'")
            if self.came[i][n]:
                check(line in self.ends and line not in again,
                      f"'{line}' came again, and was not among the last {self.batch} lines of a run that was killed")
                again.add(line)
            else:
                self.delivered += 1
                check(self.last[i] < n, f"'{line}' came after {self.last[i]}")
                self.last[i] = n
            self.came[i][n] = 1
        self.ends.update(lines[-self.batch:])
        self.repeated += len(again)
        self.most = max(self.most, len(again))

    def lost(self):
        return [f"client{i} {n}" for i, ranges in enumerate(self.stored) for r in ranges for n in r
                if not self.came[i][n]]


def full(args, directory):
    """A small file system is filled until senders are refused, drained, and filled again."""
    if os.geteuid() != 0:
        print("full: skipped, mounting a tmpfs needs root")
        return
    disk = f"{directory}/disk"
    os.mkdir(disk)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        print(f"full: skipped, no tmpfs: {mounted.stderr.strip()}")
        return
    try:
        fill_and_drain(args, directory, disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_and_drain(args, directory, disk):
    times = min(args.rounds, 3)
    print(f"full: 96 MiB, filled {times} times", flush=True)
    conf = CHANNEL.format(data=disk) + NETCAT + FILES
    conf += f"a1.channels.c1.maxFileSize = {8 * MIB}\na1.channels.c1.keep-alive = 1\n"
    # Nothing but the disk refuses, and the sink is faster than the senders.
    conf += "a1.channels.c1.capacity = 10000000\na1.sinks.k1.sink.batchSize = 10000\n"
    outs = [f"{directory}/out{n}" for n in range(times)]
    with contextlib.closing(Agent(args.flumed, directory, conf.format(out=outs[0]))) as agent:
        port = agent.port("source r1")
        clients = [Client(port, f"client{i}", 0, 400) for i in range(4)]
        for client in clients:
            client.start()
        for n, out in enumerate(outs):
            if n > 0:
                agent.write(conf.format(out=out))
                before = agent.metric("AGENT.a1", "ConfigurationVersion")
                agent.process.send_signal(signal.SIGHUP)
                wait("the reload", lambda: agent.metric("AGENT.a1", "ConfigurationVersion") > before)
            began, marks = time.monotonic(), [len(c.refused) for c in clients]
            wait("all senders to be refused", lambda: all(len(c.refused) > m for c, m in zip(clients, marks)))
            for client in clients:
                check(client.is_alive(), f"{client.name} is gone: it heard {client.heard}")
            wait("DiskFull to be 1", lambda: agent.metric("CHANNEL.c1", "DiskFull") == 1)
            size, took = agent.metric("CHANNEL.c1", "ChannelSize"), time.monotonic() - began
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            print(f"  full after {took:.1f} s with {size} events, {free / MIB:.1f} MiB free", flush=True)
            marks = [len(c.stored) for c in clients]
            os.mkdir(out)
            began = time.monotonic()
            wait("all senders to be accepted again",
                 lambda: all(len(c.stored) > m + 200 for c, m in zip(clients, marks)))
            print(f"  all senders accepted again {time.monotonic() - began:.1f} s after the sink could work",
                  flush=True)
            wait("the sink to catch up", lambda: agent.metric("CHANNEL.c1", "ChannelSize") < size / 4)
        for client in clients:
            client.ends.set()
        for client in clients:
            client.join(DEADLINE)
            check(not client.is_alive() and not client.broken, f"{client.name}: {client.broken}")
        wait("the channel to be empty", lambda: agent.metric("CHANNEL.c1", "ChannelSize") == 0)
        peak, took, log = agent.memory(), agent.stop(), agent.said()
    delivered = [line for out in outs for line in lines_of(out, in_order(os.listdir(out)))]
    stored = {line for c in clients for line in c.stored}
    refused = {line for c in clients for line in c.refused}
    heard = sum((c.heard for c in clients), collections.Counter())
    print("  senders heard: " + ", ".join(f"{n} x '{what}'" for what, n in heard.most_common()))
    for line in re.findall(r"(?:the disk is full, nothing|has room again).*", log)[:4]:
        print(f"  log: {line}")
    lost = stored - set(delivered)
    print(f"  acknowledged {len(stored)}, delivered {len(delivered)}, lost {len(lost)}, peak RSS {peak / MIB:.1f} MiB,"
          f" stopped in {took:.2f} s", flush=True)
    check(not lost, f"{len(lost)} acknowledged events are lost")
    check(len(set(delivered)) == len(delivered), "events came twice although nothing was killed")
    check(not refused & set(delivered), "events were delivered that had been refused")
    check("channel c1 is full: the disk is full: " in log, "the log does not say why senders are refused")
    check_order(delivered)


def backlog(args, directory):
    for batch in (1, 1000):
        below = f"{directory}/{batch}"
        os.mkdir(below)
        pile_up(args, below, batch)
        shutil.rmtree(below)


def pile_up(args, directory, batch):
    """Events that no sink takes; killed, recovered, stopped, recovered, recovered without checkpoints, drained."""
    sources = 4
    each = args.events // sources
    events = each * sources
    print(f"backlog: {events} events of 500 bytes in batches of {batch} by {sources} sources", flush=True)
    channel = CHANNEL.format(data=directory) + f"a1.channels.c1.capacity = {2 * events + 10000}\n"
    stress = "a1.sources = " + " ".join(f"r{n}" for n in range(sources)) + "\n"
    for n in range(sources):
        stress += (f"a1.sources.r{n}.type = stress\na1.sources.r{n}.size = 500\na1.sources.r{n}.batchSize = {batch}\n"
                   f"a1.sources.r{n}.maxTotalEvents = {each}\na1.sources.r{n}.channels = c1\n")
    no_sink = FILES.format(out=f"{directory}/missing")

    def bounded(agent, when):
        peak = agent.memory()
        check(peak < BOUND, f"{when}: {peak / MIB:.1f} MiB of resident memory")
        return f"peak RSS {peak / MIB:.1f} MiB"

    def recovers(agent, after):
        found, took, base = agent.recovered()
        print(f"  recovery after {after}: {took:.3f} s ({base}), {bounded(agent, after)}", flush=True)
        check(found == events, f"{found} of {events} events are there after {after}")

    with contextlib.closing(Agent(args.flumed, directory, channel + stress + no_sink)) as agent:
        began = time.monotonic()

        def is_stored():
            check(agent.process.poll() is None, f"the agent ended: {agent.said()[-3000:]}")
            time.sleep(0.2)
            return agent.metric("CHANNEL.c1", "EventPutSuccessCount") >= events
        wait(f"{events} events put", is_stored, 3600)
        took = time.monotonic() - began
        time.sleep(1.5)  # it is measured once a second
        on_disk = agent.metric("CHANNEL.c1", "SegmentBytes")
        print(f"  built in {took:.1f} s ({events / took:.0f} events/s), {on_disk / (1 << 30):.2f} GiB of segments, "
              f"{bounded(agent, 'while it builds')}", flush=True)
        agent.kill()
    with contextlib.closing(Agent(args.flumed, directory, channel + NETCAT + no_sink)) as agent:
        recovers(agent, "kill -9")
        agent.wait_log("agent a1 started")
        print(f"  stopped in {agent.stop():.2f} s", flush=True)
    with contextlib.closing(Agent(args.flumed, directory, channel + NETCAT + no_sink)) as agent:
        recovers(agent, "a clean stop")
        agent.wait_log("agent a1 started")
        agent.kill()
    shutil.rmtree(f"{directory}/checkpoint")
    with contextlib.closing(Agent(args.flumed, directory, channel + NETCAT + NULL)) as agent:
        recovers(agent, "kill -9 and the loss of all checkpoints")
        began = time.monotonic()
        wait("the channel to be empty", lambda: agent.metric("CHANNEL.c1", "ChannelSize") == 0, 3600)
        took = time.monotonic() - began
        drained = agent.metric("SINK.k1", "EventDrainSuccessCount")
        damaged = agent.metric("CHANNEL.c1", "EventDamagedCount")
        rate = events / max(took, 0.001)
        print(f"  drained {drained} in {took:.1f} s ({rate:.0f} events/s), {bounded(agent, 'while it drains')}",
              flush=True)
        check(drained == events and not damaged, f"{drained} of {events} events came out, {damaged} damaged")
        agent.stop()


def power(args, _):
    """The in-process simulation: every operation of a run is followed by power cuts that take what they may."""
    print(f"power: {args.seeds} seeds", flush=True)
    ran = subprocess.run([os.environ.get("CARGO", "cargo"), "test", "--release", "--lib", "no_power_cut", "--",
                          "--nocapture"], cwd=ROOT, capture_output=True, text=True,
                         env={**os.environ, "FLUMED_SEEDS": str(args.seeds)})
    said = ran.stdout + ran.stderr
    images = re.findall(r"(\d+) images(.*)", said)
    for n, what in images:
        print(f"  {n} images{what}")
    check(ran.returncode == 0, f"a power cut lost something:\n{said[-4000:]}")
    check(len(images) >= 1, f"no images were told of:\n{said[-4000:]}")


PARTS = {"kill": kill, "full": full, "backlog": backlog, "power": power, "tiers": tiers.pairs, "outage": tiers.outage}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flumed", required=True, help="the binary")
    options.add_argument("--loadgen", required=True, help="the load generator, for `tiers` and `outage`")
    options.add_argument("--rounds", type=int, default=100, help="kills; a full disk is filled three times at most")
    options.add_argument("--events", type=int, default=10_000_000, help="of the backlog")
    options.add_argument("--seeds", type=int, default=20, help="of the simulation")
    options.add_argument("--seed", type=int, help="repeats the moments of `kill` and `tiers`")
    options.add_argument("--seconds", type=int, default=60, help="of load, for each of `tiers` and for `outage`")
    options.add_argument("--kills", type=int, default=5, help="of an agent of the pair, for each of `tiers`")
    options.add_argument("parts", nargs="*", metavar="PART", help="of " + ", ".join(PARTS) + "; all, if none is named")
    args = options.parse_args()
    args.flumed, args.loadgen = os.path.abspath(args.flumed), os.path.abspath(args.loadgen)
    unknown = [p for p in args.parts if p not in PARTS]
    if unknown:
        options.error(f"no part {unknown[0]}: there are " + ", ".join(PARTS))
    # Whoever ends this ends its agents, and the mount.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    for part in args.parts or PARTS:
        began = time.monotonic()
        # What failed stays for a look.
        directory = tempfile.mkdtemp(prefix=f"flumed-{part}-")
        try:
            PARTS[part](args, directory)
            print(f"ok      {part} ({time.monotonic() - began:.1f} s)", flush=True)
            shutil.rmtree(directory)
        except (Failed, OSError, subprocess.SubprocessError) as e:
            failed.append(part)
            print(f"FAILED  {part}: {e}\n  its files: {directory}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

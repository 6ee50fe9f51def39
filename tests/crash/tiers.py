"""Tiers of agents over Avro, under a load that knows what was acknowledged: the parts `tiers` and `outage` of soak.py.

Of an acknowledged event none may be lost. One may come twice, for three reasons, each of which is counted where it
happens: an agent of the first tier had no answer to a batch (EventPossiblyRepeatedCount) and sent it again; a load
generator had none; a killed agent had written a batch to its files and not yet committed that.
"""
import contextlib, json, os, random, re, shutil, socket, subprocess, time

from agent import BOUND, CHANNEL, FILES, MIB, Agent, check, in_order, lines_of, wait

RATE = 5000  # events a second of each load generator
BATCH = 10  # events of a call, and of a batch to files: small, so that kills meet calls under way
SINKS = ("k1", "k2")

AVRO = """
a1.sources = r1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = {port}
a1.sources.r1.channels = c1
"""
MEMORY = """
a1.channels = c1
a1.channels.c1.type = memory
"""
SENDER = """
a1.sinks.{name}.type = avro
a1.sinks.{name}.hostname = 127.0.0.1
a1.sinks.{name}.port = {port}
a1.sinks.{name}.batch-size = {batch}
a1.sinks.{name}.channel = c1
"""
GROUP = """
a1.sinkgroups = g1
a1.sinkgroups.g1.sinks = k1 k2
"""
PROCESSORS = {
    "load_balance": ["type = load_balance", "backoff = true"],
    "failover": ["type = failover", "priority.k1 = 10", "priority.k2 = 5"],
}


def free_ports(n):
    """Ports that nobody has, for agents that keep theirs when they come back."""
    with contextlib.ExitStack() as open_ones:
        found = [open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [s.getsockname()[1] for s in found]


class Tier:
    """An agent with a directory of its own, in which it can be started again."""

    def __init__(self, args, directory, name, conf):
        self.args, self.name, self.directory = args, name, f"{directory}/{name}"
        self.out, self.conf, self.agent = f"{self.directory}/out", conf, None
        os.makedirs(self.out)
        self.start()

    def start(self, out=None):
        conf = self.conf.format(data=self.directory, out=out or self.out)
        self.agent = Agent(self.args.flumed, self.directory, conf)
        self.agent.wait_log("agent a1 started")

    def close(self):
        self.agent.close()

    def metric(self, component, key):
        return self.agent.metric(component, key)

    def drained(self):
        wait(f"the channel of {self.name} to be empty", lambda: self.metric("CHANNEL.c1", "ChannelSize") == 0)

    def files(self):
        return [f"{self.out}/{name}" for name in in_order(os.listdir(self.out))]

    def lines(self):
        found = 0
        for path in self.files():
            with open(path, "rb") as f:
                found += sum(1 for _ in f)
        return found


class Load:
    """A load generator that sends to an agent and tries again until it is acknowledged."""

    def __init__(self, args, directory, number, port, seconds):
        self.ack_log, self.out = f"{directory}/acks{number}", f"{directory}/load{number}"
        self.events = RATE * seconds
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                [args.loadgen, "flume-avro", "--port", str(port), "--events", str(self.events), "--rate", str(RATE),
                 "--batch", str(BATCH), "--run", f"{number + 1:x}", "--ack-log", self.ack_log, "--retry-secs", "120",
                 "--max-secs", str(seconds + 600)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def runs(self):
        return self.process.poll() is None

    def said(self):
        with open(self.out, errors="replace") as f:
            return f.read()

    def result(self, seconds):
        """What it says of itself at its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            check(False, f"the load does not end: {self.said()[-1000:]}")
        check(code == 0, f"the load has ended with {code}: {self.said()[-1000:]}")
        result = json.loads(self.said().splitlines()[-1])
        check(result["acked"] == self.events, f"{result['acked']} of {self.events} events are acknowledged")
        return result

    def close(self):
        if self.runs():
            self.process.kill()
            self.process.wait()


def cut_pieces(files):
    """A kill may leave a piece of a line at the end of a file, which comes again as a whole; how many there were."""
    cut = 0
    for path in files:
        with open(path, "rb+") as f:
            content = f.read()
            end = content.rfind(b"\n") + 1
            cut += end < len(content)
            f.truncate(end)
    return cut


def verify(args, loads, files):
    """The load generator's judgement of what has arrived."""
    command = [args.loadgen, "verify", "--json"]
    for load in loads:
        command += ["--ack-log", load.ack_log]
    ran = subprocess.run(command + files, capture_output=True, text=True)
    print(f"  verify: {ran.stdout.strip()}", flush=True)
    seen = json.loads(ran.stdout)
    check(seen["lost_acked"] == 0, f"{seen['lost_acked']} acknowledged events are lost")
    for what in ("damaged", "never_sent", "unreadable", "unmarked_lines", "other_run", "lost_unacked"):
        check(seen[what] == 0, f"{what}: {seen[what]}")
    check(ran.returncode == 0, f"verify has ended with {ran.returncode}: {ran.stderr}")
    return seen


def again_after_kills(tier):
    """How many lines of a killed run's last batch came again in a later run: written, and not yet committed."""
    lives = {}
    for name in in_order(os.listdir(tier.out)):
        lives.setdefault(name.split("-")[0], []).append(name)
    ends, again = set(), 0
    for names in lives.values():
        lines = lines_of(tier.out, names)
        again += sum(line in ends for line in lines)
        ends.update(lines[-BATCH:])
    return again


def pairs(args, directory):
    """Three agents into a pair of which one is killed, over and over."""
    for kind, keys in PROCESSORS.items():
        below = f"{directory}/{kind}"
        os.mkdir(below)
        pair(args, below, kind, keys)
        shutil.rmtree(below)


def pair(args, directory, kind, keys):
    seed = args.seed or random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"tiers: {kind}, 3 x {RATE} events/s for {args.seconds} s, {args.kills} kills, seed {seed}", flush=True)
    ports = free_ports(2)
    senders = GROUP + "a1.sinks = k1 k2\n"
    senders += "".join(SENDER.format(name=k, port=p, batch=BATCH) for k, p in zip(SINKS, ports))
    senders += "".join(f"a1.sinkgroups.g1.processor.{key}\n" for key in keys)
    with contextlib.ExitStack() as running:
        def tier(name, conf):
            return running.enter_context(contextlib.closing(Tier(args, directory, name, conf)))
        files = FILES + f"a1.sinks.k1.sink.batchSize = {BATCH}\n"
        second = [tier(f"second{i}", AVRO.format(port=p) + CHANNEL + files) for i, p in enumerate(ports)]
        first = [tier(f"first{i}", AVRO.format(port=0) + CHANNEL + senders) for i in range(3)]
        began = time.monotonic()
        loads = [running.enter_context(contextlib.closing(
            Load(args, directory, i, f.agent.port("source r1"), args.seconds))) for i, f in enumerate(first)]
        kill_and_bring_back(second[0], loads, chance, began, args)
        results = [load.result(args.seconds + 300) for load in loads]
        for t in first + second:
            t.drained()
        repeated = sum(t.metric(f"SINK.{k}", "EventPossiblyRepeatedCount") for t in first for k in SINKS)
        told = sum(int(n) for t in first for n in re.findall(r"(\d+) events may be stored at", t.agent.said()))
        damaged = sum(t.metric("CHANNEL.c1", "EventDamagedCount") for t in first + second)
        for t in first + second:
            t.agent.stop()
    pieces = cut_pieces(second[0].files())
    print("  lines: " + ", ".join(f"{t.lines()} of {t.name}" for t in second)
          + f"; {pieces} pieces of lines at the ends of killed runs")
    seen = verify(args, loads, [f for t in second for f in t.files()])
    errors = sum(r["errors"] for r in results)
    own = again_after_kills(second[0])
    acked = sum(r["acked"] for r in results)
    print(f"  acknowledged {acked}, lost {seen['lost_acked']}, came twice {seen['dup']}: {own} of them written before a"
          f" kill and not committed, {seen['dup'] - own} sent twice; the first tier counts {repeated} possibly repeated"
          f" (and logs {told}), loads tried again {errors} times", flush=True)
    check(damaged == 0, f"{damaged} events are counted as damaged")
    check(told == repeated, f"{told} events are logged as possibly stored already, {repeated} counted")
    check(own <= args.kills * BATCH, f"{own} lines were written twice by {args.kills} kills")
    check(seen["dup"] - own <= repeated + errors * BATCH,
          f"{seen['dup'] - own} events came twice and only {repeated} were counted, with {errors} retries of loads")


def kill_and_bring_back(victim, loads, chance, began, args):
    """Kills it while it takes events, once in each part of the time, and starts it again after a moment."""
    slot = args.seconds / args.kills
    for n in range(args.kills):
        moment, away = (n + chance.uniform(0.2, 0.5)) * slot, chance.uniform(0.1, 0.4) * slot
        time.sleep(max(0, began + moment - time.monotonic()))
        wait(f"{victim.name} to take events", lambda: victim.metric("SOURCE.r1", "EventAcceptedCount") > 0)
        taken = victim.metric("SOURCE.r1", "EventAcceptedCount")
        check(all(load.runs() for load in loads), f"kill {n + 1} comes after the load's end")
        victim.agent.kill()
        killed = time.monotonic()
        time.sleep(away)
        # Every other time its files cannot be written: what it takes is for its next life to deliver.
        victim.start(f"{victim.directory}/missing" if n % 2 == 0 and n + 1 < args.kills else None)
        print(f"  kill {n + 1}, {killed - began:.1f} s after the start: it had taken {taken} events, was away for"
              f" {time.monotonic() - killed:.1f} s and found {victim.agent.recovered()[0]}", flush=True)


def outage(args, directory):
    """Channels fill from the end of a chain to its front, the front refuses, and all drains when the end is back."""
    seconds = max(args.seconds, 20)  # less is not enough to fill them
    print(f"outage: {RATE} events/s for {seconds} s, {seconds // 6} s of them before it", flush=True)
    small = "".join(f"a1.channels.c1.{key}\n"
                    for key in ("capacity = 20000", "transactionCapacity = 1000", "keep-alive = 1"))
    ports = free_ports(2)
    to = ["a1.sinks = k1\n" + SENDER.format(name="k1", port=p, batch=BATCH) for p in ports]
    with contextlib.ExitStack() as running:
        def tier(name, conf):
            return running.enter_context(contextlib.closing(Tier(args, directory, name, conf)))
        last = tier("tier3", AVRO.format(port=ports[1]) + CHANNEL + small + FILES)
        middle = tier("tier2", AVRO.format(port=ports[0]) + CHANNEL + small + to[1])
        first = tier("tier1", AVRO.format(port=0) + MEMORY + small + to[0])
        load = running.enter_context(contextlib.closing(
            Load(args, directory, 0, first.agent.port("source r1"), seconds)))
        time.sleep(seconds / 6)
        check(last.metric("SOURCE.r1", "EventAcceptedCount") > 0, "nothing has come to the last tier")
        rss = [[t.agent.memory("VmRSS") for t in (first, middle)]]
        took, stopped = last.agent.stop(), last.agent.said()
        print(f"  tier3 stopped in {took:.2f} s; fill of tier2 and tier1, in percent:", flush=True)
        fill_up(first, middle, time.monotonic())
        # For a while nothing changes, whatever the load tries.
        time.sleep(seconds / 6)
        full = [float(t.agent.metrics()["CHANNEL.c1"]["ChannelFillPercentage"]) for t in (first, middle)]
        refused = first.metric("SOURCE.r1", "EventRefusedCount")
        rss.append([t.agent.memory("VmRSS") for t in (first, middle)])
        check(min(full) > 90, f"channels are {full} percent full")
        check(load.runs(), "the load has ended")
        last.start()
        back = time.monotonic()
        wait("the front to take events again",
             lambda: float(first.agent.metrics()["CHANNEL.c1"]["ChannelFillPercentage"]) < 50)
        print(f"  refused {refused} events until tier3 was back; tier1 below 50 percent {time.monotonic() - back:.1f} s"
              " after that", flush=True)
        result = load.result(seconds + 300)
        for t in (first, middle, last):
            t.drained()
        repeated = [t.metric("SINK.k1", "EventPossiblyRepeatedCount") for t in (first, middle)]
        accepted = [t.metric("SOURCE.r1", "EventAcceptedCount") for t in (first, middle, last)]
        accepted[2] += int(re.search(r"type: SOURCE, name: r1\..* EventAcceptedCount == (\d+)", stopped)[1])
        delivered = [t.metric("SINK.k1", "EventDrainSuccessCount") for t in (first, middle)]
        peaks = [t.agent.memory() for t in (first, middle, last)]
        for t in (first, middle, last):
            t.agent.stop()
    for when, sizes in zip(("before", "at the end of"), rss):
        print(f"  RSS {when} the outage: " + ", ".join(f"{s / MIB:.1f} MiB" for s in sizes) + " of tier1 and tier2")
    print("  peak RSS: " + ", ".join(f"{p / MIB:.1f} MiB" for p in peaks))
    check(max(peaks) < BOUND, "more resident memory than the bound")
    seen = verify(args, [load], last.files())
    print(f"  acknowledged {result['acked']}, tier1 accepted {accepted[0]} and delivered {delivered[0]}, tier2 accepted"
          f" {accepted[1]} and delivered {delivered[1]}, tier3 accepted {accepted[2]}, lines {seen['lines']}; possibly"
          f" repeated {sum(repeated)}, came twice {seen['dup']}; the load tried again {result['errors']} times",
          flush=True)
    check(accepted[0] == result["acked"] and delivered == accepted[:2], "events have gone astray on their way")
    check(accepted[1] <= delivered[0] + repeated[0] and accepted[2] <= delivered[1] + repeated[1],
          "a tier has accepted more events than the one before it has sent")
    check(seen["lines"] == accepted[2] == result["acked"] + seen["dup"], "the sums are not equal")
    check(seen["dup"] <= sum(repeated), "events came twice that nobody counts as possibly repeated")


def fill_up(first, middle, began):
    """Until the front refuses; the middle has to be full before the front is."""
    is_middle_full, shown = False, None
    while True:
        check(time.monotonic() < began + 60, "the front does not fill up")
        near, far = (float(t.agent.metrics()["CHANNEL.c1"]["ChannelFillPercentage"]) for t in (first, middle))
        is_middle_full |= far > 95
        refused = first.metric("SOURCE.r1", "EventRefusedCount")
        quarters = (far // 25, near // 25, refused > 0)
        if quarters != shown:
            shown = quarters
            print(f"    {time.monotonic() - began:4.1f} s: {far:5.1f} {near:5.1f}; refused {refused}", flush=True)
        # Below that it may be a slow disk's doing.
        check(is_middle_full or near < 75, f"tier1 is {near} percent full and tier2 only {far}")
        if refused:
            return
        time.sleep(0.05)

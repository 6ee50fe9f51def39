"""flumed between peers that are not ours, over Avro: who sends, who receives, and that every event is the same.

Each case is given the binary and a directory of its own; it fails by AssertionError. Peers that a case needs are named
in front of it: versions of Flume (their agent or their SDK), `log4j2`, `avsc`.
"""
import contextlib, os, re

from children import wait
from . import events, peers


class Scene:
    """The running agents of a case, in the order in which they are stopped: the one that sends first."""

    def __init__(self, stack, flumed, directory):
        self.stack, self.flumed, self.directory, self.agents = stack, flumed, directory, []

    def add(self, make, version, name, *how, **more):
        """Starts an agent, in front of those that are there. `version` is empty for flumed."""
        agent = make(self.flumed, version, f"{self.directory}/{name}", *how, **more)
        self.stack.callback(agent.close)
        agent.started()
        self.agents.insert(0, agent)
        return agent

    def file(self, given):
        path = f"{self.directory}/events"
        events.write(path, given)
        return path

    def out(self, name):
        return f"{self.directory}/{name}/out"

    def stop(self):
        for agent in self.agents:
            if "Flume" in agent.name and agent is not self.agents[-1]:
                agent.process.kill()  # it has sent all it had, and takes ten seconds to close its Avro client
                agent.process.wait()
            else:
                agent.stop()

    def check(self, given, names, ordered=True):
        """What came out of these agents is what was given, once."""
        forms = [events.form(e) for e in given]
        outs = [self.out(name) for name in names]
        events.arrived(outs, forms, self.agents)
        self.stop()
        events.same([e for out in outs for e in events.rolled(out)], forms, ordered)


def scene(act):
    """A case from a function that has a Scene."""
    def case(flumed, directory):
        with contextlib.ExitStack() as stack:
            act(Scene(stack, flumed, directory))
    return case


def from_sdk(version, deflate=False, **how):
    """SDK client -> flumed."""
    @scene
    def case(s):
        given = events.given() if how.get("batch", 50) else events.given(50)
        agent = s.add(peers.last, "", "flumed", deflate and peers.DEFLATE)
        more = {"compression_type": "deflate", "compression_level": 9} if deflate else {}
        retries = peers.sdk(version, s.file(given), [agent.port], **how, **more)
        assert retries == 0, f"{retries} retries"
        s.check(given, ["flumed"], ordered=how.get("threads", 1) == 1)
    return case


def load_balanced(version):
    """SDK load-balancing client, three threads -> two flumed."""
    @scene
    def case(s):
        given = events.given(2000)
        ports = [s.add(peers.last, "", name).port for name in ("one", "two")]
        peers.sdk(version, s.file(given), ports, threads=3, batch=10, kind="default_loadbalance",
                  host_selector="round_robin")
        s.check(given, ["one", "two"], ordered=False)
        shares = [len(events.rolled(s.out(name))) for name in ("one", "two")]
        assert min(shares) > len(given) // 4, f"not balanced: {shares}"
    return case


def failed_over(version):
    """SDK failover client -> two flumed; the first is stopped on the way. What it had acknowledged is in its file, and
    only the batches that it may have stored without an answer are sent again."""
    @scene
    def case(s):
        given, batch = events.numbered(60_000), 20
        one, two = [s.add(peers.last, "", name) for name in ("one", "two")]
        path = s.file(given)
        with peers.start_sdk(version, path, [one.port, two.port], batch=batch, kind="default_failover") as process:
            wait("some events arrive", lambda: events.size(s.out("one")) > 50_000)
            assert process.poll() is None, "all was sent before the first agent could be stopped"
            s.agents.remove(one)
            one.stop()
            peers.sent(peers.ended(process), path, 1)
        forms = [events.form(e) for e in given]
        events.arrived([s.out("one"), s.out("two")], forms, s.agents)
        s.stop()
        shares = [events.rolled(s.out(name)) for name in ("one", "two")]
        assert all(shares), f"all went to one: {[len(share) for share in shares]}"
        again = sum(map(len, shares)) - len(forms)
        assert 0 <= again <= batch, f"{again} events came twice"
        assert set(shares[0]) | set(shares[1]) == set(forms), "events are lost"
    return case


def from_log4j2(batch):
    """log4j2's appender -> flumed; bodies have many lines, so records are told apart by their headers."""
    @scene
    def case(s):
        agent = s.add(peers.last, "", "flumed")
        given = peers.log4j2(agent.port, f"{s.directory}/logged", 300, batch)

        def came():
            with open(f"{s.out('flumed')}/{os.listdir(s.out('flumed'))[0]}", "rb") as f:
                return re.split(rb"^(?=\{[^\n{}]*guId=)", f.read(), flags=re.MULTILINE)[1:]
        wait("300 events", lambda: len(came()) == len(given))
        s.stop()
        got = []
        for record in came():
            headers, body = re.fullmatch(rb"\{([^\n]*?)\} (.*)\n", record, re.DOTALL).groups()
            pairs = [pair for pair in headers.split(b", ") if not pair.startswith(b"guId=")]
            got.append(b"{" + b", ".join(sorted(pairs)) + b"} " + body)
        events.same(got, [events.form(e) for e in given], True)
        assert sum(b"Caused by: " in e for e in got) == 30, "no exceptions among them"
    return case


def from_avsc(batch, window):
    """avsc client -> flumed: hash and text of its own."""
    @scene
    def case(s):
        given = events.given(50 if batch == 0 else 400)
        agent = s.add(peers.last, "", "flumed")
        said = peers.avsc_client(agent.port, s.file(given), batch, window)
        assert "handshake NONE" in said, f"no handshake with an unknown hash: {said}"
        s.check(given, ["flumed"])
    return case


def from_flume(version, deflate):
    """SDK -> Flume's avro sink -> flumed."""
    @scene
    def case(s):
        given = events.given()
        last = s.add(peers.last, "", "flumed", deflate and peers.DEFLATE)
        relay = s.add(peers.relay, version, "flume", last.port, sink=deflate and peers.DEFLATE)
        peers.sdk(version, s.file(given), [relay.port])
        s.check(given, ["flumed"])
    return case


def to_flume(version, deflate):
    """SDK -> flumed's avro sink -> Flume."""
    @scene
    def case(s):
        given = events.given()
        last = s.add(peers.last, version, "flume", deflate and peers.DEFLATE)
        relay = s.add(peers.relay, "", "flumed", last.port, sink=deflate and peers.DEFLATE)
        peers.sdk(version, s.file(given), [relay.port])
        s.check(given, ["flume"], ordered=version.startswith("1.9."))  # 1.11 may store calls that overlap out of order
    return case


def to_avsc(refuse):
    """SDK -> flumed's avro sink -> avsc server, which does not know the hash; and may refuse some batches."""
    @scene
    def case(s):
        given = events.given()
        path = f"{s.directory}/received"
        port = peers.avsc_server(s.stack, path, refuse)
        relay = s.add(peers.relay, "", "flumed", port)
        peers.sdk("1.11.0", s.file(given), [relay.port])

        def came():
            with open(path, "rb") as f:
                return f.read().count(b"\n") >= len(given)
        wait(f"{len(given)} events at avsc", came)
        s.stop()
        events.same([events.form(e) for e in events.read(path)], [events.form(e) for e in given], not refuse)
    return case


SDK_CASES = [
    (f"source-sdk-{version}-{name}", [version], case)
    for version in ("1.11.0", "1.9.0")
    for name, case in [
        ("append", from_sdk(version, batch=0)),
        ("batch", from_sdk(version)),
        ("deflate", from_sdk(version, deflate=True)),
        ("clients", from_sdk(version, threads=4, batch=7)),
        ("pipelined", from_sdk(version, threads=8, batch=3, shared=True)),
        ("load-balance", load_balanced(version)),
        ("failover", failed_over(version)),
    ]
]
FLUME_CASES = [
    (f"{which}-flume-{version}" + ("-deflate" if deflate else ""), [version], make(version, deflate))
    for which, make in (("source", from_flume), ("sink", to_flume))
    for version in ("1.11.0", "1.9.0")
    for deflate in (False, True)
]
CASES = SDK_CASES + [
    ("source-log4j2", ["log4j2"], from_log4j2(1)),
    ("source-log4j2-batch", ["log4j2"], from_log4j2(20)),
    ("source-avsc-append", ["avsc"], from_avsc(0, 1)),
    ("source-avsc-batch", ["avsc"], from_avsc(25, 8)),
    *FLUME_CASES,
    ("sink-avsc", ["avsc", "1.11.0"], to_avsc(0)),
    ("sink-avsc-refused", ["avsc", "1.11.0"], to_avsc(3)),
]

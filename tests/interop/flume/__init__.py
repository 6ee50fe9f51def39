"""flumed beside real Apache Flume: the same configuration, the same input, and what comes out compared.

The configurations in configs/ are of the kind that people publish; both agents get them with only ports and directories
put in. A case feeds each agent alike and notes what it answered and what came out. All of that has to be equal, but for
what flumed does otherwise on purpose (README, "Differences from Flume"): a case lists each such place with the reason,
and what each side then does is checked too. Cases of `takeover` have the agents one after the other, on one channel.
"""
import contextlib, os, re, subprocess, tempfile, threading, time

from .agents import PEER, Agent
from . import cases, posted, takeover

VERSIONS = ["1.11.0", "1.9.0"]
CASES = cases.CASES + posted.CASES
CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs")
UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def run(flumed, only):
    """All cases whose names hold `only`; gives how many passed, failed and were skipped."""
    wanted = [(c, v) for c in CASES for v in VERSIONS if only in f"flume-{v}-{c.name}"]
    absent = {v: unavailable(v) for v in VERSIONS if any(v == version for _, version in wanted)}
    tally = {"ok": 0, "FAILED": 0, "skipped": 0}
    for case in CASES:
        versions = [v for c, v in wanted if c is case]
        began = time.monotonic()
        outcomes = {v: ("skipped", absent[v]) for v in versions if absent[v]}
        present = [v for v in versions if not absent[v]]
        if present:
            outcomes.update(compare(case, flumed, present))
        for version in versions:
            outcome, what = outcomes[version]
            tally[outcome] += 1
            print(f"{outcome:7} flume-{version}-{case.name}"
                  + (f": {what}" if what else f" ({time.monotonic() - began:.2f} s)"), flush=True)
    for name, case in takeover.CASES:
        for version in (v for v in VERSIONS if only in f"flume-{v}-{name}"):
            began = time.monotonic()
            outcome, what = one_after_the_other(case, flumed, version)
            tally[outcome] += 1
            print(f"{outcome:7} flume-{version}-{name}"
                  + (f": {what}" if what else f" ({time.monotonic() - began:.2f} s)"), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def one_after_the_other(case, flumed, version):
    absent = unavailable(version)
    if absent:
        return "skipped", absent
    try:
        with tempfile.TemporaryDirectory() as directory:
            case(flumed, version, directory)
        return "ok", ""
    except Exception as e:  # one case is not the end of all
        return "FAILED", str(e) if isinstance(e, AssertionError) else repr(e)


def unavailable(version):
    """Why there is no such Flume here, if so."""
    prepared = subprocess.run([PEER, "prepare", version], capture_output=True, text=True)
    return prepared.returncode and (prepared.stderr.strip() or f"scripts/flume-peer: exit code {prepared.returncode}")


def compare(case, flumed, versions):
    """Runs the agents side by side; gives for each version of Flume how it went."""
    seen, broken = {}, {}

    def one(version):
        try:
            with tempfile.TemporaryDirectory() as directory:
                seen[version] = observe(case, flumed, version, directory)
        except Exception as e:  # else it would end with this thread, unseen
            broken[version] = str(e) if isinstance(e, AssertionError) else repr(e)

    threads = [threading.Thread(target=one, args=(version,)) for version in ["", *versions]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = {}
    for version in versions:
        wrong = [broken[v] for v in ("", version) if v in broken]
        wrong = wrong or differences(case, version, seen[version], seen[""])
        outcomes[version] = ("FAILED", "; ".join(wrong)) if wrong else ("ok", "")
    return outcomes


def observe(case, flumed, version, directory):
    """Runs one agent through the case; gives what was seen, by name."""
    began = int(time.time() * 1000)
    with contextlib.closing(Agent(flumed, version, f"{CONFIGS}/{case.name}.conf", directory, case.prepare)) as agent:
        agent.started()
        seen = case.feed(agent)
        for output in case.outputs:
            agent.wait_for(output, case.expected(output, version))
        seen.update(case.look(agent))
        agent.stop()
        for output in case.outputs:
            events = agent.events(output)
            want = case.expected(output, version)
            assert len(events) == want, f"{agent.name}: {len(events)} events in {output}, not {want}"
            for label, group in case.groups(events):
                seen[f"{output} {label}"] = [steady(case, e, began) for e in group]
    return seen


def steady(case, event, began):
    """An event with what no two runs share replaced, once it is found to be sound."""
    for header in case.now:
        def within(found):
            assert began - 2000 <= int(found[2]) <= time.time() * 1000 + 2000, f"no time of this run: {found[0]}"
            return found[1] + b"<now>"
        event = re.sub(rb"(\b%s=)(\d{13})\b" % header, within, event)
    event = re.sub(UUID, b"<uuid>", event)
    return event if case.ordered else re.sub(rb"(?<=\{)[^{}]+(?=\})", in_order, event, count=1)


def in_order(headers):
    return b", ".join(sorted(headers[0].split(b", ")))


def differences(case, version, theirs, ours):
    """What is not as it should be, in words."""
    wrong = []
    for name in sorted(theirs.keys() | ours.keys()):
        flume, flumed = theirs.get(name), ours.get(name)
        known = case.differs.get(name)
        want = (known.theirs(version), known.flumed) if known else (flume, flume)
        if flume != want[0]:
            wrong.append(f"{name}: Flume gave {brief(flume, want[0])}, known is {brief(want[0], flume)}")
        if flumed != want[1]:
            wrong.append(f"{name}: flumed gave {brief(flumed, want[1])}, not {brief(want[1], flumed)}"
                         + (f" ({known.why})" if known else ""))
    return wrong


def brief(got, other):
    """What differs of a list, shortened."""
    if isinstance(got, list) and isinstance(other, list):
        for at, event in enumerate(got):
            if at >= len(other) or event != other[at]:
                return f"number {at} of {len(got)}: {brief(event, None)}"
        return f"{len(got)}"
    text = repr(got)
    return text if len(text) < 500 else f"{text[:240]} ... {text[-240:]}"

"""The cases of flumed between HTTP peers. Those whose peers cannot be had here are skipped, with the reason."""
import shutil, time

from flume import VERSIONS, unavailable
from rpc import one
from . import cases, sinks

CASES = [(f"http-{name}", needs, case) for name, needs, case in cases.CASES + sinks.CASES]


def run(flumed, only):
    """All cases whose names hold `only`; gives how many passed, failed and were skipped."""
    tally, absent = {"ok": 0, "FAILED": 0, "skipped": 0}, {}
    for name, needs, case in CASES:
        if only not in name:
            continue
        for need in needs:
            if need not in absent:
                absent[need] = missing(need)
        why = "; ".join(absent[need] for need in needs if absent[need])
        began = time.monotonic()
        outcome, what = ("skipped", why) if why else one(case, flumed)
        tally[outcome] += 1
        print(f"{outcome:7} {name}" + (f": {what}" if what else f" ({time.monotonic() - began:.2f} s)"), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def missing(need):
    """Why this is not here, if so."""
    if need in VERSIONS:
        return unavailable(need)
    return "" if shutil.which(need) else f"no {need} on this machine"

"""Real syslog senders against the real flumed: what they send comes out, with the right headers, from each of its syslog
sources, over UDP, TCP (lines and counted octets) and TLS.

Each case starts an agent of its own on a port the kernel chose, lets one peer send, waits until all events are in
the file (written with headers, by header_and_text), stops the agent and compares.
"""
import contextlib, tempfile, time

from rpc.certs import Certificates
from .cases import CASES
from .senders import missing


def run(flumed, only):
    """All cases whose names hold `only`; gives how many passed, failed and were skipped."""
    tally, absent = {"ok": 0, "FAILED": 0, "skipped": 0}, {}
    with contextlib.ExitStack() as stack:
        made = []

        def certs():
            if not made:
                made.append(Certificates(stack.enter_context(tempfile.TemporaryDirectory()) + "/certificates", java=False))
            return made[0]
        for case in CASES:
            if only not in case.name:
                continue
            for need in case.needs:
                if need not in absent:
                    absent[need] = missing(need)
            why = "; ".join(absent[need] for need in case.needs if absent[need])
            began = time.monotonic()
            outcome, what = ("skipped", why) if why else one(case, flumed, certs)
            tally[outcome] += 1
            print(f"{outcome:7} {case.name}" + (f": {what}" if what else f" ({time.monotonic() - began:.2f} s)"), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def one(case, flumed, certs):
    try:
        with tempfile.TemporaryDirectory() as directory:
            case.run(flumed, directory, certs)
        return "ok", ""
    except Exception as e:  # one case is not the end of all
        return "FAILED", str(e) if isinstance(e, AssertionError) else repr(e)

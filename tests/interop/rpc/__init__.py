"""RPC with peers that are not ours: Flume's agents and its SDK over Avro and Thrift, log4j2's Flume appender, npm avsc, two
Thrift libraries for Python; the same over TLS; and chains of agents. Cases whose peers cannot be had here are skipped,
with the reason."""
import os, shutil, subprocess, tempfile, time

from flume import unavailable
from .peers import AVSC, THRIFT
from . import cases, chain, thrift_cases, tls_cases

CASES = [
    (f"{kind}-{name}", needs, case)
    for kind, found in (("avro", cases.CASES), ("thrift", thrift_cases.CASES), ("tls", tls_cases.CASES))
    for name, needs, case in found
] + chain.CASES


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
        took = f" ({time.monotonic() - began:.2f} s)"
        print(f"{outcome:7} {name}" + (f": {what}" if what else took), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def missing(need):
    """Why this peer is not here, if so."""
    if need == "keytool":
        return "" if shutil.which(need) else "no keytool on this machine"
    script = {"avsc": AVSC, "thrift": THRIFT}.get(need)
    if not script:
        return unavailable(need)
    prepared = subprocess.run([script, "prepare"], capture_output=True, text=True)
    said = prepared.stderr.strip() or f"{os.path.basename(script)}: exit code {prepared.returncode}"
    return said if prepared.returncode else ""


def one(case, flumed):
    try:
        with tempfile.TemporaryDirectory() as directory:
            case(flumed, directory)
        return "ok", ""
    except Exception as e:  # one case is not the end of all
        return "FAILED", str(e) if isinstance(e, AssertionError) else repr(e)

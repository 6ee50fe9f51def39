"""Avro RPC with peers that are not ours: Flume's agents and its SDK, log4j2's Flume appender, npm avsc; and a chain of
agents. Cases whose peers cannot be had here are skipped, with the reason."""
import os, subprocess, tempfile, time

from flume import unavailable
from .peers import AVSC
from . import cases, chain


def run(flumed, only):
    """All cases whose names hold `only`; gives how many passed, failed and were skipped."""
    tally, absent = {"ok": 0, "FAILED": 0, "skipped": 0}, {}
    for name, needs, case in cases.CASES + chain.CASES:
        if only not in f"avro-{name}":
            continue
        for need in needs:
            if need not in absent:
                absent[need] = missing(need)
        why = "; ".join(absent[need] for need in needs if absent[need])
        began = time.monotonic()
        outcome, what = ("skipped", why) if why else one(case, flumed)
        tally[outcome] += 1
        took = f" ({time.monotonic() - began:.2f} s)"
        print(f"{outcome:7} avro-{name}" + (f": {what}" if what else took), flush=True)
    return tally["ok"], tally["FAILED"], tally["skipped"]


def missing(need):
    """Why this peer is not here, if so."""
    if need != "avsc":
        return unavailable(need)
    prepared = subprocess.run([AVSC, "prepare"], capture_output=True, text=True)
    return prepared.returncode and (prepared.stderr.strip() or f"scripts/avsc-peer: exit code {prepared.returncode}")


def one(case, flumed):
    try:
        with tempfile.TemporaryDirectory() as directory:
            case(flumed, directory)
        return "ok", ""
    except Exception as e:  # one case is not the end of all
        return "FAILED", str(e) if isinstance(e, AssertionError) else repr(e)

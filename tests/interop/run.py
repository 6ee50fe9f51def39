"""Peers that are not ours against the real flumed. The packages: `syslogs` has real syslog senders, `flume` Apache Flume beside
flumed, `rpc` peers over Avro and Thrift, `web` HTTP clients and Flume's HTTP source and sink, `tls` TLS.

`--record` lets the syslog senders talk to a plain recorder and writes tests/data/syslog: the bytes, and what is to come of them
by an oracle of its own. Standard library only; children are stopped by their process id; every wait has a deadline.
"""
import argparse, os, re, subprocess, sys

import flume, rpc, syslogs, tls
from syslogs.record import record
from web import hops


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flumed", required=True, help="the binary")
    options.add_argument("--record", action="store_true", help="write tests/data/syslog instead")
    options.add_argument("--only", default="", help="cases with this in their name")
    args = options.parse_args()
    for peer in (["logger", "--version"], ["rsyslogd", "-v"]):
        version = subprocess.run(peer, capture_output=True, text=True).stdout
        print(re.match(r"[^\n(]*", version)[0].strip())
    print(f"Python {sys.version.split()[0]}", flush=True)
    if args.record:
        return record(args.only)
    failed = passed = skipped = 0
    for package in (syslogs, flume, rpc, hops, tls):
        tally = package.run(os.path.abspath(args.flumed), args.only)
        passed, failed, skipped = passed + tally[0], failed + tally[1], skipped + tally[2]
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed + skipped else 0


if __name__ == "__main__":
    sys.exit(main())

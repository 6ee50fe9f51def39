"""flumed -> Flume -> flumed -> Flume over Avro: every event comes out of the last once, headers and body as they were.

    python3 tests/interop/rpc/chain.py --flumed BINARY [--events N] [--deflate]

Flume's SDK sends on two connections; the Flume agents are 1.11.0 and 1.9.0. `scripts/flume-peer prepare` for both comes
first.
"""
import argparse, contextlib, os, sys, tempfile, time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rpc import events, peers
from rpc.cases import Scene

CI = 20_000
BATCH = 500


def run(s, count, deflate):
    """Gives the seconds from the first event sent to the last one in the file."""
    given = events.numbered(count)
    path = s.file(given)
    last = s.add(peers.last, "1.9.0", "last", deflate=deflate)
    third = s.add(peers.relay, "", "third", last.port, deflate, deflate, batch=BATCH)
    second = s.add(peers.relay, "1.11.0", "second", third.port, deflate, deflate, batch=BATCH)
    first = s.add(peers.relay, "", "first", second.port, deflate, deflate, batch=BATCH)
    began = time.monotonic()
    with peers.start_sdk("1.11.0", path, [first.port], threads=2, batch=BATCH,
                         compression_type="deflate" if deflate else "none") as sdk:
        forms = [events.form(e) for e in given]
        events.arrived([s.out("last")], forms, s.agents)
        took = time.monotonic() - began
        peers.sent(peers.ended(sdk), path, 2)
    s.stop()
    events.same(events.rolled(s.out("last")), forms, ordered=False)
    return took


def case(deflate):
    def act(flumed, directory):
        with contextlib.ExitStack() as stack:
            run(Scene(stack, flumed, directory), CI, deflate)
    return act


CASES = [("chain", ["1.11.0", "1.9.0"], case(False)), ("chain-deflate", ["1.11.0", "1.9.0"], case(True))]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flumed", required=True, help="the binary")
    options.add_argument("--events", type=int, default=CI)
    options.add_argument("--deflate", action="store_true")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        took = run(Scene(stack, os.path.abspath(args.flumed), directory), args.events, args.deflate)
    print(f"{args.events} events came through once each, in {took:.1f} s" + (" (deflate)" if args.deflate else ""))


if __name__ == "__main__":
    main()

"""flumed -> Flume -> flumed -> Flume: every event comes out of the last once, headers and body as they were.

    python3 tests/interop/rpc/chain.py --flumed BINARY [--events N] [--thrift compact|binary] [--deflate | --tls]
    python3 tests/interop/rpc/chain.py --flumed BINARY [--events N] [--thrift compact|binary] --mutual

Avro, or Thrift on all ways. Flume's SDK sends on two connections; the Flume agents are 1.11.0 and 1.9.0. `scripts/flume-peer
prepare` for both comes first. --mutual: flumed -> flumed over TLS with certificates on both ends, as Flume has none as a client.
"""
import argparse, contextlib, os, sys, tempfile, time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rpc import events, peers
from rpc.cases import Scene
from rpc.certs import Certificates

CI = 20_000
BATCH = 500


def agents(s, source, sink):
    """Of the chain; gives the port of the first."""
    last = s.add(peers.last, "1.9.0", "last", source)
    third = s.add(peers.relay, "", "third", last.port, source, sink, batch=BATCH)
    second = s.add(peers.relay, "1.11.0", "second", third.port, source, sink, batch=BATCH)
    return s.add(peers.relay, "", "first", second.port, source, sink, batch=BATCH).port


def run(s, count, thrift=None, deflate=False, tls=False, mutual=False):
    """Gives the seconds from the first event sent to the last one in the file. `thrift`: its protocol."""
    given = events.numbered(count)
    path = s.file(given)
    kind = {"type": "thrift", "protocol": thrift} if thrift else {"type": "avro"}
    kind.update(peers.DEFLATE if deflate else {})
    certs = Certificates(f"{s.directory}/certificates") if tls or mutual else None
    if mutual:
        server, client = certs.mutual()
        last = s.add(peers.last, "", "last", {**kind, **server})
        port = s.add(peers.relay, "", "first", last.port, kind, {**kind, **client}, batch=BATCH).port
        properties = kind
    elif tls:
        properties = {**kind, **certs.store("truststore", "trust.p12")}
        port = agents(s, {**kind, **certs.store("keystore", "server.p12")}, properties)
    else:
        port, properties = agents(s, kind, kind), kind
    properties = {name.replace("-", "_"): value for name, value in properties.items() if name != "type"}
    began = time.monotonic()
    with peers.start_sdk("1.11.0", path, [port], threads=2, batch=BATCH, kind="thrift" if thrift else "default",
                         **properties) as sdk:
        forms = [events.form(e) for e in given]
        events.arrived([s.out("last")], forms, s.agents)
        took = time.monotonic() - began
        peers.sent(peers.ended(sdk), path, 2)
    s.stop()
    events.same(events.rolled(s.out("last")), forms, ordered=False)
    return took


def case(**how):
    def act(flumed, directory):
        with contextlib.ExitStack() as stack:
            run(Scene(stack, flumed, directory), CI, **how)
    return act


CASES = [
    (name, ["1.11.0", "1.9.0"], case(**how))
    for name, how in [
        ("avro-chain", {}),
        ("avro-chain-deflate", {"deflate": True}),
        ("thrift-chain-compact", {"thrift": "compact"}),
        ("thrift-chain-binary", {"thrift": "binary"}),
        ("tls-chain-avro", {"tls": True}),
        ("tls-chain-thrift", {"thrift": "compact", "tls": True}),
    ]
]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flumed", required=True, help="the binary")
    options.add_argument("--events", type=int, default=CI)
    options.add_argument("--thrift", choices=["compact", "binary"])
    options.add_argument("--deflate", action="store_true")
    options.add_argument("--tls", action="store_true")
    options.add_argument("--mutual", action="store_true")
    args = options.parse_args()
    how = {"thrift": args.thrift, "deflate": args.deflate, "tls": args.tls, "mutual": args.mutual}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        took = run(Scene(stack, os.path.abspath(args.flumed), directory), args.events, **how)
    words = ", ".join(f"{name} {value}" if name == "thrift" else name for name, value in how.items() if value)
    print(f"{args.events} events came through once each, in {took:.1f} s" + (f" ({words})" if words else ""))


if __name__ == "__main__":
    main()

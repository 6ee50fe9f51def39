"""Two Thrift libraries, Apache's `thrift` and `thriftpy2`, as clients and servers of Flume's protocol: framed transport.

    scripts/thrift-peer run thrift_peer.py client LIBRARY PROTOCOL PORT FILE BATCH
        sends the events of FILE (see events.py), BATCH in each appendBatch (0: append); prints what each call was answered,
        each answer once with how often it came
    ... odd LIBRARY PROTOCOL PORT
        calls a method that there is not, appends an event without a body, then a good one; prints a line for each
    ... unknown LIBRARY PROTOCOL PORT
        the same without the event that has no body
    ... server LIBRARY PROTOCOL FILE REFUSE
        prints the port it listens on, then appends the events that come to FILE until it is ended; every call whose number
        is a multiple of REFUSE is answered FAILED and not written

LIBRARY: apache or thriftpy2. PROTOCOL: compact or binary. For Apache's library this is what its compiler would have made
of flume.thrift; thriftpy2 reads the file.
"""
import collections, os, socket, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from rpc import events

OK, FAILED = 0, 1
TIMEOUT = 20_000


class Apache:
    """Its client and server, with the structures of the protocol."""

    def __init__(self, protocol):
        from thrift import Thrift
        from thrift.Thrift import TType
        from thrift.protocol import TBase, TBinaryProtocol, TCompactProtocol
        from thrift.transport import TSocket, TTransport
        self.Thrift, self.TSocket, self.TTransport = Thrift, TSocket, TTransport
        self.protocol = {
            "compact": TCompactProtocol.TCompactProtocolAcceleratedFactory(),
            "binary": TBinaryProtocol.TBinaryProtocolAcceleratedFactory(),
        }[protocol]

        def struct(name, *fields):
            spec = (None,) * (fields[0][0] if fields else 0) + fields

            def init(self, **values):
                for _, _, field, _, _ in fields:
                    setattr(self, field, values.get(field))
            return type(name, (TBase.TBase,), {"thrift_spec": spec, "__init__": init})
        text = (TType.STRING, "UTF8")
        self.Event = struct("ThriftFlumeEvent", (1, TType.MAP, "headers", (*text, *text, False), None),
                            (2, TType.STRING, "body", "BINARY", None))
        event = [self.Event, self.Event.thrift_spec]
        self.arguments = {
            "append": struct("append_args", (1, TType.STRUCT, "event", event, None)),
            "appendBatch": struct("appendBatch_args", (1, TType.LIST, "events", (TType.STRUCT, event, False), None)),
            "forget": struct("forget_args", (1, TType.STRING, "name", "UTF8", None)),
        }
        self.Result = struct("result", (0, TType.I32, "success", None, None))

    def connect(self, port):
        connection = self.TSocket.TSocket("127.0.0.1", port)
        connection.setTimeout(TIMEOUT)
        self.transport = self.TTransport.TFramedTransport(connection)
        self.transport.open()
        self.wire, self.number = self.protocol.getProtocol(self.transport), 0

    def call(self, name, /, **arguments):
        self.number += 1
        self.wire.writeMessageBegin(name, self.Thrift.TMessageType.CALL, self.number)
        self.arguments[name](**arguments).write(self.wire)
        self.wire.writeMessageEnd()
        self.transport.flush()
        answered, kind, number = self.wire.readMessageBegin()
        assert (answered, number) == (name, self.number), f"{answered} {number}, not {name} {self.number}"
        if kind == self.Thrift.TMessageType.EXCEPTION:
            wrong = self.Thrift.TApplicationException()
            wrong.read(self.wire)
            self.wire.readMessageEnd()
            raise wrong
        result = self.Result()
        result.read(self.wire)
        self.wire.readMessageEnd()
        return result.success

    def serve(self, store):
        """One thread for each connection, with the library's framing and protocol."""
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        while True:
            accepted = listener.accept()[0]
            connection = self.TSocket.TSocket()
            connection.setHandle(accepted)
            threading.Thread(target=self.answer, args=(connection, store), daemon=True).start()

    def answer(self, connection, store):
        transport = self.TTransport.TFramedTransport(connection)
        wire = self.protocol.getProtocol(transport)
        while True:
            try:
                name, _, number = wire.readMessageBegin()
            except self.TTransport.TTransportException:
                return connection.close()
            given = self.arguments[name]()
            given.read(wire)
            wire.readMessageEnd()
            status = store([given.event] if name == "append" else given.events)
            wire.writeMessageBegin(name, self.Thrift.TMessageType.REPLY, number)
            self.Result(success=status).write(wire)
            wire.writeMessageEnd()
            transport.flush()


class Thriftpy2:
    def __init__(self, protocol):
        import thriftpy2
        from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory
        from thriftpy2.transport import TFramedTransportFactory
        self.loaded = thriftpy2.load(f"{HERE}/flume.thrift", module_name="flume_thrift")
        self.service, self.Event = self.loaded.ThriftSourceProtocol, self.loaded.ThriftFlumeEvent
        self.how = {"proto_factory": {"compact": TCompactProtocolFactory, "binary": TBinaryProtocolFactory}[protocol](),
                    "trans_factory": TFramedTransportFactory()}

    def connect(self, port):
        from thriftpy2.rpc import make_client
        self.client = make_client(self.service, "127.0.0.1", port, timeout=TIMEOUT, **self.how)

    def call(self, name, /, **arguments):
        return getattr(self.client, name)(**arguments)

    def serve(self, store):
        from thriftpy2.server import TThreadedServer
        from thriftpy2.thrift import TProcessor
        from thriftpy2.transport import TServerSocket

        class Handler:
            def append(self, event):
                return store([event])

            def appendBatch(self, events):
                return store(events)
        listener = TServerSocket(host="127.0.0.1", port=0, client_timeout=None)
        listener.listen()
        listener.listen = lambda: None  # it does
        print(listener.sock.getsockname()[1], flush=True)
        TThreadedServer(TProcessor(self.service, Handler()), listener, iprot_factory=self.how["proto_factory"],
                        itrans_factory=self.how["trans_factory"]).serve()


def client(library, port, path, batch):
    library.connect(port)
    waiting = [library.Event(headers=headers, body=body) for headers, body in events.read(path)]
    answers, size = collections.Counter(), max(batch, 1)
    for at in range(0, len(waiting), size):
        part = waiting[at:at + size]
        if batch == 0:
            answers[library.call("append", event=part[0])] += 1
        else:
            answers[library.call("appendBatch", events=part)] += 1
    for status, times in sorted(answers.items()):
        print(f"status {status} {times} times")


def odd(library, port, bodiless=True):
    library.connect(port)
    calls = [("forget", {"name": "all"}), ("append", {"event": library.Event(headers={"k": "v"})}),
             ("append", {"event": library.Event(headers={"k": "v"}, body=b"good")})]
    for name, arguments in calls if bodiless else calls[::2]:
        try:
            print(f"{name}: status {library.call(name, **arguments)}")
        except Exception as e:  # each library has its own
            print(f"{name}: {type(e).__name__} {e.type}: {e.message}")


def server(library, path, refuse):
    lock, calls = threading.Lock(), 0

    def store(received):
        nonlocal calls
        with lock:
            calls += 1
            if refuse and calls % refuse == 0:
                return FAILED
            events.write(path, [(e.headers, e.body) for e in received], "ab")
            return OK
    library.serve(store)


def main():
    role, library, protocol, *words = sys.argv[1:]
    library = {"apache": Apache, "thriftpy2": Thriftpy2}[library](protocol)
    if role == "client":
        client(library, int(words[0]), words[1], int(words[2]))
    elif role in ("odd", "unknown"):
        odd(library, int(words[0]), role == "odd")
    else:
        server(library, words[0], int(words[1]))


if __name__ == "__main__":
    main()

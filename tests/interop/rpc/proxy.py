"""A TCP proxy on loopback that notes what passes: which side sent, in which order, in which pieces."""
import contextlib, socket, threading

from children import DEADLINE, wait


class Proxy:
    """`connections`: for each one what passed, (direction, bytes); no bytes mean that this side has ended."""

    def __init__(self, stack, port):
        self.to, self.connections, self.lock = port, [], threading.Lock()
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # until the listener is closed
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.to), DEADLINE)
                server.settimeout(None)
                passed = []
                self.connections.append(passed)
                for direction, source, sink in ((">", client, server), ("<", server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.carry, args=(passed, direction, source, sink), daemon=True).start()

    def carry(self, passed, direction, source, sink):
        piece = b"-"
        while piece:
            try:
                piece = source.recv(65536)
            except ConnectionError:
                piece = b""
            with self.lock:  # noted before the other side can answer it
                passed.append((direction, piece))
            with contextlib.suppress(OSError):
                sink.sendall(piece) if piece else sink.shutdown(socket.SHUT_WR)

    def ended(self):
        """What passed on each connection, once both sides of all have ended."""
        wait("the connections end", lambda: self.connections and all(
            {d for d, piece in passed if not piece} == {"<", ">"} for passed in self.connections))
        return self.connections

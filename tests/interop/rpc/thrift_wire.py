"""Flume's Thrift messages read by hand, out of what was recorded: framed, compact or binary protocol."""
import struct

STATUS = ["OK", "FAILED", "ERROR", "UNKNOWN"]
CALL, REPLY, EXCEPTION = 1, 2, 3
# Types by compact's numbers, which binary's are turned into.
STOP, I32, STRING, LIST, MAP, STRUCT = 0, 5, 8, 9, 11, 12
OF_BINARY = {0: STOP, 8: I32, 11: STRING, 12: STRUCT, 13: MAP, 15: LIST}


class Reader:
    """One message."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.compact = data[0] == 0x82

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at, f"{size} bytes of {len(self.data) - self.at}"
        self.at += size
        return self.data[self.at - size:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        n, shift = 0, 0
        while True:
            byte = self.byte()
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    def size(self):
        return self.varint() if self.compact else struct.unpack(">i", self.take(4))[0]

    def i32(self):
        if not self.compact:
            return struct.unpack(">i", self.take(4))[0]
        n = self.varint()
        return (n >> 1) ^ -(n & 1)

    def string(self):
        return self.take(self.size())

    def message(self):
        """(kind, name, number)."""
        if self.compact:
            assert self.byte() == 0x82
            version = self.byte()
            assert version & 31 == 1
            number = self.varint()
            return version >> 5, self.string().decode(), number
        version = struct.unpack(">I", self.take(4))[0]
        assert version >> 16 == 0x8001
        name = self.string().decode()
        return version & 255, name, struct.unpack(">i", self.take(4))[0]

    def fields(self):
        """(id, type) of each field; the caller reads its value."""
        last = 0
        while True:
            first = self.byte()
            if first == 0:
                return
            if not self.compact:
                yield struct.unpack(">h", self.take(2))[0], OF_BINARY[first]
                continue
            delta = first >> 4
            if delta:
                last += delta
            else:
                n = self.varint()
                last = (n >> 1) ^ -(n & 1)
            yield last, first & 15

    def list(self):
        if not self.compact:
            kind = OF_BINARY[self.byte()]
            return kind, self.size()
        head = self.byte()
        return head & 15, self.varint() if head >> 4 == 15 else head >> 4

    def map(self):
        if not self.compact:
            self.take(2)
            return self.size()
        n = self.varint()
        if n:
            self.byte()
        return n

    def event(self):
        headers, body = [], None
        for number, kind in self.fields():
            if (number, kind) == (1, MAP):
                headers = [(self.string(), self.string()) for _ in range(self.map())]
            elif (number, kind) == (2, STRING):
                body = self.string()
            else:
                raise AssertionError(f"field {number} of type {kind} in an event")
        return headers, body


def frames(stream):
    at, found = 0, []
    while at < len(stream):
        size = struct.unpack(">i", stream[at:at + 4])[0]
        found.append(stream[at + 4:at + 4 + size])
        assert len(found[-1]) == size, "a frame that is not whole"
        at += 4 + size
    return found


def request(message):
    """(number, name, events) of a call."""
    reader = Reader(message)
    kind, name, number = reader.message()
    assert kind == CALL, kind
    events = []
    for _ in reader.fields():
        if name == "append":
            events.append(reader.event())
        elif name == "appendBatch":
            _, n = reader.list()
            events += [reader.event() for _ in range(n)]
        else:
            reader.string()
    assert reader.at == len(message), "bytes behind the message"
    return number, name, events


def reply(message):
    """(number, what) of an answer."""
    reader = Reader(message)
    kind, _, number = reader.message()
    found = {field: reader.i32() if of == I32 else reader.string().decode() for field, of in reader.fields()}
    if kind == EXCEPTION:
        return number, f"exception {found[2]} {found[1]}"
    assert kind == REPLY, kind
    return number, STATUS[found[0]]

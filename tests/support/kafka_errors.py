"""Puts an error code into an answer of a Kafka broker.

    frame, count = put(frame, api, version, code)    # count: places that hold the code now

Layouts are Kafka's message definitions, as far as librdkafka asks for them. Where an answer has a code per partition all
of them are changed; records that stand beside a changed code are left for the client to pass over.
"""
import struct

PRODUCE, FETCH, OFFSET_FETCH, FIND_COORDINATOR, HEARTBEAT = 0, 1, 9, 10, 12
INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28
FLEXIBLE_FROM = {PRODUCE: 9, FETCH: 12, OFFSET_FETCH: 6, FIND_COORDINATOR: 3, HEARTBEAT: 4, INIT_PRODUCER_ID: 2,
                 ADD_PARTITIONS: 3, ADD_OFFSETS: 3, END_TXN: 3, TXN_OFFSET_COMMIT: 3}


class Walk:
    def __init__(self, frame, api, version, code):
        self.frame, self.at, self.version, self.code, self.count = bytearray(frame), 4, version, code, 0
        self.is_flexible = version >= FLEXIBLE_FROM[api]
        self.tags()  # of the header

    def skip(self, size):
        self.at += size

    def varint(self):
        value = shift = 0
        while True:
            byte = self.frame[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def length(self, form):
        """Of a string, a list or bytes; nothing for null."""
        if self.is_flexible:
            return max(self.varint() - 1, 0)
        value = struct.unpack_from(form, self.frame, self.at)[0]
        self.at += struct.calcsize(form)
        return max(value, 0)

    def string(self):
        self.skip(self.length(">h"))

    def each(self, item):
        for _ in range(self.length(">i")):
            item()
            self.tags()

    def tags(self):
        if self.is_flexible:
            for _ in range(self.varint()):
                self.varint()
                self.skip(self.varint())

    def error(self):
        struct.pack_into(">h", self.frame, self.at, self.code)
        self.at += 2
        self.count += 1

    # ---- what answers hold ----

    def topics(self, partition, ids_from=99):
        def topic():
            if self.version >= ids_from:
                self.skip(16)
            else:
                self.string()
            self.each(partition)
        self.each(topic)

    def produced(self):
        self.skip(4)
        self.error()
        self.skip(8 + 8 * (self.version >= 2) + 8 * (self.version >= 5))
        if self.version >= 8:
            self.each(lambda: (self.skip(4), self.string()))
            self.string()

    def fetched(self):
        self.skip(4)
        self.error()
        self.skip(8 + 8 * (self.version >= 4) + 8 * (self.version >= 5))
        if self.version >= 4:
            self.each(lambda: self.skip(16))
        self.skip(4 * (self.version >= 11))
        self.skip(self.length(">i"))

    def offset(self):
        self.skip(4 + 8 + 4 * (self.version >= 5))
        self.string()
        self.skip(2)

    def group_offsets(self):
        self.topics(self.offset)
        self.error()

    def group(self):
        self.string()
        self.group_offsets()

    def partition(self):
        self.skip(4)
        self.error()


def put(frame, api, version, code):
    walk = Walk(frame, api, version, code)
    if api == PRODUCE:
        walk.topics(walk.produced, 13)
    elif api == FETCH:
        walk.skip(4 + 6 * (version >= 7))
        walk.topics(walk.fetched, 13)
    elif api == OFFSET_FETCH:
        walk.skip(4 * (version >= 3))
        if version >= 8:
            walk.each(walk.group)
        else:
            walk.group_offsets()
    elif api in (ADD_PARTITIONS, TXN_OFFSET_COMMIT):
        walk.skip(4)
        walk.topics(walk.partition)
    else:
        assert api != FIND_COORDINATOR or version < 4, f"FindCoordinator {version}"
        walk.skip(4 * (api != FIND_COORDINATOR or version >= 1))
        walk.error()
    return bytes(walk.frame), walk.count

"""A TCP proxy before one Kafka broker that loses, delays or changes chosen requests and answers.

    with KafkaProxy(port_of_the_broker, port_of_the_proxy) as proxy:
        proxy.rule = lambda request: "lose-answer" if request.api == END_TXN and request.is_commit else None

A rule looks at each request and says what happens to it:
    None            it passes
    "lose-request"  the broker never sees it; the client's connection ends
    "lose-answer"   the broker does it; the client's connection ends instead of the answer
    "no-answer"     the broker does it; the connection stays and no answer comes
    ("late", S)     the broker sees it S seconds later, whatever has become of the client by then
    ("error", N)    the broker does it, and the client is told the error N (kafka_errors.py)

The network of all connections: `round_trip` seconds until an answer is there; `cut()` ends the connections;
`half_open()` leaves them open and lets nothing pass any more, as when the other end is gone without a word. New
connections work.
"""
import collections
import queue
import socket
import struct
import threading
import time

import kafka_errors

PRODUCE, FETCH, HEARTBEAT, END_TXN = 0, 1, 12, 26


class Request:
    def __init__(self, frame):
        self.api, self.version, self.correlation = struct.unpack_from(">hhi", frame)
        self.head = frame[8:40]  # client, and where there is one the transactional id
        # EndTxn ends with the flag, from version 3 on with an empty list of tags behind it
        self.is_commit = self.api == END_TXN and bool(frame[-2 if self.version >= 3 else -1])


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise OSError("closed")
        data += chunk
    return data


def read_frame(connection):
    return read_exactly(connection, struct.unpack(">i", read_exactly(connection, 4))[0])


def send_frame(connection, frame):
    connection.sendall(struct.pack(">i", len(frame)) + frame)


class Pair:
    """One connection of a client and its own to the broker."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.broker = socket.create_connection(("127.0.0.1", proxy.broker_port), timeout=30)
        self.broker.settimeout(None)
        self.swallowed = {}  # correlation: what to do instead of the answer
        self.is_dead, self.under_way = False, queue.SimpleQueue()
        for target in (self.requests, self.answers, self.deliveries):
            threading.Thread(target=target, daemon=True).start()

    def end(self):
        for one in (self.client, self.broker):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def requests(self):
        try:
            while True:
                frame = read_frame(self.client)
                if self.is_dead:
                    continue
                request = Request(frame)
                what = self.proxy.judge(request)
                if what == "lose-request":
                    break
                if what and what[0] == "late":
                    self.late(frame, what[1])
                    self.client.close()
                    return  # the broker's side stays open for the late one
                if what:
                    self.swallowed[request.correlation] = what, request
                send_frame(self.broker, frame)
        except OSError:
            pass
        self.end()

    def late(self, frame, seconds):
        def deliver():
            try:
                send_frame(self.broker, frame)
                self.proxy.count("delivered late")
            except OSError:
                self.proxy.count("late one not taken")
        timer = threading.Timer(seconds, deliver)
        timer.daemon = True
        timer.start()

    def answers(self):
        try:
            while True:
                frame = read_frame(self.broker)
                what, request = self.swallowed.pop(struct.unpack_from(">i", frame)[0], (None, None))
                if what == "lose-answer":
                    break
                if what and what[0] == "error":
                    frame, places = kafka_errors.put(frame, request.api, request.version, what[1])
                    if places:
                        self.proxy.count(("told", request.api, what[1]))
                if what != "no-answer" and not self.is_dead:
                    self.under_way.put((time.monotonic() + self.proxy.round_trip, frame))
        except OSError:
            pass
        self.under_way.put(None)
        self.end()

    def deliveries(self):
        """Answers reach the client in order, each after its time."""
        try:
            while (item := self.under_way.get()) is not None:
                time.sleep(max(0, item[0] - time.monotonic()))  # the network's time
                if not self.is_dead:
                    send_frame(self.client, item[1])
        except OSError:
            self.end()


class KafkaProxy:
    def __init__(self, broker_port, port):
        self.broker_port, self.port, self.rule = broker_port, port, None
        self.round_trip, self.pairs = 0, []
        self.counts, self.lock = collections.Counter(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def cut(self):
        for pair in self.pairs:
            pair.end()

    def half_open(self):
        for pair in self.pairs:
            pair.is_dead = True

    def judge(self, request):
        with self.lock:
            what = self.rule(request) if self.rule else None
        if what:
            self.count(what if isinstance(what, str) else what[0])
        if request.api == HEARTBEAT:
            self.count("heartbeat")
        return what

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.pairs.append(Pair(self, client))
            except OSError:
                client.close()  # the broker is away

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

"""A TCP proxy before one Kafka broker that loses or delays chosen requests and answers.

    with KafkaProxy(port_of_the_broker, port_of_the_proxy) as proxy:
        proxy.rule = lambda request: "lose-answer" if request.api == END_TXN and request.is_commit else None

A rule looks at each request and says what happens to it:
    None            it passes
    "lose-request"  the broker never sees it; the client's connection ends
    "lose-answer"   the broker does it; the client's connection ends instead of the answer
    "no-answer"     the broker does it; the connection stays and no answer comes
    ("late", S)     the broker sees it S seconds later, whatever has become of the client by then
"""
import collections
import socket
import struct
import threading

PRODUCE, END_TXN = 0, 26


class Request:
    def __init__(self, frame):
        self.api, self.version, self.correlation = struct.unpack_from(">hhi", frame)
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
        for target in (self.requests, self.answers):
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
                request = Request(frame)
                what = self.proxy.judge(request)
                if what == "lose-request":
                    break
                if isinstance(what, tuple):
                    self.late(frame, what[1])
                    self.client.close()
                    return  # the broker's side stays open for the late one
                if what:
                    self.swallowed[request.correlation] = what
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
                what = self.swallowed.pop(struct.unpack_from(">i", frame)[0], None)
                if what == "lose-answer":
                    break
                if what != "no-answer":
                    send_frame(self.client, frame)
        except OSError:
            pass
        self.end()


class KafkaProxy:
    def __init__(self, broker_port, port):
        self.broker_port, self.port, self.rule = broker_port, port, None
        self.counts, self.lock = collections.Counter(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def judge(self, request):
        with self.lock:
            what = self.rule(request) if self.rule else None
        if what:
            self.count(what if isinstance(what, str) else what[0])
        return what

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                Pair(self, client)
            except OSError:
                client.close()  # the broker is away

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

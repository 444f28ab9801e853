"""A proxy between an S3 client and a real server that spoils chosen requests, in this process.

    with FaultProxy("127.0.0.1:7480") as proxy:
        proxy.spoil(status(503, "SlowDown"), method="PUT", times=3)
        … the client talks to proxy.host …
        proxy.seen            [(method, target, what happened)]

A fault is a function (exchange) -> bool: True when it has dealt with the request. The first rule that fits and has
times left is used. What is forwarded is forwarded unchanged, Host included, so signatures stay good.
"""
import socket
import struct
import threading
import urllib.parse


class Exchange:
    """One request on a client's connection."""

    def __init__(self, proxy, client, head, body):
        self.proxy, self.client, self.head, self.body = proxy, client, head, body
        self.method, self.target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)

    def forward(self):
        """The server's whole answer: head and body."""
        host, port = self.proxy.upstream.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as server:
            head = b"\r\n".join(line for line in self.head.split(b"\r\n") if not line.lower().startswith(b"connection:"))
            server.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + self.body)
            answer = b""
            while chunk := server.recv(65536):
                answer += chunk
        head, end, body = answer.partition(b"\r\n\r\n")
        if not end:
            raise OSError("the server died")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"transfer-enc"))]
        if b"transfer-encoding: chunked" in head.lower():
            body = unchunk(body)
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n", body

    def answer(self, head, body=b""):
        self.client.sendall(head + body)
        return True

    def reset(self):
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        return True

    def hang(self):
        """Until the client gives up or the proxy ends."""
        while not self.proxy.is_over:
            try:
                if not self.client.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return self.reset()


def unchunk(body):
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        whole, body = whole + body[:count], body[count + 2:]
    return whole


# ---- faults ----

def status(code, error="", headers="", message=""):
    """An answer of the proxy; the server sees nothing."""
    def fault(exchange):
        text = f"<?xml version=\"1.0\"?><Error><Code>{error}</Code><Message>{message}</Message></Error>" if error else ""
        body = b"" if exchange.method == "HEAD" else text.encode()
        head = f"HTTP/1.1 {code} Spoiled\r\nContent-Length: {len(body)}\r\nx-amz-request-id: spoiled\r\n{headers}\r\n"
        return exchange.answer(head.encode(), body)
    return fault


def answer_after(code, body, headers=""):
    """The server does it; the client gets another answer."""
    def fault(exchange):
        exchange.forward()
        return exchange.answer(f"HTTP/1.1 {code} Spoiled\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode(), body)
    return fault


def reset_before(exchange):
    return exchange.reset()


def reset_after(exchange):
    exchange.forward()
    return exchange.reset()


def hang_before(exchange):
    return exchange.hang()


def hang_after(exchange):
    exchange.forward()
    return exchange.hang()


def cut(exchange):
    """All headers and half of the body."""
    head, body = exchange.forward()
    exchange.client.sendall(head + body[:len(body) // 2])
    return exchange.reset()


def damage(exchange):
    """One byte of the body differs on its way to the server."""
    exchange.body = bytes([exchange.body[0] ^ 1]) + exchange.body[1:]
    return False


def without(header):
    """The server does not see this (unsigned) header."""
    def fault(exchange):
        lines = exchange.head.split(b"\r\n")
        exchange.head = b"\r\n".join(line for line in lines if not line.lower().startswith(header.lower().encode() + b":"))
        return False
    return fault


def rewrite(change):
    """change(head, body) of the server's answer."""
    def fault(exchange):
        head, body = change(*exchange.forward())
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"content-length:")]
        return exchange.answer(b"\r\n".join(lines) + b"\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    return fault


class FaultProxy:
    def __init__(self, upstream):
        self.upstream, self.rules, self.seen, self.is_over = upstream, [], [], False
        self.lock, self.threads = threading.Lock(), []
        self.chaos = None  # (random.Random, probability, faults): any request may be spoiled

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.2)
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.url = "http://" + self.host
        self.accepting = threading.Thread(target=self._accept)
        self.accepting.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.accepting.join()
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def spoil(self, fault, method=None, query=None, times=1):
        """`query`: a word that must be in the target ("uploadId", "partNumber")."""
        with self.lock:
            self.rules.append([fault, method, query, times])

    def clear(self):
        """Forget rules and what was seen; True when no rule was left over."""
        with self.lock:
            is_used = not self.rules
            self.rules, self.seen = [], []
            return is_used

    def _rule(self, method, target):
        with self.lock:
            for rule in self.rules:
                if (rule[1] in (None, method)) and (rule[2] is None or rule[2] in urllib.parse.unquote(target)):
                    rule[3] -= 1
                    if rule[3] == 0:
                        self.rules.remove(rule)
                    return rule[0]
            if self.chaos and self.chaos[0].random() < self.chaos[1]:
                return self.chaos[0].choice(self.chaos[2])
        return None

    def _accept(self):
        while not self.is_over:
            try:
                client, _ = self.listener.accept()
            except TimeoutError:
                continue
            client.settimeout(0.2)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.threads.append(threading.Thread(target=self._serve, args=(client,)))
            self.threads[-1].start()

    def _read(self, client, have, is_enough):
        while not is_enough(have):
            try:
                chunk = client.recv(65536)
            except TimeoutError:
                if self.is_over:
                    return None
                continue
            if not chunk:
                return None
            have += chunk
        return have

    def _serve(self, client):
        have = b""
        try:
            while not self.is_over:
                have = self._read(client, have, lambda bytes_: b"\r\n\r\n" in bytes_)
                if have is None:
                    return
                head, _, have = have.partition(b"\r\n\r\n")
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                               if line.lower().startswith(b"content-length:")), 0)
                have = self._read(client, have, lambda bytes_, length=length: len(bytes_) >= length)
                if have is None:
                    return
                exchange = Exchange(self, client, head + b"\r\n\r\n", have[:length])
                have = have[length:]
                client.settimeout(30)
                fault = self._rule(exchange.method, exchange.target)
                with self.lock:
                    self.seen.append((exchange.method, exchange.target, bool(fault)))
                if not (fault and fault(exchange)):
                    exchange.answer(*exchange.forward())
                client.settimeout(0.2)
        except OSError:
            pass
        finally:
            client.close()

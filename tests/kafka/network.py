#!/usr/bin/env python3
"""What lies between tarn and its broker, and the clock beside it: the wall clock set forward and back, a slow network,
connections that end or hang, and errors a broker may answer (through tests/support/kafka_proxy.py). Counts are exact and
tarn goes on by itself.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_errors import (ADD_OFFSETS, ADD_PARTITIONS, END_TXN, FETCH, FIND_COORDINATOR, OFFSET_FETCH,  # noqa: E402
                          PRODUCE, TXN_OFFSET_COMMIT)
from kafka_proxy import KafkaProxy  # noqa: E402
from kafka_server import Cluster  # noqa: E402
from shared import until  # noqa: E402
from tarn_server import Server  # noqa: E402

HOUR, YEARS = 3600, 10 * 365 * 86400
LIST_OFFSETS = 2
FULL = bool(os.environ.get("TARN_TEST_FULL"))
PIPELINE = """
CREATE STREAM ev (k VARCHAR KEY, n INT, ts BIGINT)
  WITH (KAFKA_TOPIC='{0}-ev', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=2, TIMESTAMP='ts');
CREATE TABLE by_key WITH (KAFKA_TOPIC='{0}-by-key', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY k;
CREATE TABLE by_hour WITH (KAFKA_TOPIC='{0}-by-hour', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c FROM ev WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 1 MINUTE) GROUP BY k;
"""


class App:
    """One application, its input from kcat straight to the broker, and what it must have counted."""

    def __init__(self, kafka, folder, name, proxy, settings=None, env=None):
        self.kafka, self.name, self.proxy, self.sent, self.sum = kafka, name, proxy, 0, 0
        pipeline = folder / f"{name}.sql"
        pipeline.write_text(PIPELINE.format(name))
        given = {"application.id": name, "kafka.bootstrap.servers": f"127.0.0.1:{kafka.nodes[0].proxy_port}",
                 **(settings or {})}
        self.servers = [Server(pipeline, folder / name, given, env)]
        self.first_time = int(time.time()) // HOUR * HOUR * 1000 - 86400_000

    def __enter__(self):
        assert self.servers[0].start(), self.log()[-3000:]
        self.servers[0].wait_ready()
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"---- {self.name}\n{self.log()[-6000:]}")
        self.servers[0].__exit__()

    def log(self):
        return pathlib.Path(f"{self.servers[0].state}.log").read_text(errors="replace")

    def send(self, count):
        lines = []
        for _ in range(count):
            self.sent += 1
            self.sum += self.sent
            at = self.first_time + self.sent * 100
            lines.append(f'k{self.sent % 7}|{{"n":{self.sent},"ts":{at}}}\n')
        done = subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-P", "-t", f"{self.name}-ev", "-K", "|", "-X", "acks=all"],
                              input="".join(lines), text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def restart(self):
        assert self.servers[0].stop() == 0
        self.__enter__()

    def counted(self):
        tarn = self.servers[0]
        assert tarn.process.poll() is None, "tarn ended"
        rows = tarn.sql("SELECT SUM(c), SUM(s) FROM by_key", fresh=False) + tarn.sql("SELECT SUM(c) FROM by_hour", fresh=False)
        want = [[self.sent, self.sum], [self.sent]]
        return rows == want or f"{rows}, want {want}"

    def wait_counted(self, what):
        until(f"{self.name}: counts {what}", self.counted)

    def wait_stopped(self):
        """The reason is said, or it was nothing that stops."""
        tarn = self.servers[0]

        def holds():
            status, body = tarn.request("GET", "/readyz")
            return status != 200 or self.counted() is True or body.decode()
        until(f"{self.name}: a reason", holds)

    def check_topic(self):
        """The committed results fold to the counts, and no count is there twice."""
        text = subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-C", "-e", "-q", "-t", f"{self.name}-by-key", "-X",
                               "isolation.level=read_committed", "-f", "%k|%s\n"], capture_output=True, text=True,
                              timeout=120, check=True).stdout
        last = {}
        for line in text.splitlines():
            key, value = line.split("|", 1)
            count = json.loads(value)["C"] if "C" in json.loads(value) else json.loads(value)["c"]
            assert count > last.get(key, 0), f"{self.name}: {key} is {count} after {last[key]}"
            last[key] = count
        assert sum(last.values()) == self.sent, f"{self.name}: {last}, {self.sent} sent"

    def lines(self, *words):
        return [line for line in self.log().splitlines() if any(word in line for word in words)]


def clocks(kafka, folder, proxy):
    """The wall clock of a running tarn is set; heartbeats and commits go on."""
    clock = folder / "clock"
    clock.write_bytes(bytes(8))
    env = {"LD_PRELOAD": os.environ["CLOCK_JUMPS"], "TARN_CLOCK": str(clock)}
    with App(kafka, folder, "clocks", proxy, env=env) as app:
        app.send(20)
        app.wait_counted("before")
        for seconds in (HOUR, -HOUR, YEARS, -YEARS, 0):
            with open(clock, "r+b") as file:
                file.write(struct.pack("=q", seconds * 10**9))
            beats = proxy.counts["heartbeat"]
            until("heartbeats", lambda: proxy.counts["heartbeat"] >= beats + 2 or "none")
            app.send(20)
            app.wait_counted(f"with the clock {seconds} s off")
            status, body = app.servers[0].request("GET", "/readyz")
            assert status == 200, body
        assert len(app.lines("not settled")) < 3, app.log()
        app.check_topic()
        assert app.servers[0].stop() == 0
    print(f"the clock set by an hour and ten years, forward and back: {app.sent} events exact, heartbeats and commits went on")


def silent_start(app, proxy):
    """For 12 s from the first question on, the broker does not say where topics end."""
    first = []

    def rule(request):
        if request.api != LIST_OFFSETS:
            return None
        first[:] = first or [time.monotonic()]
        return "no-answer" if time.monotonic() < first[0] + 12 else None
    proxy.rule = rule
    app.restart()
    app.send(20)
    app.wait_counted("after a silent start")
    proxy.rule = None
    assert first, "offsets were not asked for"


def slow(kafka, folder, proxy):
    """500 ms until an answer; then connections that end, and connections on which nothing comes any more."""
    with App(kafka, folder, "slow", proxy, {"kafka.socket.timeout.ms": "5000"}) as app:
        app.send(20)
        app.wait_counted("before")
        proxy.round_trip = 0.5
        app.send(500)
        app.wait_counted("with 500 ms to an answer")
        for what, fault in (("cut connections", proxy.cut), ("half-open connections", proxy.half_open)):
            app.send(200)
            fault()
            app.send(200)
            app.wait_counted(f"after {what}")
        proxy.round_trip = 0
        app.send(20)
        app.wait_counted("at the end")
        app.check_topic()
        assert not app.lines("another process works with"), app.log()
        fenced = app.lines("ommit not settled", "state=fenced")
        assert len(fenced) < 6, fenced
        if FULL:
            silent_start(app, proxy)
        assert app.servers[0].stop() == 0
    print(f"500 ms to an answer, connections cut and half-open: {app.sent} events exact")


# Codes of Kafka's answers that a client may be told at any time; by what must come of it. "goes on": without a word or with
# another producer, counts exact. "may stop": it goes on, or the query says why; exact after a restart in any case.
CODES = {
    PRODUCE: {"goes on": (6, 7, 45, 47, 19, 20, 56, 59, 2, 5, 13, 3), "may stop": (10, 29, 87)},
    ADD_PARTITIONS: {"goes on": (51, 14, 47, 16, 15, 48, 49, 90, 3), "may stop": (29,)},
    ADD_OFFSETS: {"goes on": (51, 14, 47, 16, 15, 48, 49, 90), "may stop": (30, 53)},
    TXN_OFFSET_COMMIT: {"goes on": (14, 16, 22, 47, 15, 7, 3, 25, 27, 82, 90), "may stop": (30,)},
    END_TXN: {"goes on": (14, 51, 47, 16, 15, 48, 49, 90), "may stop": (53,)},
    FETCH: {"goes on": (6, 74, 75, 56, 5, 3, 13), "may stop": (2, 29, 1)},
    FIND_COORDINATOR: {"goes on": (15, 14), "may stop": (30, 53)},
    OFFSET_FETCH: {"goes on": (14, 16, 15), "may stop": (30,)},
}
FENCING = (22, 47, 90)
AT_START = (FIND_COORDINATOR, OFFSET_FETCH)
STOPPED_PLAIN = (PRODUCE, END_TXN)  # each such code costs a restart: the long form tells them all


def tell(app, proxy, api, code):
    """One answer of this kind holds the code; what comes of it."""
    key, own = ("told", api, code), f"{app.name}-".encode()
    del proxy.counts[key]

    def rule(request):
        is_ours = api != PRODUCE or own in request.head  # the producer of the engine, not that of the members' topic
        return ("error", code) if request.api == api and is_ours and not proxy.counts[key] else None
    proxy.rule = rule
    if api in AT_START:
        app.restart()
    app.send(5)
    until(f"{app.name}: an answer {api} with {code}", lambda: proxy.counts[key] > 0 or "none")
    proxy.rule = None


def codes(kafka, folder, proxy):
    """Each answer with each code, once; the plain form takes one or two codes of each answer."""
    with App(kafka, folder, "codes", proxy) as app:
        app.send(20)
        app.wait_counted("before")
        told = 0
        for api, outcomes in CODES.items():
            for outcome, given in outcomes.items():
                is_plain = outcome == "goes on" or api in STOPPED_PLAIN
                for code in given if FULL else given[:is_plain]:
                    tell(app, proxy, api, code)
                    told += 1
                    if outcome == "may stop":
                        app.wait_stopped()
                        app.restart()
                    elif code in FENCING:
                        app.wait_counted(f"after {api} with {code}")
                        app.restart()
                    app.wait_counted(f"after {api} with {code}")
        app.check_topic()
        assert app.servers[0].stop() == 0
    print(f"{told} answers with an error code: {app.sent} events exact")


def main():
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        with Cluster(folder / "kafka", proxied=True) as kafka, \
                KafkaProxy(kafka.nodes[0].secure_port, kafka.nodes[0].proxy_port) as proxy:
            for case in (clocks, slow, codes):
                if not only or case.__name__ in only:
                    began = time.monotonic()
                    case(kafka, folder, proxy)
                    print(f"   {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()

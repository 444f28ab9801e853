#!/usr/bin/env python3
"""What lies between tarn and its broker, and the clock beside it: the wall clock set forward and back, a slow network,
connections that end or hang (through tests/support/kafka_proxy.py). Counts are exact and tarn goes on by itself.
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
from kafka_proxy import KafkaProxy  # noqa: E402
from kafka_server import Cluster  # noqa: E402
from tarn_server import Server  # noqa: E402

WAIT_SECONDS = 180
HOUR, YEARS = 3600, 10 * 365 * 86400
PIPELINE = """
CREATE STREAM ev (k VARCHAR KEY, n INT, ts BIGINT)
  WITH (KAFKA_TOPIC='{0}-ev', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=2, TIMESTAMP='ts');
CREATE TABLE by_key WITH (KAFKA_TOPIC='{0}-by-key', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY k;
CREATE TABLE by_hour WITH (KAFKA_TOPIC='{0}-by-hour', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c FROM ev WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 1 MINUTE) GROUP BY k;
"""


def wait_for(what, holds):
    """Until it holds; prints why not when it never does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (seen := holds()) is not True:
        assert time.monotonic() < deadline, f"{what}: {seen}"
        time.sleep(0.1)  # between two looks


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

    def counted(self):
        tarn = self.servers[0]
        assert tarn.process.poll() is None, "tarn ended"
        tarn.connection = None  # an idle one may have been closed
        rows = tarn.sql("SELECT SUM(c), SUM(s) FROM by_key", fresh=False) + tarn.sql("SELECT SUM(c) FROM by_hour", fresh=False)
        want = [[self.sent, self.sum], [self.sent]]
        return rows == want or f"{rows}, want {want}"

    def wait_counted(self, what):
        wait_for(f"{self.name}: counts {what}", self.counted)

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
            wait_for("heartbeats", lambda: proxy.counts["heartbeat"] >= beats + 2 or "none")
            app.send(20)
            app.wait_counted(f"with the clock {seconds} s off")
            status, body = app.servers[0].request("GET", "/readyz")
            assert status == 200, body
        assert len(app.lines("not settled")) < 3, app.log()
        app.check_topic()
        assert app.servers[0].stop() == 0
    print(f"the clock set by an hour and ten years, forward and back: {app.sent} events exact, heartbeats and commits went on")


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
        assert app.servers[0].stop() == 0
    print(f"500 ms to an answer, connections cut and half-open: {app.sent} events exact")


def main():
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        with Cluster(folder / "kafka", proxied=True) as kafka, \
                KafkaProxy(kafka.nodes[0].secure_port, kafka.nodes[0].proxy_port) as proxy:
            for case in (clocks, slow):
                if not only or case.__name__ in only:
                    began = time.monotonic()
                    case(kafka, folder, proxy)
                    print(f"   {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()

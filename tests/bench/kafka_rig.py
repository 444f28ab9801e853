"""Rig of the Kafka benchmarks: one broker, topics, tarn, the bare reference, a warm JVM with Kafka Streams, CPU seconds.

CPU seconds are those of the client process alone, the broker's are not counted. What is started here is ended by its
process id. tarn runs with its default configuration unless a row says otherwise.
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
from kafka_server import Cluster, java  # noqa: E402
from server import cpu_seconds, report  # noqa: E402,F401
import tarn_server  # noqa: E402
from tarn_server import Server  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TARN_BUILD", ROOT / "build"))
PACE = BUILD / "tests" / "bench" / "kafka_pace"
PEER = BUILD / "tests" / "bench" / "kafka_peer"
STREAMS = ROOT / "build" / "bench-streams"
THREADS = 2  # tarn's default for num.stream.threads, and the same for Streams
PARTITIONS = 4
tarn_server.START_SECONDS = 600  # a hundred statements make hundreds of topics before the ready line
COUNT = """
CREATE STREAM events (song VARCHAR KEY, ms INT)
  WITH (KAFKA_TOPIC='{topic}', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON');
CREATE TABLE counts WITH (KAFKA_TOPIC='{out}', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=4) AS
  SELECT song, COUNT(*) AS n FROM events WHERE ms >= 0 GROUP BY song;
"""


BY_MS = """
CREATE STREAM events (song VARCHAR KEY, ms INT)
  WITH (KAFKA_TOPIC='{topic}', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON');
CREATE TABLE counts WITH (KAFKA_TOPIC='{out}', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=4) AS
  SELECT ms, COUNT(*) AS n FROM events GROUP BY ms;
"""


def pairs(line):
    """{"cpu": 1.5, …} of a line of NAME=VALUE."""
    return {name: float(value) if "." in value else int(value) for name, value in re.findall(r"(\w+)=([\d.]+)", line)}


def spread(values):
    return f"{min(values):.2f}/{statistics.median(values):.2f}/{max(values):.2f}"


def status_mb(pid, name):
    return int(re.search(rf"{name}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


class Streams:
    """One JVM; what it is told last runs warm."""

    def __init__(self, kafka, folder):
        self.log = open(folder / "streams.log", "ab")
        self.process = subprocess.Popen(
            ["java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
             f"{STREAMS / 'classes'}:{STREAMS / 'lib'}/*", "Streams", kafka.bootstrap, str(THREADS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"Streams ended at {words}: " + pathlib.Path(self.log.name).read_text()[-2000:])
        return pairs(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=120)
        self.log.close()


class Rig:
    def __init__(self, folder):
        self.folder, self.number, self.loaded = pathlib.Path(folder), 0, {}
        self.kafka = Cluster(self.folder / "kafka", settings={"log.segment.bytes": 268435456})
        self.streams_of, self.is_warm = None, False
        self.servers, self.peaks = [], {}

    def __enter__(self):
        self.kafka.start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            if server.process and server.process.poll() is None:
                server.kill()
        if self.streams_of and self.streams_of.process.poll() is None:
            self.streams_of.process.kill()
            self.streams_of.process.wait()
        self.kafka.__exit__()

    def topic(self, name, partitions=PARTITIONS):
        done = java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.kafka.bootstrap, "--create",
                    "--topic", name, "--partitions", partitions)
        assert done.returncode == 0, done.stdout + done.stderr
        return name

    def events(self, count, keys, zipf):
        """A topic with these events; made once."""
        spec = (count, keys, zipf)
        if spec not in self.loaded:
            name = self.topic(f"events-{len(self.loaded)}")
            self.peer("load", name, count, keys, zipf)
            self.loaded[spec] = name
        return self.loaded[spec]

    def peer(self, what, topic, *more):
        done = subprocess.run([PEER, what, self.kafka.bootstrap, topic, *map(str, more)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return pairs(done.stdout)

    def streams(self):
        if not self.streams_of:
            self.streams_of = Streams(self.kafka, self.folder)
        return self.streams_of

    def fresh_name(self, what):
        self.number += 1
        return f"{what}-{self.number}"

    def tarn(self, app, statements, home=None, **settings):
        """A tarn that is not started yet, with a folder of its own."""
        home = self.folder / (home or app)
        home.mkdir(exist_ok=True)
        (home / "p.sql").write_text(statements)
        server = Server(home / "p.sql", home / "state", {
            "application.id": app, "kafka.bootstrap.servers": self.kafka.bootstrap,
            **{name.replace("_", "."): value for name, value in settings.items()}})
        self.servers.append(server)
        return server

#!/usr/bin/env python3
"""A whole tarn beside a real Kafka: golden rows of the music chart byte for byte, Java and kcat as peers, HTTP writes,
missing topics, restarts with and without local state, bad settings.

Topics, keys and values are what the systems around tarn see: int32 big-endian and text keys, murmur2 partitions.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster, LIB, free_ports  # noqa: E402
from tarn_server import BINARY, ROOT, Server  # noqa: E402

PEER = pathlib.Path(__file__).resolve().parent / "Peer.java"
classes = None  # Peer, compiled
producer = None  # one Java producer for the whole run
CHART = """
CREATE TABLE songs (id INT PRIMARY KEY, author VARCHAR, name VARCHAR, op VARCHAR)
  WITH (KAFKA_TOPIC='songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12, GLOBAL=true,
        INGEST_PATH='/songs', INGEST_STATUS=201, INGEST_DEFAULTS='{"op":"ADD"}');
CREATE STREAM played_songs (id INT KEY, play VARCHAR)
  WITH (KAFKA_TOPIC='played-songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='KAFKA');
CREATE TABLE songs_chart
  WITH (STORE='songs-store', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT p.id AS id, COUNT(*) AS count, LATEST_BY_OFFSET(s.name) AS songName
  FROM played_songs p JOIN songs s ON p.id = s.id
  WHERE s.name IS NOT NULL GROUP BY p.id EMIT CHANGES;
CREATE STREAM listens (user VARCHAR KEY, name VARCHAR)
  WITH (KAFKA_TOPIC='listens', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12);
CREATE TABLE by_user WITH (KAFKA_TOPIC='by-user', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT user, COUNT(*) AS n FROM listens GROUP BY user EMIT CHANGES;
"""
CHANGELOG = "music-chart-songs-store-changelog"
NAMES = {1: "The Good The Bad And The Ugly", 2: "Believe", 3: "Still Loving You", 5: "Sometimes", 6: "Into The Unknown",
         7: "Fox On The Run", 8: "Perfect"}
# partitions of 12, by Java's murmur2: of int32 big-endian keys and of text keys
PARTITIONS = {0: 4, 1: 0, 2: 11, 3: 7, 4: 7, 5: 2, 6: 11, 7: 3, 8: 6, 9: 4, 10: 1, -1: 5, 2147483647: 3, -2147483648: 6}
TEXT_PARTITIONS = {"alex": 8, "burr": 11, "kamesh": 4, "edson": 8, "sebi": 5, "": 9}


def int_key(number):
    return number.to_bytes(4, "big", signed=True)


def compile_peer(folder):
    global classes
    classes = folder / "classes"
    subprocess.run(["javac", "-d", classes, "-cp", f"{LIB}/*", PEER], check=True)


def end_peer():
    if producer:
        producer.stdin.close()
        producer.wait(timeout=60)


def java(*arguments, text=""):
    done = subprocess.run(["java", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{LIB}/*:{classes}",
                           *map(str, arguments)], input=text, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def produce(kafka, topic, records):
    """Java's producer with default settings, until everything is acknowledged; (key, value[, ms]) bytes, None is null."""
    def text(data):
        return "-" if data is None else data.hex()
    global producer
    if producer is None:
        producer = subprocess.Popen(["java", "-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
                                     f"{LIB}/*:{classes}", "Peer", "produce", kafka.bootstrap], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for key, value, *when in records:
        producer.stdin.write("\t".join([topic, text(key), text(value), *map(str, when)]) + "\n")
    producer.stdin.write("\n")
    producer.stdin.flush()
    assert producer.stdout.readline() == f"{len(records)}\n"


def consume_timed(kafka, topic):
    """What Java's consumer gets, read_committed: (partition, key, value, ms), in the order of each partition."""
    rows = [line.split("\t") for line in java("Peer", "consume", kafka.bootstrap, topic).splitlines()]
    return [(int(p), None if k == "-" else bytes.fromhex(k), None if v == "-" else bytes.fromhex(v), int(ms))
            for p, _, ms, k, v in rows]


def consume(kafka, topic):
    """The same without the times."""
    return [row[:3] for row in consume_timed(kafka, topic)]


def kcat(kafka, topic, *arguments):
    done = subprocess.run(["kcat", "-b", kafka.bootstrap, "-C", "-t", topic, "-e", "-q", "-X",
                           "isolation.level=read_committed", *arguments], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def create_topic(kafka, topic, partitions):
    java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", kafka.bootstrap, "--create", "--topic", topic,
         "--partitions", partitions)


def settings(kafka, **more):
    return {"application.id": "music-chart", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50, **more}


def wait_for_line(path, pattern, process):
    """Until the log says it: the line; fails when the process ends first."""
    for _ in range(600):
        found = re.search(pattern, pathlib.Path(path).read_text()) if pathlib.Path(path).exists() else None
        if found:
            return found.group(0)
        try:
            process.wait(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"no line '{pattern}': " + pathlib.Path(path).read_text()[-2000:])


def start_before_topic(kafka, folder):
    """tarn waits for the topic that others make, says so, and goes on by itself."""
    tarn = Server(folder / "chart.sql", folder / "state", settings(kafka))
    started = threading.Thread(target=tarn.start)
    started.start()
    log = folder / "state.log"
    while not getattr(tarn, "process", None):
        started.join(0.05)
    wait_for_line(log, r"state=waiting what=\"topic 'played-songs' does not exist", tarn.process)
    create_topic(kafka, "played-songs", 12)
    started.join(120)
    assert tarn.process.poll() is None, log.read_text()[-2000:]
    return tarn


def post_songs(tarn):
    for number, name in NAMES.items():
        status, body = tarn.request("POST", "/songs", json.dumps({"id": number, "name": name, "author": "x"}).encode())
        assert status == 201, (status, body)


def wait_ready(tarn):
    """Until /readyz is 200: joined the group, state restored, inputs followed."""
    for _ in range(1200):
        status, body = tarn.request("GET", "/readyz")
        if status == 200:
            return
        assert tarn.process.poll() is None
        time.sleep(0.05)  # between two questions; the answer decides
    raise AssertionError(body)


def chart(tarn):
    return {row[0]: row[1] for row in tarn.sql("SELECT id, count FROM songs_chart")}


def plays_one_by_one(kafka, tarn):
    """Each play settles before the next: every count is a record of the changelog."""
    wanted, counts = [], {}
    for number in (1, 1, 2, 3, 2, 7, 2, 8, 3, 1, 6, 3, 5, 2, 1):
        produce(kafka, "played-songs", [(int_key(number), b"2020-07-25T19:52:47.038904Z;Alex")])
        counts[number] = counts.get(number, 0) + 1
        wanted.append((number, counts[number]))
        assert chart(tarn) == counts, (number, counts, chart(tarn))
    got = consume(kafka, CHANGELOG)
    for number in counts:
        rows = [value for _, key, value in got if key == int_key(number)]
        assert rows == [f'{{"count":{n},"songName":"{NAMES[number]}"}}'.encode() for k, n in wanted if k == number], rows
    assert all(p == PARTITIONS[int.from_bytes(key, "big", signed=True)] for p, key, _ in got), got
    assert len(got) == len(wanted)
    return counts


def plays_left_out(kafka, tarn, counts):
    """Null key, null value, unknown song: nothing in the chart, nothing lost behind them."""
    produce(kafka, "played-songs", [(None, b"x"), (int_key(1), None), (int_key(99), b"x"), (int_key(1), b"not a play")])
    counts[1] += 1
    assert chart(tarn) == counts, chart(tarn)


def backlog(kafka, tarn, counts):
    plays = {7: 1, 8: 1, 1: 1, 5: 2, 4: 3, 6: 3, 2: 3}
    produce(kafka, "played-songs", [(int_key(k), b"t;u") for k, n in plays.items() for _ in range(n)])
    for number, n in plays.items():
        if number in NAMES:
            counts[number] = counts.get(number, 0) + n
    assert chart(tarn) == counts, chart(tarn)
    last = {key: value for _, key, value in consume(kafka, CHANGELOG)}
    assert {int.from_bytes(k, "big"): json.loads(v)["count"] for k, v in last.items()} == counts


def text_keys(kafka, tarn):
    users = ["alex"] * 4 + ["burr"] * 3 + ["kamesh"] * 2 + ["edson", "sebi", ""]
    produce(kafka, "listens", [(user.encode(), b'{"name":"Time"}') for user in users])
    want = {user: users.count(user) for user in users}
    assert dict(tarn.sql("SELECT user, n FROM by_user")) == want
    got = consume(kafka, "by-user")
    assert all(p == TEXT_PARTITIONS[key.decode()] for p, key, _ in got), got
    assert {key.decode(): json.loads(value)["n"] for _, key, value in got} == want
    # the same bytes by another client
    lines = kcat(kafka, "by-user", "-f", "%p|%k|%s\\n").decode().splitlines()
    assert sorted(lines) == sorted(f"{p}|{k.decode()}|{v.decode()}" for p, k, v in got), lines


def policies(kafka):
    text = java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", kafka.bootstrap, "--describe", "--topic",
                CHANGELOG)
    assert "cleanup.policy=compact" in text and "PartitionCount: 12" in text, text


def lag_is_seen(kafka, tarn):
    text = java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", kafka.bootstrap,
                "--describe", "--group", "music-chart")
    rows = [line.split() for line in text.splitlines() if " played-songs " in line]
    assert rows and all(row[5] == "0" for row in rows if row[3] != "-"), text
    status, body = tarn.request("GET", "/metrics")
    assert status == 200 and b"tarn_kafka_up 1" in body and b"tarn_query_lag_records" in body


def http_writes(kafka, tarn, counts):
    """An acknowledged event is in the topic, whoever reads it; `tarn produce` goes the same way."""
    status, _ = tarn.request("POST", "/streams/listens", b'{"user":"alex","name":"from HTTP"}')
    assert status == 200
    assert (8, b"alex", b'{"user":"alex","name":"from HTTP"}') in consume(kafka, "listens")
    before = len(consume(kafka, "played-songs"))
    done = subprocess.run([BINARY, "produce", "--url", f"http://{tarn.address}", "--kind", "player", "--songs", "",
                           "--count", "20", "--rate", "0"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(consume(kafka, "played-songs")) == before + 20
    for number, n in chart(tarn).items():
        counts[number] = n


def restart(kafka, folder, counts):
    """Kill -9 and clean stops, with the local state and without: the same chart."""
    for wipe in (False, True):
        with Server(folder / "chart.sql", folder / "state", settings(kafka)) as tarn:
            wait_ready(tarn)
            assert chart(tarn) == counts, chart(tarn)
            produce(kafka, "played-songs", [(int_key(1), b"t;u")])
            counts[1] += 1
            assert chart(tarn) == counts
            assert tarn.request("GET", "/readyz")[0] == 200
            tarn.kill()
        if wipe:
            shutil.rmtree(folder / "state")
    with Server(folder / "chart.sql", folder / "state", settings(kafka)) as tarn:
        wait_ready(tarn)
        assert chart(tarn) == counts, chart(tarn)
        assert tarn.stop() == 0


def refused(folder, want, given, status=2, env=None):
    command = [str(BINARY), "run", str(folder / "chart.sql"), "--state", str(folder / "bad")]
    for name, value in given.items():
        command += ["--set", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
    lines = [line for line in done.stderr.splitlines() if line.startswith("tarn: ")]
    assert done.returncode == status and len(lines) == 1 and re.search(want, lines[0]), (want, done.returncode, done.stderr)
    return done.stderr


def bad_settings(kafka, folder):
    base = settings(kafka)
    refused(folder, r"no property 'sesion.timeout.ms'.*did you mean 'kafka.session.timeout.ms'",
            {**base, "kafka.sesion.timeout.ms": 1})
    refused(folder, r"'kafka.acks' is set by tarn", {**base, "kafka.acks": 0})
    refused(folder, r"kafka.socket.timeout.ms", {**base, "kafka.socket.timeout.ms": "soon"})
    refused(folder, r"'kafka.linger.ms' is set but kafka.bootstrap.servers is not", {"kafka.linger.ms": 1})
    text = refused(folder, r"'kafka.sasl.mechanism'|property|SASL",
                   {**base, "kafka.security.protocol": "nothing", "kafka.sasl.password": "the-secret"})
    assert "the-secret" not in text, text


def old_library(kafka, folder):
    """Debian 12's library: exactly-once is refused with the version found, at-least-once works."""
    old = "/usr/lib/x86_64-linux-gnu"
    version = subprocess.run(["pkg-config", "--modversion", "rdkafka"], capture_output=True, text=True).stdout.strip()
    if tuple(map(int, version.split(".")[:2])) >= (2, 5):
        print(f"the system's librdkafka is {version}: nothing older to refuse")
        return
    env = {"LD_LIBRARY_PATH": old}
    refused(folder, rf"needs librdkafka 2\.5\.0 or newer, this is {re.escape(version)}", settings(kafka), env=env)
    create_topic(kafka, "old-plays", 2)
    (folder / "old.sql").write_text(
        "CREATE STREAM p (k VARCHAR KEY, v VARCHAR) WITH (KAFKA_TOPIC='old-plays', KEY_FORMAT='KAFKA', "
        "VALUE_FORMAT='JSON');\nCREATE TABLE c AS SELECT k, COUNT(*) AS n FROM p GROUP BY k;\n")
    given = settings(kafka, **{"application.id": "old", "processing.guarantee": "at_least_once"})
    with Server(folder / "old.sql", folder / "old-state", given, env) as tarn:
        wait_ready(tarn)
        produce(kafka, "old-plays", [(b"a", b'{"v":"1"}')] * 3)
        assert tarn.sql("SELECT k, n FROM c") == [["a", 3]]
    assert f"librdkafka={version}" in (folder / "old-state.log").read_text()


def unreachable_at_start(folder):
    """Nobody listens: tarn says so once, waits, and ends cleanly when told."""
    port = free_ports(1)[0]
    log = folder / "waiting.log"
    with open(log, "wb") as out:
        tarn = subprocess.Popen([str(BINARY), "run", str(folder / "chart.sql"), "--state", str(folder / "waiting"),
                                 "--set", f"kafka.bootstrap.servers=127.0.0.1:{port}"], stdout=out, stderr=out)
        wait_for_line(log, rf"state=waiting brokers=127.0.0.1:{port} reason=.*refused", tarn)
        tarn.send_signal(signal.SIGTERM)
        assert tarn.wait(timeout=60) == 0, log.read_text()
    assert log.read_text().count("state=waiting") == 1, log.read_text()


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name, Cluster(pathlib.Path(name) / "kafka") as kafka:
        folder = pathlib.Path(name)
        (folder / "chart.sql").write_text(CHART)
        compile_peer(folder)
        bad_settings(kafka, folder)
        unreachable_at_start(folder)
        tarn = start_before_topic(kafka, folder)
        try:
            wait_ready(tarn)
            post_songs(tarn)
            counts = plays_one_by_one(kafka, tarn)
            plays_left_out(kafka, tarn, counts)
            backlog(kafka, tarn, counts)
            text_keys(kafka, tarn)
            policies(kafka)
            lag_is_seen(kafka, tarn)
            http_writes(kafka, tarn, counts)
        finally:
            status = tarn.stop()
        assert status == 0
        restart(kafka, folder, counts)
        old_library(kafka, folder)
        end_peer()
    print("beside Kafka: fine")


if __name__ == "__main__":
    main()

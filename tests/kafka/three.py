#!/usr/bin/env python3
"""Three brokers, two tarns sharing the work: a broker is killed under load, then a process, then the broker comes back.
Counts equal a recount of what was sent, the committed changelog folds to the same, nothing is counted twice. Before that: an
event that came over HTTP is answered only when every replica has it.
"""
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from shared import owned, until  # noqa: E402
from tarn_server import Gone, Server  # noqa: E402

PIPELINE = """
CREATE STREAM plays (song VARCHAR KEY, ms INT)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=6, REPLICAS=3);
CREATE STREAM pairs (song VARCHAR KEY, ms INT)
  WITH (KAFKA_TOPIC='pairs', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=1, REPLICAS=2);
CREATE TABLE by_song WITH (KAFKA_TOPIC='by-song', KEY_FORMAT='KAFKA', REPLICAS=3) AS
  SELECT song, COUNT(*) AS n, SUM(ms) AS ms FROM plays GROUP BY song;
"""


def settings(kafka):
    return {"application.id": "three", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50}


def send(kafka, sent, count, rng):
    """kcat with acks=all and the Java partitioner; idempotent, so that a broker's death repeats nothing."""
    lines = []
    for _ in range(count):
        song, ms = f"song{rng.randrange(40)}", rng.randrange(1000)
        lines.append(f'{song}|{{"ms":{ms}}}\n')
        sent[song][0] += 1
        sent[song][1] += ms
    done = subprocess.run(["kcat", "-b", kafka.bootstrap, "-P", "-t", "plays", "-K", "|", "-X", "acks=all", "-X",
                           "enable.idempotence=true", "-X", "partitioner=murmur2_random"], input="".join(lines),
                          text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr


def counts(tarn):
    return {song: [n, ms] for song, n, ms in tarn.sql("SELECT song, n, ms FROM by_song")}


def has(tarn, sent):
    def ask():
        try:
            got = counts(tarn)
        except (AssertionError, Gone) as error:
            return str(error)[:300]
        return True if got == sent else f"{sum(n for n, _ in got.values())} of {sum(n for n, _ in sent.values())}"
    return ask


def folded(kafka):
    out = subprocess.run(["kcat", "-b", kafka.bootstrap, "-C", "-t", "by-song", "-e", "-q", "-X",
                          "isolation.level=read_committed", "-f", "%k|%s\\n"], capture_output=True, text=True, timeout=60,
                         check=True).stdout
    rows = collections.defaultdict(list)
    for line in out.splitlines():
        key, value = line.split("|", 1)
        rows[key].append(json.loads(value))
    for key, values in rows.items():  # each change is later than the one before: nothing was done twice
        assert all(a["n"] < b["n"] for a, b in zip(values, values[1:])), (key, values)
    return {key: [values[-1]["n"], values[-1]["ms"]] for key, values in rows.items()}


def acknowledged_by_all(kafka, tarn):
    """The second replica is frozen: no answer, however long it takes; it goes on: 200, and the record is there."""
    text = subprocess.run(["kcat", "-b", kafka.bootstrap, "-L", "-J", "-t", "pairs"], capture_output=True, text=True,
                          timeout=60, check=True).stdout
    partition = json.loads(text)["topics"][0]["partitions"][0]
    assert len(partition["isrs"]) == 2, partition
    behind = next(node for node in kafka.nodes if node.number in [one["id"] for one in partition["isrs"]]
                  and node.number != partition["leader"])
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(tarn.request("POST", "/streams/pairs", b'{"song":"a","ms":1}')))
    behind.freeze()
    try:
        waiting.start()
        waiting.join(1.5)  # with acks=1 it would have been answered by now; slower machines only pass more easily
        assert not answers, f"answered although a replica had nothing: {answers}"
    finally:
        behind.thaw()
    waiting.join(120)
    assert answers and answers[0][0] == 200, answers
    assert tarn.sql("SELECT song, ms FROM pairs") == [["a", 1]]


def main():
    rng, sent = random.Random(7), collections.defaultdict(lambda: [0, 0])
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka", nodes=3) as kafka:
            first = Server(folder / "pipeline.sql", folder / "first", settings(kafka))
            second = Server(folder / "pipeline.sql", folder / "second", settings(kafka))
            with first:
                first.wait_ready()
                send(kafka, sent, 1000, rng)
                until("one process", has(first, sent))
                acknowledged_by_all(kafka, first)
                with second:
                    until("the work is shared", lambda: (owned(first), owned(second)) == (3, 3) or "not yet")
                    send(kafka, sent, 1000, rng)
                    kafka.nodes[0].kill()
                    send(kafka, sent, 1000, rng)
                    first.kill()
                    send(kafka, sent, 1000, rng)
                    until("take-over", lambda: owned(second) == 6 or "not yet")
                    until("after a broker's and a process's death", has(second, sent))
                    kafka.nodes[0].start()
                    kafka.wait_ready()
                    send(kafka, sent, 1000, rng)
                    until("the broker is back", has(second, sent))
                    # the marker of the last transaction may stand in the topic later than its rows in the table
                    until("the changelog", lambda: folded(kafka) == dict(sent) or folded(kafka))
    print("three brokers, two processes: fine")


if __name__ == "__main__":
    main()

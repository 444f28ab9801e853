#!/usr/bin/env python3
"""Three tarns, inputs with different numbers of partitions: partition p of everything is at one process, always.

Plays have six partitions and another key, votes eight, songs four. A join of plays with songs goes through a repartition
topic of four; one of votes with songs, keyed alike but with other partition numbers, is refused with the fix, and the fix
works. After every change (a process joins, is killed, ends, partitions are added to a topic) each partition number is at one
process, in all topics that it reads, and the tables are those of a recount. A topic that has got more partitions stops the
queries that read it, at every process and by name, the others go on; created again they read all of it.
"""
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster, java  # noqa: E402
from shared import owned, telling, until  # noqa: E402
from tarn_server import Gone, Server  # noqa: E402

PIPELINE = """
CREATE TABLE songs (song VARCHAR PRIMARY KEY, artist VARCHAR)
  WITH (KAFKA_TOPIC='songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM plays (listener VARCHAR KEY, song VARCHAR)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=6);
CREATE STREAM votes (song VARCHAR KEY, points INT)
  WITH (KAFKA_TOPIC='votes', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=8);
CREATE TABLE by_listener WITH (KAFKA_TOPIC='by-listener', KEY_FORMAT='KAFKA') AS
  SELECT listener, COUNT(*) AS n FROM plays GROUP BY listener;
CREATE TABLE by_artist WITH (KAFKA_TOPIC='by-artist', KEY_FORMAT='KAFKA') AS
  SELECT s.artist AS artist, COUNT(*) AS n FROM plays p JOIN songs s ON p.song = s.song GROUP BY s.artist;
CREATE STREAM votes4 WITH (KAFKA_TOPIC='votes4', PARTITIONS=4) AS SELECT song, points FROM votes PARTITION BY song;
CREATE TABLE points WITH (KAFKA_TOPIC='points', KEY_FORMAT='KAFKA') AS
  SELECT v.song AS song, SUM(v.points) AS points, LATEST_BY_OFFSET(s.artist) AS artist
  FROM votes4 v JOIN songs s ON v.song = s.song GROUP BY v.song;
"""
REFUSED = "CREATE STREAM voted AS SELECT v.song AS song, s.artist FROM votes v JOIN songs s ON v.song = s.song"
SONGS = {f"song{i}": f"artist{i % 7}" for i in range(20)}


class Sent:
    def __init__(self, kafka):
        self.kafka, self.rng = kafka, random.Random(5)
        self.listeners, self.artists, self.points = (collections.Counter() for _ in range(3))

    def put(self, topic, lines):
        done = subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-P", "-t", topic, "-K", "|", "-X", "acks=all", "-X",
                               "partitioner=murmur2_random"], input="".join(f"{k}|{json.dumps(v)}\n" for k, v in lines),
                              text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def songs(self):
        self.put("songs", [(song, {"artist": artist}) for song, artist in SONGS.items()])

    def send(self, count):
        plays, votes = [], []
        for _ in range(count):
            listener, song, points = f"u{self.rng.randrange(50)}", self.rng.choice(list(SONGS)), self.rng.randrange(9)
            plays.append((listener, {"song": song}))
            votes.append((song, {"points": points}))
            self.listeners[listener] += 1
            self.artists[SONGS[song]] += 1
            self.points[song] += points
        self.put("plays", plays)
        self.put("votes", votes)


def exact(tarn, sent, with_plays=True):
    """True, or what differs."""
    try:
        points = {song: n for song, n, artist in tarn.sql("SELECT song, points, artist FROM points")}
        if points != {song: n for song, n in sent.points.items()}:
            return f"points {sum(points.values())} of {sum(sent.points.values())}"
        if not with_plays:
            return True
        for table, column, want in (("by_listener", "listener", sent.listeners), ("by_artist", "artist", sent.artists)):
            # a topic with more partitions has a key's older records in another one: two rows, which add up
            got = dict(tarn.sql(f"SELECT {column}, SUM(n) FROM {table} GROUP BY {column}"))
            if got != want:
                return f"{table}: {sum(got.values())} of {sum(want.values())}"
    except (AssertionError, Gone) as error:
        return str(error)[:300]
    return True


def together(tarns, widths):
    """Partition p of every topic at one process, none missing. True, or what is wrong."""
    where = collections.defaultdict(set)
    for number, tarn in enumerate(tarns):
        for topic, partition in tarn.sql("SELECT DISTINCT topic, partition FROM system.positions", fresh=False):
            where[topic, partition].add(number)
    topics = {topic: max(p for t, p in where if t == topic) + 1 for topic, _ in where}
    if any(topics.get(topic) != width for topic, width in widths.items()) or not any("repartition" in t for t in topics):
        return f"topics and partitions: {topics}"
    for p in range(max(topics.values())):
        at = [where[topic, p] for topic, width in topics.items() if p < width]
        if any(len(one) != 1 or one != at[0] for one in at):
            return f"partition {p}: " + str({topic: where[topic, p] for topic, width in topics.items() if p < width})
    return True


def settled(what, tarns, sent, widths, width=8):
    until(what, lambda: sum(map(owned, tarns)) == width or list(map(owned, tarns)))
    until(f"{what}: together", lambda: together(tarns, widths))
    sent.send(200)
    for tarn in tarns:
        until(f"{what}: tables", lambda tarn=tarn: exact(tarn, sent))
    until(f"{what}: together", lambda: together(tarns, widths))


def refused(tarn):
    status, body = tarn.request("POST", "/sql", REFUSED.encode(), {"Accept": "application/json"})
    error = json.loads(body)["error"]
    assert status == 400 and "'v' has 8 partitions and table 'songs' has 4" in error["message"], (status, error)
    assert "PARTITIONS=4" in error["hint"], error


def statement(tarn, text):
    status, body = tarn.request("POST", "/sql", text.encode(), {"Accept": "application/json"})
    assert status == 200, (text, status, body)


def missing(tarn):
    status, body = tarn.request("GET", "/readyz")
    return "" if status == 200 else body.decode()


def widened(kafka, tarns, sent):
    """plays has nine partitions now: its queries stop everywhere and say so; created again they read all of them."""
    done = java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", kafka.bootstrap, "--alter", "--topic", "plays",
                "--partitions", "9")
    assert done.returncode == 0, done.stderr
    for tarn in tarns:
        until("it is said", lambda tarn=tarn: missing(tarn).count("'plays' has 9 partitions now") == 2 or missing(tarn))
    sent.send(200)
    for tarn in tarns:
        until("the others go on", lambda tarn=tarn: exact(tarn, sent, with_plays=False))
    for name in ("TABLE by_listener DELETE TOPIC", "TABLE by_artist DELETE TOPIC", "STREAM plays"):
        statement(tarns[0], f"DROP {name}")
    for part in PIPELINE.replace("PARTITIONS=6", "PARTITIONS=9").split(";"):
        if any(f" {name} " in part for name in ("STREAM plays", "TABLE by_listener", "TABLE by_artist")):
            statement(tarns[0], part)


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka") as kafka:
            given = {"application.id": "together", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50}
            widths = {"plays": 6, "votes": 8, "songs": 4, "votes4": 4}
            sent = Sent(kafka)
            tarns = [Server(folder / "pipeline.sql", folder / f"state{i}", given) for i in range(3)]
            with telling(folder), tarns[0], tarns[1]:
                sent.songs()
                settled("two", tarns[:2], sent, widths)
                refused(tarns[0])
                with tarns[2]:
                    settled("a third one joins", tarns, sent, widths)
                    tarns[1].kill()
                    settled("one was killed", [tarns[0], tarns[2]], sent, widths)
                    assert tarns[1].start()
                    settled("it is back", tarns, sent, widths)
                    widened(kafka, tarns, sent)
                    settled("more partitions", tarns, sent, {**widths, "plays": 9}, 9)
                settled("one has ended", tarns[:2], sent, {**widths, "plays": 9}, 9)
    print("partition p of everything is at one process: fine")


if __name__ == "__main__":
    main()

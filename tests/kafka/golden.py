#!/usr/bin/env python3
"""Golden rows of windows and of changed songs on real topics, byte for byte, as Java's consumer reads them.

One batch of eleven listens is counted per minute and per session of users: keys are the user's bytes and the window's
bounds, values canonical JSON, partitions those of the user alone, sessions that grow leave a tombstone. Songs that are
changed are kept as they were written, in files of "key: value" and through POST /songs.
"""
import collections
import json
import pathlib
import sys
import tempfile
import time

import beside
from beside import CHART, PARTITIONS, TEXT_PARTITIONS, consume, consume_timed, create_topic, int_key, produce, settings
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from tarn_server import Server  # noqa: E402

PIPELINE = CHART + """
CREATE STREAM played (user VARCHAR KEY, name VARCHAR)
  WITH (KAFKA_TOPIC='played', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12);
CREATE TABLE per_minute WITH (KAFKA_TOPIC='per-minute', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT user, COUNT(*) AS count FROM played WINDOW TUMBLING (SIZE 60 SECONDS) GROUP BY user EMIT CHANGES;
CREATE TABLE closed_minutes WITH (KAFKA_TOPIC='closed-minutes', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT user, COUNT(*) AS count FROM played WINDOW TUMBLING (SIZE 60 SECONDS, GRACE PERIOD 0 SECONDS) GROUP BY user
  EMIT FINAL;
CREATE STREAM heard (user VARCHAR KEY, name VARCHAR)
  WITH (KAFKA_TOPIC='heard', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12);
CREATE TABLE per_session WITH (KAFKA_TOPIC='per-session', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT user, COUNT(*) AS count FROM heard WINDOW SESSION (60 SECONDS) GROUP BY user EMIT CHANGES;
CREATE TABLE updates (id VARCHAR PRIMARY KEY, name VARCHAR, author VARCHAR, op VARCHAR)
  WITH (KAFKA_TOPIC='song-updates', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12);
"""
MINUTE = int(time.time()) // 60 * 60000 - 3600000  # brokers drop what is older than the windows' retention
BATCH = [("alex", "Time"), ("alex", "The Ecstasy of Gold"), ("alex", "Friend Like Me"), ("alex", "Friend Like Me"),
         ("burr", "The Imperial March"), ("burr", "The Imperial March"), ("burr", "The Imperial March"),
         ("kamesh", "The Ecstasy of Gold"), ("kamesh", "The Ecstasy of Gold"), ("edson", "Still Loving you"),
         ("sebi", "Time")]
ONCE = collections.Counter(user for user, _ in BATCH)
SONGS = ["""3: {"id": 3, "name": "Time", "author":"Hans Zimmer", "op":"ADD"}""",
         """4: {"id": 4, "name": "Friend Like Me", "author":"Alan Menken", "op":"ADD"}""",
         """5: {"id": 5, "name": "The Imperial March", "author":"Alan Silvestri", "op":"ADD"}"""]
MODIFIED = """5: {"id": 5, "name": "The Imperial March", "author":"John Williams", "op":"MODIFY"}"""
NAMED = {3: "Time", 4: "Friend Like Me", 5: "The Imperial March"}
AUTHORS = {3: "Hans Zimmer", 4: "Alan Menken", 5: "John Williams"}
TEXT_NUMBERS = {"3": 11, "4": 1, "5": 6}  # partitions of 12, by Java's murmur2


def batch(kafka, topic, ms):
    produce(kafka, topic, [(user.encode(), f' {{"name": "{name}"}}'.encode(), ms) for user, name in BATCH])


def value(count):
    return f'{{"count":{count}}}'.encode()


def int64(number):
    return number.to_bytes(8, "big")


def grows(values, settled):
    """Counts that grow by whole commits: every settled one is there, none twice."""
    counts = [json.loads(one)["count"] for one in values]
    assert values == [value(n) for n in counts], values
    assert counts == sorted(set(counts)) and counts[-1] == settled[-1] and set(settled) <= set(counts), (counts, settled)


def tumbling(kafka, tarn):
    for ms in (5000, 50000, 60000):
        batch(kafka, "played", MINUTE + ms)
        for table in ("per_minute", "closed_minutes"):
            tarn.sql(f"SELECT * FROM {table}")  # settled before the next batch
    got = consume(kafka, "per-minute")
    for user, n in ONCE.items():
        for start, settled in ((MINUTE, [n, 2 * n]), (MINUTE + 60000, [n])):
            rows = [(p, v) for p, k, v in got if k == user.encode() + int64(start)]
            grows([v for _, v in rows], settled)
            assert {p for p, _ in rows} == {TEXT_PARTITIONS[user]}, (user, rows)
    assert {k for _, k, _ in got} == {u.encode() + int64(s) for u in ONCE for s in (MINUTE, MINUTE + 60000)}
    # stream time is the partition's: the first minute is over everywhere, the second nowhere
    closed = sorted(consume(kafka, "closed-minutes"))
    assert closed == sorted((TEXT_PARTITIONS[user], user.encode() + int64(MINUTE), value(2 * n))
                            for user, n in ONCE.items()), closed


def session(user, start, end):
    return user.encode() + int64(MINUTE + end) + int64(MINUTE + start)


def sessions(kafka, tarn):
    for ms in (-38000, 0, 30000, 75000, 140000):
        batch(kafka, "heard", MINUTE + ms)
        tarn.sql("SELECT * FROM per_session")
    got = consume_timed(kafka, "per-session")
    for user, n in ONCE.items():
        rows = [(k, v) for p, k, v, _ in got if k.startswith(user.encode())]
        last = []  # of neighbours with the same key the last one: counts within a batch may be there or not
        for key, data in rows:
            if last and last[-1][0] == key and data is not None and last[-1][1] is not None:
                last.pop()
            last.append((key, data))
        want, ends = [], (-38000, 0, 30000, 75000)
        for i, end in enumerate(ends):
            want += [(session(user, -38000, ends[i - 1]), None)] if i else []
            want.append((session(user, -38000, end), value(n * (i + 1))))
        want.append((session(user, 140000, 140000), value(n)))
        assert last == want, (user, last, want)
    assert all(p == TEXT_PARTITIONS[k[:-16].decode()] for p, k, _, _ in got), got
    assert all(ms == int.from_bytes(k[-16:-8], "big") for _, k, _, ms in got), got  # the end of the session


def update_files(kafka, tarn):
    """A file of lines, then a second one: four records as they were written, three rows."""
    lines = [one.split(":", 1) for one in SONGS + [MODIFIED]]
    records = [(key.encode(), text.encode()) for key, text in lines]
    produce(kafka, "song-updates", records)
    assert sorted(consume(kafka, "song-updates")) == sorted((TEXT_NUMBERS[k.decode()], k, v) for k, v in records)
    assert tarn.sql("SELECT id, name, author, op FROM updates ORDER BY id") == [
        ["3", "Time", "Hans Zimmer", "ADD"], ["4", "Friend Like Me", "Alan Menken", "ADD"],
        ["5", "The Imperial March", "John Williams", "MODIFY"]]


def post_songs(kafka, tarn):
    """POST /songs: the bytes of the body, int32 key; a changed song renames what is played from then on."""
    bodies = [one.split(":", 1)[1].strip().encode() for one in SONGS + [MODIFIED]]
    for body in bodies:
        assert tarn.request("POST", "/songs", body)[0] == 201
    assert tarn.request("POST", "/songs", b'{"id":2,"name":"Believe"}')[0] == 201
    rows = [(json.loads(body)["id"], body) for body in bodies] + [(2, b'{"id":2,"name":"Believe","op":"ADD"}')]
    assert sorted(consume(kafka, "songs")) == sorted((PARTITIONS[n], int_key(n), body) for n, body in rows)
    want = [[2, "Believe", None, "ADD"]] + [[n, NAMED[n], AUTHORS[n], "MODIFY" if n == 5 else "ADD"] for n in (3, 4, 5)]
    assert tarn.sql("SELECT id, name, author, op FROM songs ORDER BY id") == want



def renamed(kafka, tarn):
    """A song gets another name, then none: the count goes on under the new name, then plays are dropped."""
    def play():
        produce(kafka, "played-songs", [(int_key(2), b"t;u")])
        return tarn.sql("SELECT count, songName FROM songs_chart WHERE id = 2")
    assert play() == [[1, "Believe"]]
    assert tarn.request("POST", "/songs", b'{"id":2,"name":"Strong Enough","op":"MODIFY"}')[0] == 201
    assert tarn.sql("SELECT name, op FROM songs WHERE id = 2") == [["Strong Enough", "MODIFY"]]
    assert play() == [[2, "Strong Enough"]]
    produce(kafka, "songs", [(int_key(2), None)])
    assert tarn.sql("SELECT name FROM songs WHERE id = 2") == []
    assert play() == [[2, "Strong Enough"]]
    assert consume(kafka, "music-chart-songs-store-changelog") == [
        (PARTITIONS[2], int_key(2), b'{"count":1,"songName":"Believe"}'),
        (PARTITIONS[2], int_key(2), b'{"count":2,"songName":"Strong Enough"}')]


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name, Cluster(pathlib.Path(name) / "kafka") as kafka:
        folder = pathlib.Path(name)
        (folder / "chart.sql").write_text(PIPELINE)
        beside.compile_peer(folder)
        create_topic(kafka, "played-songs", 12)
        with Server(folder / "chart.sql", folder / "state", settings(kafka)) as tarn:
            tarn.wait_ready()
            tumbling(kafka, tarn)
            sessions(kafka, tarn)
            update_files(kafka, tarn)
            post_songs(kafka, tarn)
            renamed(kafka, tarn)
            assert tarn.stop() == 0
        beside.end_peer()
    print("windows, sessions and changed songs: byte for byte")


if __name__ == "__main__":
    main()

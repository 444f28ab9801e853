#!/usr/bin/env python3
"""Three tarns share eight partitions of one broker: every one answers for all of them, or says what is elsewhere.

Whole tables, aggregates, joins and look-ups give at each process what a recount of what was sent gives, with fresh=1 right
away; aggregates are begun where the rows are; a key that is there is asked for at its owner only; a process that is killed is missed by nobody once its partitions
have moved; a process told to refuse names the partitions and where they are.
"""
import collections
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from tarn_server import Gone, Server  # noqa: E402

PIPELINE = """
CREATE STREAM plays (song VARCHAR KEY, artist VARCHAR, ms INT)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=8);
CREATE TABLE by_song WITH (KAFKA_TOPIC='by-song', KEY_FORMAT='KAFKA') AS
  SELECT song, COUNT(*) AS n, SUM(ms) AS ms FROM plays GROUP BY song;
CREATE TABLE by_artist WITH (KAFKA_TOPIC='by-artist', KEY_FORMAT='KAFKA') AS
  SELECT artist, COUNT(*) AS n FROM plays GROUP BY artist;
CREATE TABLE by_hour WITH (KAFKA_TOPIC='by-hour', KEY_FORMAT='KAFKA') AS
  SELECT song, COUNT(*) AS n FROM plays WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY song;
"""
SECONDS = 120
MOVED = ("tarn_members_rows_total", "tarn_members_bytes_total")


class Sent:
    """A recount of what went into the topic."""

    def __init__(self, kafka):
        self.kafka, self.rng = kafka, random.Random(11)
        self.songs, self.artists = collections.defaultdict(lambda: [0, 0]), collections.Counter()

    def send(self, count, songs=60, partitioner="murmur2_random"):
        lines = []
        for _ in range(count):
            song, ms = f"song{self.rng.randrange(songs)}", self.rng.randrange(1000)
            artist = f"artist{self.rng.randrange(9)}"
            lines.append(f'{song}|{{"artist":"{artist}","ms":{ms}}}\n')
            self.songs[song][0] += 1
            self.songs[song][1] += ms
            self.artists[artist] += 1
        done = subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-P", "-t", "plays", "-K", "|", "-X", "acks=all", "-X",
                               f"partitioner={partitioner}"], input="".join(lines), text=True, capture_output=True,
                              timeout=120)
        assert done.returncode == 0, done.stderr


def until(what, question):
    """Asks until the answer is true; the pause decides nothing."""
    deadline = time.monotonic() + SECONDS
    while True:
        answer = question()
        if answer is True:
            return
        assert time.monotonic() < deadline, f"{what}: {answer}"
        time.sleep(0.2)


def metric(tarn, name):
    _, body = tarn.request("GET", "/metrics")
    for line in body.decode().splitlines():
        if line.startswith(name + " "):
            return int(float(line.split()[1]))
    raise AssertionError(f"no metric {name}")


def owned(tarn):
    return metric(tarn, "tarn_engine_partitions_owned")


def whole(tarn, sent):
    """Everything that can be asked, against the recount; all three executors' ways in."""
    rows = {song: [n, ms] for song, n, ms in tarn.sql("SELECT song, n, ms FROM by_song")}
    assert rows == sent.songs, (tarn.address, len(rows), len(sent.songs))
    total = sum(n for n, _ in sent.songs.values())
    assert tarn.sql("SELECT count(*), sum(n), sum(ms) FROM by_song") == \
        [[len(rows), total, sum(ms for _, ms in sent.songs.values())]]
    assert dict(tarn.sql("SELECT artist, n FROM by_artist")) == sent.artists
    assert tarn.sql("SELECT sum(n) FROM by_hour") == [[total]]
    top = sorted(((n, song) for song, (n, _) in sent.songs.items()), key=lambda one: (-one[0], one[1]))[:5]
    assert tarn.sql("SELECT n, song FROM by_song ORDER BY n DESC, song LIMIT 5") == [list(one) for one in top]
    joined = tarn.sql("SELECT a.artist, count(*) FROM by_artist a JOIN by_song s ON s.n >= a.n GROUP BY a.artist")
    want = {artist: sum(n >= m for n, _ in sent.songs.values()) for artist, m in sent.artists.items()}
    assert dict(joined) == {artist: count for artist, count in want.items() if count}, joined
    some = sorted(sent.songs)[:3]
    got = tarn.sql(f"SELECT song, n FROM by_song WHERE song IN ('{some[0]}', '{some[1]}', '{some[2]}') ORDER BY song")
    assert got == [[song, sent.songs[song][0]] for song in some], got


def look_ups(tarns, sent):
    """One key: the same at each process. What is found asks at most its owner; what is not, everybody."""
    for tarn in tarns:
        for song, (n, _) in sorted(sent.songs.items())[:20]:
            assert tarn.sql(f"SELECT n FROM by_song WHERE song = '{song}'", fresh=False) == [[n]], (tarn.address, song)
    before = [metric(tarn, "tarn_members_requests_total") for tarn in tarns]
    song, (n, _) = sorted(sent.songs.items())[0]
    for tarn in tarns:
        assert tarn.sql(f"SELECT n FROM by_song WHERE song = '{song}'", fresh=False) == [[n]]
    asked = [metric(tarn, "tarn_members_requests_total") - then for tarn, then in zip(tarns, before)]
    # two of three processes ask the owner, each once for the row and once to give its scan back
    assert sorted(asked) == [0, 0, 4], asked
    assert tarns[0].sql("SELECT n FROM by_song WHERE song = 'nobody sent this'", fresh=False) == []


AGGREGATES = ("count(*), sum({0}), min(song), max(ms), avg(ms)", "sum(ms), count({0}), max(n)", "avg({0})")
GROUPS = ("", "n", "ms, n")
WHERES = ("", "WHERE ms > 9000", "WHERE song >= 'song2' AND n <> -1", "WHERE n BETWEEN 20 AND 40 AND song < 'song5'",
          "WHERE song IN ('song1', 'song7', 'song8')", "WHERE n > 1000000")


def aggregates(tarns):
    """Groups begun by the processes that have the rows: the answers of all rows, of which far fewer travel."""
    def ask(text):
        before = [sum(metric(tarn, name) for tarn in tarns) for name in MOVED]
        rows = sorted(tarns[0].sql(text, fresh=False), key=str)
        return rows, [sum(metric(tarn, name) for tarn in tarns) - then for name, then in zip(MOVED, before)]
    for what in AGGREGATES:
        for groups in GROUPS:
            for where in WHERES:
                text = f"SELECT {groups + ', ' if groups else ''}{what} FROM by_song {where} " \
                       f"{'GROUP BY ' + groups if groups else ''}"
                begun, _ = ask(text.format("n"))
                gathered, _ = ask(text.format("n + 0"))  # an expression: all rows travel
                assert begun == gathered, (text, begun, gathered)
    text = f"SELECT {AGGREGATES[0]} FROM by_song WHERE ms >= 0"
    for argument, is_begun in (("n", True), ("n + 0", False)):
        plan = str(tarns[0].sql("EXPLAIN " + text.format(argument), fresh=False))
        assert ("begun by the processes that have the rows" in plan) == is_begun, plan
    (_, few), (_, many) = ask(text.format("n")), ask(text.format("n + 0"))
    print(f"moved for one group: {few} rows and bytes, else {many}")
    assert few[0] == 2 and many[0] > 20 and few[1] < many[1], (few, many)  # one group of each other process


def other_partitioner(tarns, sent):
    """kcat's own default puts keys elsewhere: they are found all the same."""
    song = "put elsewhere"
    done = subprocess.run(["kcat", "-b", sent.kafka.bootstrap, "-P", "-t", "plays", "-K", "|", "-p", "5"], text=True,
                          input=f'{song}|{{"artist":"artist0","ms":1}}\n', capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    sent.songs[song] = [1, 1]
    sent.artists["artist0"] += 1
    for tarn in tarns:
        assert tarn.sql(f"SELECT n FROM by_song WHERE song = '{song}'") == [[1]], tarn.address


def guarded(tarn):
    """Only processes of the application may ask for rows."""
    for path in ("/members/scan", "/members/next", "/members/done", "/members/fresh"):
        for headers in ({}, {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}):
            status, body = tarn.request("POST", path, b"x" * 16, headers)
            assert status == 403, (path, status, body)


def pushes(tarn):
    """A push query would show the changes of some partitions only: it is refused by name."""
    status, body = tarn.request("POST", "/sql", b"SELECT * FROM by_song EMIT CHANGES LIMIT 1000000",
                                {"Accept": "application/x-ndjson"})
    assert b"by_song" in body and b"process" in body, (status, body)


def refuses(tarn):
    status, body = tarn.request("POST", "/sql", b"SELECT * FROM by_song", {"Accept": "application/json"})
    message = json.loads(body)["error"]["message"]
    assert status == 409 and "partitions " in message and "at another process, http://127.0.0.1:" in message, message
    assert tarn.sql("SELECT count(*) FROM plays", fresh=False)[0][0] > 0  # a topic is read by everybody


def killed(tarns, sent):
    """One dies; meanwhile an answer is whole or an error, afterwards whole."""
    tarns[2].kill()
    sent.send(500)

    def ask():
        for tarn in tarns[:2]:
            try:
                rows = {song: [n, ms] for song, n, ms in tarn.sql("SELECT song, n, ms FROM by_song")}
            except (AssertionError, Gone) as error:
                return str(error)[:300]
            assert rows == sent.songs, f"{tarn.address} answered {len(rows)} of {len(sent.songs)} rows without an error"
        return True
    until("after a process's death", ask)
    for tarn in tarns[:2]:
        whole(tarn, sent)


@contextlib.contextmanager
def telling(folder):
    """A failure shows the last lines of each process."""
    try:
        yield
    except BaseException:
        for path in sorted(folder.glob("*.log")):
            print(path.name, *path.read_text(errors="replace").splitlines()[-15:], sep="\n  ", file=sys.stderr)
        raise


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka") as kafka:
            given = {"application.id": "shared", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50}
            sent = Sent(kafka)
            tarns = [Server(folder / "pipeline.sql", folder / f"state{i}", given) for i in range(3)]
            refusing = Server(folder / "pipeline.sql", folder / "state3", {**given, "sql.gather": "false"})
            with telling(folder), tarns[0], tarns[1], tarns[2]:
                sent.send(2000)
                until("the work is shared", lambda: sorted(map(owned, tarns)) == [2, 3, 3] or list(map(owned, tarns)))
                for tarn in tarns:
                    tarn.wait_ready()
                    whole(tarn, sent)
                for _ in range(3):  # fresh: what is acknowledged is in the next answer, whoever is asked
                    for tarn in tarns:
                        sent.send(100)
                        whole(tarn, sent)
                look_ups(tarns, sent)
                aggregates(tarns)
                other_partitioner(tarns, sent)
                guarded(tarns[0])
                pushes(tarns[0])
                with refusing:
                    until("the fourth works, too", lambda: owned(refusing) == 2 or owned(refusing))
                    refusing.wait_ready()
                    refuses(refusing)
                    whole(tarns[1], sent)
                until("three again", lambda: sum(map(owned, tarns)) == 8 or list(map(owned, tarns)))
                killed(tarns, sent)
                assert tarns[0].stop() == 0
                until("one is left", lambda: owned(tarns[1]) == 8 or owned(tarns[1]))
                sent.send(100)
                whole(tarns[1], sent)
    print("three processes answer as one: fine")


if __name__ == "__main__":
    main()

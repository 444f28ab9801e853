#!/usr/bin/env python3
"""Three tarns with one catalog beside one broker: statements posted to two of them at once, a rolling change of the
pipeline file, DROP.

Of two statements at once the first in the catalog's log wins for everybody and the other is refused, or both are done;
every process ends with the same objects. A newer file is taken over by processes that still run with the older one; one
that starts with the older file joins, says so and undoes nothing. A dropped table's query stops everywhere before its
topics are removed, once. A process that cannot apply two versions or more (statements of a newer tarn) takes no tasks and says
so; with one it works on.
"""
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from shared import Sent, metric, owned, telling, until  # noqa: E402
from tarn_server import Server  # noqa: E402

OLD = """
CREATE STREAM plays (song VARCHAR KEY, artist VARCHAR, ms INT)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=6);
CREATE TABLE by_song WITH (KAFKA_TOPIC='by-song', KEY_FORMAT='KAFKA') AS
  SELECT song, COUNT(*) AS n FROM plays GROUP BY song;
CREATE TABLE long_plays WITH (KAFKA_TOPIC='long-plays', KEY_FORMAT='KAFKA') AS
  SELECT song, COUNT(*) AS n FROM plays WHERE ms >= 500 GROUP BY song;
"""
NEW = OLD.replace("ms >= 500", "ms >= 300") + """
CREATE TABLE by_artist WITH (KAFKA_TOPIC='by-artist', KEY_FORMAT='KAFKA', STORE='artists') AS
  SELECT artist, COUNT(*) AS n FROM plays GROUP BY artist;
"""


def post(tarn, text):
    status, body = tarn.request("POST", "/sql", text.encode(), {"Accept": "application/json"})
    return status, body.decode(errors="replace")


def objects(tarn):
    return sorted(row[0] for row in tarn.sql("SELECT table_name FROM information_schema.tables "
                                             "WHERE table_schema = 'default'", fresh=False))


def same_everywhere(tarns, check):
    until("the same catalog everywhere",
          lambda: True if all(check(objects(tarn)) for tarn in tarns) else [objects(tarn) for tarn in tarns])


def at_once(tarns):
    """The same name with two meanings, posted to two processes in the same moment, five times."""
    for turn in range(5):
        answers, barrier = {}, threading.Barrier(2)

        def one(number, text, turn=turn, answers=answers, barrier=barrier):
            barrier.wait()
            answers[number] = post(tarns[number], text)
        threads = [threading.Thread(target=one, args=(number, f"CREATE TABLE race{turn} AS SELECT song, "
                                                      f"{what} AS n FROM plays GROUP BY song"))
                   for number, what in ((0, "COUNT(*)"), (1, "SUM(ms)"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [number for number, (status, _) in answers.items() if status == 200]
        assert len(won) == 1, answers
        status, body = answers[1 - won[0]]
        assert status == 409, answers  # the catalog moved on, or the name is there already
    same_everywhere(tarns, lambda names: sum(name.startswith("race") for name in names) == 5)
    assert len({tuple(str(row) for row in sorted(tarn.sql("SELECT song, n FROM race0"))) for tarn in tarns}) == 1


def dropped(kafka, tarns):
    """Everybody stops first, the topics go once; a new table of the same name and store is another one."""
    status, body = post(tarns[1], "DROP TABLE by_artist DELETE TOPIC")
    assert status == 200, body
    same_everywhere(tarns, lambda names: "by_artist" not in names)
    status, body = post(tarns[2], "CREATE TABLE by_artist WITH (KAFKA_TOPIC='by-artist', KEY_FORMAT='KAFKA', "
                                  "STORE='artists') AS SELECT artist, COUNT(*) AS n FROM plays GROUP BY artist")
    assert status == 200, body
    same_everywhere(tarns, lambda names: "by_artist" in names)


def artists(tarns, sent):
    """Asked until the new table has read its inputs from the start."""
    for tarn in tarns:
        until("the new table is complete",
              lambda tarn=tarn: dict(tarn.sql("SELECT artist, n FROM by_artist")) == sent.artists or "not yet")


def failed(tarn):
    return [row for row in tarn.sql("SELECT query_id, state FROM system.queries", fresh=False) if row[1] == "FAILED"]


def write_unknown(kafka, folder):
    """The next version of the catalog, a statement that no process here can read."""
    topic = ["kcat", "-b", kafka.bootstrap, "-t", "ddl-catalog"]
    log = subprocess.run([*topic, "-C", "-e", "-q", "-f", "%S:%s"], capture_output=True, timeout=120, check=True).stdout
    newest = 0
    while log:
        length, log = log.split(b":", 1)
        newest = max(newest, struct.unpack(">q", log[1:9])[0])
        log = log[int(length):]
    (folder / "record").write_bytes(b"\x01" + struct.pack(">q", newest + 1) + bytes(16) + b"of a newer tarn")
    subprocess.run([*topic, "-P", str(folder / "record")], capture_output=True, timeout=120, check=True)
    return newest + 1


def behind(kafka, tarns, sent, folder):
    write_unknown(kafka, folder)
    for tarn in tarns:
        until("one version is missed", lambda tarn=tarn: metric(tarn, "tarn_catalog_versions_behind") == 1 or "not yet")
        tarn.wait_ready()
    sent.send(50)
    artists(tarns, sent)
    newest = write_unknown(kafka, folder)
    for number, tarn in enumerate(tarns):
        until("no tasks are taken", lambda tarn=tarn: (metric(tarn, "tarn_catalog_versions_behind"), owned(tarn)) == (2, 0)
              or owned(tarn))
        status, body = tarn.request("GET", "/readyz")
        why = f"takes no tasks: version {newest - 2} of the catalog is applied here, {newest} is the newest"
        assert status == 503 and why in body.decode(), (status, body)
        log = pathlib.Path(f"{tarn.state}.log").read_text()
        assert log.count("state=takes-no-tasks") == 1, (number, log[-1500:])
    status, body = post(tarns[0], "SELECT song, n FROM by_song")
    assert status == 409 and re.search("partitions [0-9, ]+ of 'by_song' have no owner", body) and why in body, (status, body)


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "old.sql").write_text(OLD)
        (folder / "new.sql").write_text(NEW)
        with Cluster(folder / "kafka") as kafka:
            given = {"application.id": "ddl", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50}
            sent = Sent(kafka)
            tarns = [Server(folder / "old.sql", folder / f"state{i}", given) for i in range(3)]
            with telling(folder), tarns[0], tarns[1], tarns[2]:
                until("the work is shared", lambda: list(map(owned, tarns)) == [2, 2, 2] or list(map(owned, tarns)))
                sent.send(600)
                at_once(tarns)
                for tarn in (tarns[1], tarns[2]):  # rolling: one after the other with the newer file
                    assert tarn.stop() == 0
                    tarn.pipeline = str(folder / "new.sql")
                    assert tarn.start()
                    sent.send(50)
                same_everywhere(tarns, lambda names: "by_artist" in names)
                assert tarns[1].stop() == 0
                tarns[1].pipeline = str(folder / "old.sql")  # somebody's mistake
                assert tarns[1].start()
                log = pathlib.Path(f"{tarns[1].state}.log").read_text()
                assert "older than the catalog" in log, log[-1500:]
                for tarn in tarns:
                    tarn.wait_ready()
                    statement = str(tarn.sql("SELECT statement FROM system.queries WHERE lower(sink) = 'long_plays'",
                                             fresh=False))
                    assert "300" in statement, (tarn.address, statement)
                artists(tarns, sent)
                dropped(kafka, tarns)
                sent.send(100)
                artists(tarns, sent)
                assert not any(map(failed, tarns)), list(map(failed, tarns))
                behind(kafka, tarns, sent, folder)
    print("one catalog, three processes: fine")


if __name__ == "__main__":
    main()

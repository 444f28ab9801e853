#!/usr/bin/env python3
"""What a restart takes up: local state that is behind, none at all, and state of another cluster.

Behind: a copy of the state folder from earlier gets the tail of the changelog and nothing more, and is exact. None: the
whole changelog. Another cluster with topics of the same names: nothing of the old state is used, the tables are those of
the new cluster. Each time the tables are whole as soon as /readyz says so, and system.queries tells how much was read.

A changelog that was deleted and created anew, or that lost its head while there is no local state: the query stops, by
name and with what to do, and the others are exact.
"""
import json
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from faults import tool, topics, wait_topic  # noqa: E402
from kafka_server import Cluster  # noqa: E402
from shared import PIPELINE, Sent, metric, telling, until, whole  # noqa: E402
from tarn_server import Server  # noqa: E402


def settings(kafka):
    return {"application.id": "restore", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50}


def restored(tarn):
    """Changelog records that were read for the tables, all queries together."""
    return sum(done for done, in tarn.sql("SELECT restore_done FROM system.queries", fresh=False))


def run(folder, state, kafka, sent, count):
    """One life: exact at once, after more events, and at the end; what it read of the changelogs."""
    with Server(folder / "pipeline.sql", state, settings(kafka)) as tarn:
        tarn.wait_ready()
        read = restored(tarn)
        if count:
            sent.send(count)
        whole(tarn, sent)
        assert metric(tarn, "tarn_kafka_up") == 1
        assert tarn.stop() == 0
    return read


def refused(folder, kafka, sent, words):
    """A start that finds a changelog it must not use: said with these words, and the hourly table is exact."""
    with Server(folder / "pipeline.sql", folder / "state", settings(kafka)) as tarn:
        def says():
            text = tarn.request("GET", "/readyz")[1].decode()
            return all(word in text for word in words) or text
        until(f"/readyz with {words}", says)
        rows = tarn.sql("SELECT SUM(n) FROM by_hour", fresh=True)
        assert rows == [[sum(n for n, _ in sent.songs.values())]], rows
        assert tarn.stop() == 0


def damaged(folder, kafka, sent):
    topics(kafka, "--delete", "--topic", "by-artist")
    wait_topic(kafka, "by-artist", False)
    topics(kafka, "--create", "--topic", "by-artist", "--partitions", "8", "--config", "cleanup.policy=compact")
    refused(folder, kafka, sent, ["by-artist", "created anew"])
    tool("kafka.admin.ConfigCommand", kafka, "--alter", "--entity-type", "topics", "--entity-name", "by-song",
         "--add-config", "cleanup.policy=[compact,delete]")  # only such a topic's records may be deleted
    cut = folder / "cut.json"
    cut.write_text(json.dumps({"version": 1, "partitions": [{"topic": "by-song", "partition": p, "offset": -1} for p in range(8)]}))
    tool("org.apache.kafka.tools.DeleteRecordsCommand", kafka, "--offset-json-file", cut)
    shutil.rmtree(folder / "state")
    refused(folder, kafka, sent, ["changelog 'by-song'", "begins at offset"])


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with telling(folder):
            with Cluster(folder / "kafka") as kafka:
                sent = Sent(kafka)
                run(folder, folder / "state", kafka, sent, 3000)
                shutil.copytree(folder / "state", folder / "earlier")
                for _ in range(3):
                    run(folder, folder / "state", kafka, sent, 200)
                clean = run(folder, folder / "state", kafka, sent, 0)
                # the end mark of the last transaction in each partition of the three tables is no record of ours
                assert clean <= 3 * 8, f"a restart after a clean stop read {clean} records"
                shutil.rmtree(folder / "state")
                shutil.move(folder / "earlier", folder / "state")
                tail = run(folder, folder / "state", kafka, sent, 200)
                shutil.rmtree(folder / "state")
                everything = run(folder, folder / "state", kafka, sent, 200)
                assert clean < tail < everything, (tail, everything)
                damaged(folder, kafka, sent)
            with Cluster(folder / "other") as kafka:
                sent = Sent(kafka)
                run(folder, folder / "state", kafka, sent, 500)
                run(folder, folder / "state", kafka, sent, 100)
    print(f"restores: {clean} end marks after a clean stop, {tail} records of the tail, {everything} from nothing: fine")


if __name__ == "__main__":
    main()

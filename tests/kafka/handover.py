#!/usr/bin/env python3
"""SIGTERM hands the work over: what is left in the group goes on at once, not after the session time-out.

The session time-out is five minutes here, more than any wait of this test, so that only a process that leaves the group
after its last commit can pass. As long have the partitions of a process that was killed no owner: a process told to answers from
its copies, with their lag, another one names them. Printed: seconds from the signal until the other process shows a new event.
"""
import json
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from shared import PIPELINE, Sent, metric, owned, telling, until, whole  # noqa: E402
from tarn_server import Server  # noqa: E402


def hand_over(leaving, staying, sent, what):
    """One is told to end while events come; the other one has everything."""
    start = time.monotonic()
    leaving.process.send_signal(signal.SIGTERM)
    sent.send(200)
    until(what, lambda: owned(staying) == 8 or owned(staying))
    whole(staying, sent)
    print(f"{what}: {time.monotonic() - start:.1f} s")
    assert leaving.wait() == 0


def processes(folder, kafka, name, count=2, **more):
    given = {"application.id": name, "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50,
             "kafka.session.timeout.ms": 300000, "kafka.max.poll.interval.ms": 300000, **more}
    return [Server(folder / "pipeline.sql", folder / f"{name}{i}", given) for i in range(count)]


def shared(tarns, sent):
    until("the work is shared", lambda: list(map(owned, tarns)) == [4, 4] or list(map(owned, tarns)))
    for tarn in tarns:
        tarn.wait_ready()
        whole(tarn, sent)


def orphans(folder, kafka, sent):
    """Copies answer at the process that may show them; the other one names what has no owner."""
    dying, copying, strict = tarns = processes(folder, kafka, "orphans", 3, **{"num.standby.replicas": 1,
                                                                               "sql.gather.wait.ms": 300})
    copying.settings = {**copying.settings, "sql.standby.reads": "true"}
    strict.settings = {**strict.settings, "sql.timeout.ms": 5000}
    with dying, copying, strict:
        until("the work is shared", lambda: sorted(map(owned, tarns)) == [2, 3, 3] or list(map(owned, tarns)))
        for tarn in tarns:
            tarn.wait_ready()
        whole(dying, sent)
        dying.kill()

        def ask():
            status, body = copying.request("POST", "/sql", b"SELECT song, n, ms FROM by_song", {"Accept": "application/json"})
            if status != 200:
                return body.decode()[:300]
            rows = {song: [n, ms] for song, n, ms in json.loads(body)["rows"]}
            return rows == sent.songs or f"{len(rows)} of {len(sent.songs)} rows"
        until("copies answer", ask)
        assert metric(copying, "tarn_engine_standby_lag_records") == 0
        total = sum(n for n, _ in sent.songs.values())
        assert copying.sql("SELECT sum(n) FROM by_song", fresh=False) == [[total]]
        status, body = strict.request("POST", "/sql", b"SELECT song, n FROM by_song", {"Accept": "application/json"})
        message = json.loads(body)["error"]["message"]
        assert status == 409 and message.startswith("partitions ") and dying.address in message, (status, message)


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka") as kafka, telling(folder):
            sent = Sent(kafka)
            first, second = tarns = processes(folder, kafka, "warm", **{"num.standby.replicas": 1})
            with first, second:  # with standbys every process hands over, the first one, too
                sent.send(1000)
                shared(tarns, sent)
                hand_over(first, second, sent, "hand-over by the first process")
                assert first.start()
                shared(tarns, sent)
                hand_over(second, first, sent, "hand-over by the second process")
                start = time.monotonic()
                assert first.stop() == 0 and first.start()
                sent.send(1)
                whole(first, sent)
                print(f"clean restart: {time.monotonic() - start:.1f} s")
            first, second = tarns = processes(folder, kafka, "cold")
            with first, second:  # without, too: the first one is static, and leaves since there are others
                shared(tarns, sent)
                hand_over(second, first, sent, "hand-over without a standby")
                assert second.start()
                shared(tarns, sent)
                hand_over(first, second, sent, "hand-over without a standby, by the first process")
            orphans(folder, kafka, sent)
    print("SIGTERM hands over: fine")


if __name__ == "__main__":
    main()

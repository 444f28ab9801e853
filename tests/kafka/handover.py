#!/usr/bin/env python3
"""SIGTERM hands the work over: what is left in the group goes on at once, not after the session time-out.

The session time-out is five minutes here, more than any wait of this test, so that only a process that leaves the group
after its last commit can pass. Printed: seconds from the signal until the other process shows a new event.
"""
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from shared import PIPELINE, Sent, owned, telling, until, whole  # noqa: E402
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


def pair(folder, kafka, name, **more):
    given = {"application.id": name, "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50,
             "kafka.session.timeout.ms": 300000, "kafka.max.poll.interval.ms": 300000, **more}
    return [Server(folder / "pipeline.sql", folder / f"{name}{i}", given) for i in range(2)]


def shared(tarns, sent):
    until("the work is shared", lambda: list(map(owned, tarns)) == [4, 4] or list(map(owned, tarns)))
    for tarn in tarns:
        tarn.wait_ready()
        whole(tarn, sent)


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka") as kafka, telling(folder):
            sent = Sent(kafka)
            first, second = tarns = pair(folder, kafka, "warm", **{"num.standby.replicas": 1})
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
            first, second = tarns = pair(folder, kafka, "cold")
            with first, second:  # without, too: the first one is static, and leaves since there are others
                shared(tarns, sent)
                hand_over(second, first, sent, "hand-over without a standby")
                assert second.start()
                shared(tarns, sent)
                hand_over(first, second, sent, "hand-over without a standby, by the first process")
    print("SIGTERM hands over: fine")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A full disk beside Kafka: /readyz and one line of the log say it, counting and answers go on exactly, and with room the
state is written again by itself. After kill -9 with the disk full a start says what is wrong, and with room it is exact.

Usage: disk.py LIBPOWER   (tests/power/power_shim.c: the disk is full while a file exists)
"""
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "power"), str(HERE.parent / "crash")]
from full import Shim  # noqa: E402
from kafka_server import Cluster  # noqa: E402
from shared import PIPELINE, Sent, telling, until, whole  # noqa: E402
from tarn_server import Server  # noqa: E402


def ready(tarn):
    status, body = tarn.request("GET", "/readyz")
    return True if status == 200 else body.decode()


def meet(tarn, sent, disk):
    """Events until the store refuses."""
    disk.fill(None)

    def refused():
        sent.send(2000, songs=4000)
        whole(tarn, sent)
        return "state is not written" in str(ready(tarn)) or ready(tarn)
    until("a full disk", refused)


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        disk = Shim(sys.argv[1], folder)
        with telling(folder), Cluster(folder / "kafka") as kafka:
            sent = Sent(kafka)
            settings = {"application.id": "disk", "kafka.bootstrap.servers": kafka.bootstrap, "commit.interval.ms": 50,
                        "store.reserve.bytes": "0", "store.write.buffer.bytes": "1m", "state.cache.bytes": "64k"}
            server = Server(folder / "pipeline.sql", folder / "state", settings, env=disk.env)
            with server as tarn:
                tarn.wait_ready()
                meet(tarn, sent, disk)
                sent.send(2000, songs=4000)
                whole(tarn, sent)
                disk.make_room()
                until("ready again", lambda: ready(tarn))
                log = (folder / "state.log").read_text()
                assert log.count("state not written") == 1 and log.count("state is written again") == 1, log[-3000:]
                meet(tarn, sent, disk)
                tarn.kill()
                if tarn.start():  # it may get as far as reading the topics
                    tarn.kill()
                disk.make_room()
                assert tarn.start()
                tarn.wait_ready()
                whole(tarn, sent)
                assert tarn.stop() == 0
    print("a full disk, then room; kill -9 on a full disk, then room: said, exact")


if __name__ == "__main__":
    main()

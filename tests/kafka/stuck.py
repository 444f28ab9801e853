#!/usr/bin/env python3
"""Calls of librdkafka that do not return: tarn goes on by itself with another producer, and nothing is counted twice.

LD_PRELOAD holds the n-th call of a function for longer than tarn waits for any call (tests/kafka/stuck_calls.c). While
it is held and after it has returned, counts must go on and equal what was produced.
"""
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from tarn_server import Server  # noqa: E402

WAIT_SECONDS = 240
PIPELINE = """
CREATE STREAM ev (k VARCHAR, n INT) WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE by_key WITH (KAFKA_TOPIC='by_key', VALUE_FORMAT='JSON') AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY k;
"""


def send(tarn, number):
    status, body = tarn.request("POST", "/streams/ev", f'{{"k":"a","n":{number}}}'.encode())
    assert status // 100 == 2, (status, body)


def wait_for(what, holds):
    """Until it holds; prints why not when it never does."""
    deadline, seen = time.monotonic() + WAIT_SECONDS, None
    while True:
        seen = holds()
        if seen is True:
            return
        assert time.monotonic() < deadline, f"{what}: {seen}"
        time.sleep(0.2)  # between two looks


def check(kafka, folder, function):
    pipeline, log = folder / "pipeline.sql", folder / f"{function}.log"
    pipeline.write_text(PIPELINE.replace("'ev'", f"'{function}-ev'").replace("'by_key'", f"'{function}-by_key'"))
    env = {"LD_PRELOAD": os.environ["STUCK_CALLS"], "TARN_STUCK": f"{function}:4", "TARN_STUCK_SECONDS": "45"}
    sent = 0
    with Server(pipeline, folder / function, {"application.id": function, "kafka.bootstrap.servers": kafka.bootstrap},
                env) as tarn:
        tarn.wait_ready()
        while b"is held" not in log.read_bytes():
            sent += 1
            send(tarn, sent)
            tarn.sql("SELECT c FROM by_key", fresh=False)
        for _ in range(5):
            sent += 1
            send(tarn, sent)
        want = [[sent, sent * (sent + 1) // 2]]

        def is_there():
            rows = tarn.sql("SELECT c, s FROM by_key", fresh=False)
            return True if rows == want else f"{rows}, want {want}"
        wait_for("counts", is_there)
        assert b"state=stuck" in log.read_bytes(), "the call was not seen to be stuck"
        went_on_first = b"goes on" not in log.read_bytes()
        wait_for("the held call", lambda: b"an abandoned call has returned" in log.read_bytes())
        sent += 1
        send(tarn, sent)
        want = [[sent, sent * (sent + 1) // 2]]
        wait_for("counts after the held call returned", is_there)
    print(f"{function}: {sent} events, counted {'while' if went_on_first else 'after'} the call was held")


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as folder, \
            Cluster(pathlib.Path(folder) / "kafka") as kafka:
        for function in ("send_offsets_to_transaction", "commit_transaction"):
            check(kafka, pathlib.Path(folder), function)


if __name__ == "__main__":
    main()

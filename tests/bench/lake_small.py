#!/usr/bin/env python3
"""bin/bench lake, row sink-small: one object per change to a real radosgw, beside a bare libcurl loop with as many
requests at once on the same server. First the adapter alone, then a whole tarn whose sink reads a log of changes.

The server does most of the work on these cores, so wall time says how well it is kept busy; both are taken in turn.
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
from radosgw import Radosgw  # noqa: E402
from server import report  # noqa: E402
from tarn_server import Server  # noqa: E402

PARALLEL, ROUNDS = 32, 3
OBJECTS = int(os.environ.get("TARN_BENCH_OBJECTS", 4000))
PROGRAM = ROOT / "build" / "tests" / "bench" / "bench_s3"
PIPELINE = """
CREATE STREAM changes (id INT KEY, count INT, "songName" VARCHAR)
  WITH (KAFKA_TOPIC='changes', VALUE_FORMAT='JSON', PARTITIONS=4);
"""
SINK = """
CREATE SINK small FROM changes INTO exported.changes TO 's3://{bucket}'
  WITH (object_key='chart.json/${{date:now:yyyyMMdd-HHmmssSSS}}-${{exchangeId}}');
"""


def loop(kind, store, bucket):
    """(objects per second, CPU seconds)"""
    done = subprocess.run([PROGRAM, kind, f"s3://{bucket}", str(OBJECTS), str(PARALLEL)], check=True,
                          capture_output=True, text=True, timeout=600, env={**os.environ, **store.env})
    rate, cpu = done.stdout.split()
    return float(rate), float(cpu)


def sink(store, folder, number):
    """Objects per second from the sink's first look at a full log to its last object."""
    bucket, state = store.bucket(f"sink{number}"), folder / f"state{number}"
    pipeline = folder / "p.sql"
    pipeline.write_text(PIPELINE)
    with Server(pipeline, state, env=store.env) as tarn:
        body = "".join(f'{{"id":{i},"count":{i},"songName":"Into The Unknown"}}\n' for i in range(OBJECTS))
        status, answer = tarn.request("POST", "/streams/changes", body.encode(), {"Content-Type": "application/x-ndjson"})
        assert status == 200, answer
    pipeline.write_text(PIPELINE + SINK.format(bucket=bucket))
    started = time.monotonic()
    with Server(pipeline, state, env=store.env) as tarn:
        started = time.monotonic()
        while tarn.sql("SELECT rows FROM system.sinks", fresh=False)[0][0] < OBJECTS:
            assert time.monotonic() - started < 300, tarn.sql("SELECT * FROM system.sinks", fresh=False)
            time.sleep(0.02)
        seconds = time.monotonic() - started
    count = len(store.s3.keys(bucket, "chart.json/"))
    assert count == OBJECTS, count
    return OBJECTS / seconds


def main():
    subprocess.run(["ninja", "-C", str(ROOT / "build"), "bench_s3"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([str(ROOT / "bin" / "setup"), "s3"], check=True)
    with Radosgw() as store, tempfile.TemporaryDirectory() as folder:
        bucket = store.bucket("loops")
        loop("bare", store, bucket)  # the server's first requests are slower
        bare, adapter, whole = [], [], []
        for number in range(ROUNDS):
            bare.append(loop("bare", store, bucket))
            adapter.append(loop("adapter", store, bucket))
            whole.append(sink(store, pathlib.Path(folder), number))
        middle = statistics.median(rate for rate, _ in bare)
        report("sink-small", "adapter alone", "objects/s", statistics.median(rate for rate, _ in adapter), middle, "libcurl loop")
        report("sink-small", "a tarn's sink", "objects/s", statistics.median(whole), middle, "libcurl loop")
        cpu = [statistics.median(seconds for _, seconds in runs) / OBJECTS * 1e6 for runs in (adapter, bare)]
        report("sink-small", "adapter alone", "CPU us/object", *cpu, "libcurl loop")


if __name__ == "__main__":
    main()

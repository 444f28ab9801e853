#!/usr/bin/env python3
"""Benchmark `lake`, rows sink and sink-small.

sink: records of one topic → NDJSON gzip files of layout change, to a folder and to radosgw; CPU seconds of the whole tarn
process from CREATE SINK to the last file, beside zlib alone on the same bytes at the same level (6).
sink-small: one object per change to radosgw, wall seconds, beside `curl --parallel` (libcurl with the same number of
connections) putting the same bodies.

Usage: lake_sink.py [RECORDS] [SMALL]
"""
import gzip
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "lake"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
from lake_files import BucketStore, FolderStore, Table  # noqa: E402
from radosgw import ACCESS_KEY, SECRET_KEY, Radosgw  # noqa: E402
from server import cpu_seconds, report  # noqa: E402
from tarn_server import Server  # noqa: E402

STREAM = """CREATE STREAM plays (id INT KEY, count BIGINT, "songName" VARCHAR)
  WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=4);"""


def fill(tarn, records):
    rng = random.Random(1)
    for at in range(0, records, 20000):
        body = "\n".join(f'{{"id":{rng.randrange(100000)},"count":{at + i},"songName":"Song number {rng.randrange(1000)}"}}'
                         for i in range(min(20000, records - at)))
        status, answer = tarn.request("POST", "/streams/plays", body.encode(), {"Content-Type": "application/x-ndjson"})
        assert status == 200, answer


def wait_done(tarn, records):
    while True:
        rows = tarn.sql("SELECT rows, error FROM system.sinks", fresh=False)
        assert not rows[0][1], rows
        if rows[0][0] >= records:
            return
        time.sleep(0.02)


def zlib_seconds(table):
    total = 0.0
    for file in table.files:
        text = gzip.decompress(table.read(file["path"]))
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for i in range(0, len(text), 1 << 20):
            packer.compress(text[i:i + (1 << 20)])
        packer.flush()
        after = resource.getrusage(resource.RUSAGE_SELF)
        total += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return total


def sink(folder, gateway, records):
    (folder / "p.sql").write_text(STREAM)
    with Server(folder / "p.sql", folder / "state", env=gateway.env) as tarn:
        fill(tarn, records)
        for name, place in (("folder", str(folder / "lake")), ("radosgw", "s3://bench/lake")):
            before = cpu_seconds(tarn.process.pid)
            tarn.sql(f"CREATE SINK k FROM plays INTO z.{name} TO '{place}' WITH (compression='gzip', "
                     "rotate.records=500000, rotate.idle='100ms')", fresh=False)
            wait_done(tarn, records)
            used = cpu_seconds(tarn.process.pid) - before
            store = FolderStore(folder) if name == "folder" else BucketStore(gateway, "bench")
            table = Table(store, "lake")
            assert sum(file["rows"] for file in table.files) == records
            report("sink", f"{records} records → gzip, {name}", "CPU s", used, zlib_seconds(table), "zlib alone, level 6")
            tarn.sql("DROP SINK k", fresh=False)


def bare_puts(folder, gateway, bodies, parallel):
    for i, body in enumerate(bodies):
        (folder / f"b{i}").write_text(body)
    config = []
    for i in range(len(bodies)):
        config += [f'upload-file = "{folder}/b{i}"', f'url = "{gateway.url}/bench/bare/{i:08d}"',
                   'aws-sigv4 = "aws:amz:us-east-1:s3"', f'user = "{ACCESS_KEY}:{SECRET_KEY}"', "silent", "show-error",
                   'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"', 'output = "/dev/null"', 'write-out = "%{http_code}\\n"', "next"]
    (folder / "curl.cfg").write_text("\n".join(config[:-1]) + "\n")
    began = time.monotonic()
    done = subprocess.run(["curl", "--parallel", "--parallel-immediate", "--parallel-max", str(parallel), "-K",
                           str(folder / "curl.cfg")], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    # curl 7.88 signs one or two of thousands wrongly: only what was stored counts
    stored = done.stdout.split().count("200")
    assert stored > len(bodies) * 0.99, (stored, done.stdout[-200:])
    return stored / seconds


def small(folder, gateway, records):
    (folder / "p.sql").write_text(STREAM)
    with Server(folder / "p.sql", folder / "state", env=gateway.env) as tarn:
        fill(tarn, records)
        began = time.monotonic()
        tarn.sql("CREATE SINK k FROM plays INTO z.small TO 's3://bench/small' WITH "
                 "(object_key='s.json/${date:now:yyyyMMdd-HHmmssSSS}-${exchangeId}')", fresh=False)
        wait_done(tarn, records)
        seconds = time.monotonic() - began
    bodies = [json.dumps({"id": i, "count": i, "songName": f"Song number {i % 1000}"}, separators=(",", ":"))
              for i in range(records)]
    bare = bare_puts(folder, gateway, bodies, 32)
    report("sink-small", f"{records} objects", "objects/s", records / seconds, bare, "curl --parallel, 32 connections")


def main():
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    with tempfile.TemporaryDirectory() as temp, Radosgw() as gateway:
        gateway.bucket("bench")
        for name in ("sink", "small"):
            (pathlib.Path(temp) / name).mkdir()
        sink(pathlib.Path(temp) / "sink", gateway, records)
        small(pathlib.Path(temp) / "small", gateway, count)


if __name__ == "__main__":
    main()

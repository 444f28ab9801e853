#!/usr/bin/env python3
"""kill -9 while sinks write, at random moments and at named points, to a folder and to a real S3 server; then reconcile.

A driver posts events in batches with Idempotency-Keys and repeats what was not answered. At the end, for each sink:
every offset of its topic is in exactly one file, names are unique and nothing lies about that no entry names, sizes and
checksums are those of the log, ranges follow each other without gap; the changelog's files fold to the live table;
notices are on their topic once each; `tarn verify` agrees. With --s3 the gateway dies now and then, too.

Usage: crash.py [--kills N] [--events N] [--seed N] [--s3]
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from lake_files import BucketStore, FolderStore, Table  # noqa: E402
from radosgw import Radosgw  # noqa: E402
from tarn_server import Gone, Server, verify  # noqa: E402

PIPELINE = """
CREATE STREAM ev (id INT KEY, n BIGINT) WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE STREAM ev_notices (id INT KEY, n BIGINT) WITH (KAFKA_TOPIC='ev-notices', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE STREAM few (id INT KEY, n BIGINT) WITH (KAFKA_TOPIC='few', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE sums AS SELECT id, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY id;
CREATE SINK raw FROM ev INTO bronze.ev TO '{lake}/ev'
  WITH (layout='raw', rotate.records=700, rotate.idle='200ms', notify_topic='ev-notices', retry.backoff='20ms');
CREATE SINK changes FROM sums INTO gold.sums TO '{lake}/sums'
  WITH (compression='gzip', partition_by='hour', rotate.records=500, rotate.interval='300ms', rotate.idle='200ms',
        retry.backoff='20ms', retry.backoff.max='500ms');
CREATE SINK objects FROM few INTO gold.few TO '{lake}/few'
  WITH (object_key='few.json/${{date:now:yyyyMMdd-HHmmssSSS}}-${{exchangeId}}', retry.backoff='20ms');
"""
POINTS = ["sink-before-cut", "sink-after-cut", "sink-after-upload", "sink-before-complete", "sink-after-complete",
          "sink-in-notices", "sink-before-record", "sink-after-record"]
BATCH = 250


def batch_of(seed, number):
    rng = random.Random(seed * 1_000_003 + number)
    return [{"id": rng.randrange(400), "n": rng.randrange(1000)} for _ in range(BATCH)]


def post(tarn, stream, events, key):
    body = "\n".join(json.dumps(event) for event in events).encode()
    status, answer = tarn.request("POST", f"/streams/{stream}", body,
                                  {"Content-Type": "application/x-ndjson", "Idempotency-Key": key})
    if status in (409, 503):
        return False
    assert status == 200, f"{status}: {answer!r}"
    return True


def drive(tarn, seed, done, total):
    """Posts until all is acknowledged or the server is gone."""
    try:
        while done["n"] < total:
            number = done["n"]
            events = batch_of(seed, number)
            few = events[:5]
            if post(tarn, "ev", events, f"ev-{number}") and post(tarn, "few", few, f"few-{number}"):
                done["n"] += 1
    except Gone:
        pass


def wait_written(tarn):
    """Until the tables hold everything; polls what the sinks say of themselves."""
    deadline = time.monotonic() + 120
    while True:
        tarn.sql("SELECT COUNT(*) FROM sums")  # fresh: the table has seen every event
        rows = tarn.sql("SELECT name, state, lag_records, open_rows, error FROM system.sinks", fresh=False)
        if all(row[2] == 0 and row[3] == 0 and row[1] == "RUNNING" for row in rows):
            return
        assert time.monotonic() < deadline, f"sinks do not finish: {rows}"
        time.sleep(0.05)


def run_kills(args, make_server, gateway, rng):
    total = args.events // BATCH
    done = {"n": 0}
    hits = collections.Counter()
    for kill in range(args.kills):
        name = POINTS[kill // 2 % len(POINTS)] if kill % 2 else None
        env = {"TARN_CRASH_POINT": f"{name}:{rng.randrange(1, 5)}"} if name else {}
        tarn = make_server(env)
        if not tarn.start():
            hits[f"{name} at start"] += 1  # the cut of before was completed while starting
            continue
        # this kill's share of the events; what is left comes at the end
        share = total * (kill + 1) // (args.kills + 1)
        if gateway and kill % 5 == 3:
            gateway.stop_gateway(signal.SIGKILL)
        timer = None
        if not name:
            timer = threading.Timer(rng.uniform(0.02, 0.8), tarn.process.kill)  # the random moment is the test
            timer.start()
        drive(tarn, args.seed, done, max(share, done["n"]))
        if gateway and kill % 5 == 3:
            gateway.start_gateway()
        if name:
            # the point comes by itself once files are due
            try:
                tarn.process.wait(15)
                hits[name] += 1
            except Exception:
                hits[f"{name} not reached"] += 1
                tarn.process.kill()
        else:
            timer.join()
            hits["random"] += 1
        tarn.wait()
    with make_server({}) as tarn:
        drive(tarn, args.seed, done, total)
        assert done["n"] == total, "events were refused"
        wait_written(tarn)
        live = {row[0]: (row[1], row[2]) for row in tarn.sql("SELECT id, c, s FROM sums")}
        notices = tarn.sql("SELECT COUNT(*), SUM(n), COUNT(DISTINCT CAST(ROWPARTITION AS VARCHAR) || '-' || "
                           "CAST(ROWOFFSET AS VARCHAR)) FROM ev_notices")[0]
        events = tarn.sql("SELECT COUNT(*), SUM(n) FROM ev")[0]
        zone = tarn.sql("SELECT COUNT(*) FROM bronze.ev")[0][0]
    print("kills:", dict(hits))
    return live, notices, events, zone, total


def reconcile(store, prefix, live, notices, events, zone, total):
    expected = total * BATCH
    assert events[0] == expected, f"{events[0]} events in the topic, {expected} were acknowledged"
    assert notices[:2] == events[:2], f"notices {notices} for events {events}"
    assert zone == expected, f"bronze.ev shows {zone} rows, {expected} were acknowledged"
    at = f"{prefix}/" if prefix else ""
    # raw: each offset once
    table = Table(store, f"{at}ev")
    ends = table.check()
    seen = collections.Counter((row["_partition"], row["_offset"]) for _, row in table.rows())
    assert sum(ends.values()) == expected and len(seen) == expected and max(seen.values()) == 1, "raw: offsets"
    # changes: each offset once, and they fold to the table
    table = Table(store, f"{at}sums")
    ends = table.check()
    rows = [row for _, row in table.rows()]
    seen = collections.Counter((row["_partition"], row["_offset"]) for row in rows)
    assert len(seen) == sum(ends.values()) and max(seen.values()) == 1, "changes: offsets"
    folded = {}
    for row in sorted(rows, key=lambda row: (row["_partition"], row["_offset"])):
        folded[row["id"]] = (row["c"], row["s"])
    assert folded == live, "the files do not fold to the live table"
    assert sum(c for c, _ in live.values()) == expected
    # objects: one each, the name is that of the offset
    table = Table(store, f"{at}few")
    ends = table.check()
    assert sum(ends.values()) == len(table.files) == total * 5, "objects"
    for file in table.files:
        tail = file["path"].rsplit("-", 1)[1]
        assert tail == f"{file['partition']:04X}{file['first']:012X}", file["path"]
    return len(seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--events", type=int, default=34000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true")
    args = parser.parse_args()
    print("seed", args.seed)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="tarn-lake-crash-") as folder:
        root = pathlib.Path(folder)
        gateway = Radosgw() if args.s3 else None
        if gateway:
            gateway.__enter__()
        try:
            lake = f"s3://{gateway.bucket('lake')}/crash" if gateway else str(root / "lake")
            (root / "p.sql").write_text(PIPELINE.format(lake=lake))

            def make_server(env):
                return Server(root / "p.sql", root / "state", settings={"s3.timeout.ms": "5s"},
                              env={**(gateway.env if gateway else {}), **env})
            found = run_kills(args, make_server, gateway, rng)
            store = BucketStore(gateway, "lake") if gateway else FolderStore(root / "lake")
            changes = reconcile(store, "crash" if gateway else "", *found)
            if gateway:
                os.environ.update(gateway.env)
            print(verify(root / "state", "music-chart").strip().splitlines()[-1])
            print(f"{args.kills} kills, {args.events} events, {changes} changes: each offset in one file")
        finally:
            if gateway:
                gateway.__exit__()


if __name__ == "__main__":
    main()

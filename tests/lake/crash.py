#!/usr/bin/env python3
"""kill -9 while sinks write, at random moments and at named points, to a folder and to a real S3 server, on the embedded
log and on a real Kafka, while the store fails now and then; then reconcile.

At the end, for each sink: every offset of its topic is in exactly one file, names are unique and nothing lies about that
no entry names, sizes and checksums are those of the log, ranges follow each other without gap; the changelog's files fold
to the live table; notices are on their topic once each; `tarn verify` agrees.

The store: of a folder the place for temporary files is out of order for moments; S3 requests go through a proxy that
spoils some (overload, errors, resets before and after the server has done it, answers cut short), and the gateway dies.
The log: embedded, a driver posts events in batches with Idempotency-Keys and repeats what was not answered. Kafka: two
processes of one application share the work; one or both are killed, some come back with an empty state folder.

Usage: crash.py [--kills N] [--events N] [--seed N] [--s3] [--kafka]
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fault_proxy import FaultProxy, cut, reset_after, reset_before, status  # noqa: E402
from kafka_server import Cluster  # noqa: E402
from lake_files import BucketStore, FolderStore, Table  # noqa: E402
from radosgw import Radosgw  # noqa: E402
from tarn_server import Gone, Server, verify  # noqa: E402

PIPELINE = """
CREATE STREAM ev (id INT {key}, n BIGINT) WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE STREAM ev_notices (id INT {key}, n BIGINT) WITH (KAFKA_TOPIC='ev-notices', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE STREAM few (id INT {key}, n BIGINT) WITH (KAFKA_TOPIC='few', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE sums AS SELECT id, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY id;
CREATE SINK raw FROM ev INTO bronze.ev TO '{lake}/ev'
  WITH (layout='raw', rotate.records=700, rotate.idle='200ms', notify_topic='ev-notices', retry.backoff='20ms',
        retry.backoff.max='500ms');
CREATE SINK changes FROM sums INTO gold.sums TO '{lake}/sums'
  WITH (compression='gzip', partition_by='hour', rotate.records=500, rotate.interval='300ms', rotate.idle='200ms',
        retry.backoff='20ms', retry.backoff.max='500ms');
CREATE SINK objects FROM few INTO gold.few TO '{lake}/few'
  WITH (object_key='few.json/${{date:now:yyyyMMdd-HHmmssSSS}}-${{exchangeId}}', retry.backoff='20ms',
        retry.backoff.max='500ms');
"""
POINTS = ["sink-before-cut", "sink-after-cut", "sink-after-upload", "sink-before-complete", "sink-after-complete",
          "sink-in-notices", "sink-before-record", "sink-after-record"]
BATCH = 250
keys = 400


def batch_of(seed, number):
    rng = random.Random(seed * 1_000_003 + number)
    return [{"id": rng.randrange(keys), "n": rng.randrange(1000)} for _ in range(BATCH)]


# ---- trouble of the store ----


class FolderTrouble:
    """For moments a table's place for temporary files is a plain file: nothing can be written."""

    def __init__(self, lake, rng):
        self.lake, self.rng, self.is_over, self.count = lake, rng, threading.Event(), 0
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def _run(self):
        while not self.is_over.wait(self.rng.uniform(0.05, 0.4)):
            tmp = self.lake / self.rng.choice(["ev", "sums", "few"]) / ".tarn-tmp"
            aside = tmp.with_name(".tarn-aside")
            try:
                tmp.rename(aside)
            except OSError:
                continue  # not made yet
            try:
                tmp.write_text("")
                self.count += 1
                self.is_over.wait(self.rng.uniform(0.01, 0.2))
                tmp.unlink()
            except OSError:
                pass  # a writer was quicker and made a new one
            self._put_back(aside, tmp)

    @staticmethod
    def _put_back(aside, tmp):
        while True:
            try:
                aside.rename(tmp)
                return
            except OSError:  # in use by a writer again
                shutil.rmtree(tmp, ignore_errors=True)


class BucketTrouble(FaultProxy):
    def __init__(self, gateway, rng):
        super().__init__(gateway.host)
        self.chaos = (rng, 0.04, [status(503, "SlowDown"), status(500, "InternalError"), status(400, "RequestTimeout"),
                                  reset_before, reset_after, cut])

    @property
    def count(self):
        return sum(is_spoiled for _, _, is_spoiled in self.seen)


# ---- the two logs ----


class Embedded:
    """One process; events come by HTTP."""
    members, application, key = 1, "music-chart", "KEY"

    def __init__(self, seed):
        self.seed, self.done, self.settings = seed, 0, {"application.id": self.application}

    def post(self, tarn, stream, events, key):
        body = "\n".join(json.dumps(event) for event in events).encode()
        code, answer = tarn.request("POST", f"/streams/{stream}", body,
                                    {"Content-Type": "application/x-ndjson", "Idempotency-Key": key})
        if code in (409, 503):
            return False
        assert code == 200, f"{code}: {answer!r}"
        return True

    def feed(self, servers, upto):
        """Posts until all is acknowledged or the server is gone."""
        try:
            while self.done < upto:
                events, number = batch_of(self.seed, self.done), self.done
                if (self.post(servers[0], "ev", events, f"ev-{number}") and
                        self.post(servers[0], "few", events[:5], f"few-{number}")):
                    self.done += 1
        except Gone:
            pass

    def stop(self):
        pass


class Kafka:
    """Two processes; events come from a Kafka client that knows nothing of them."""
    members, application, key = 2, "lake-crash", ""

    def __init__(self, seed, folder):
        self.seed, self.done, self.cluster = seed, 0, Cluster(folder)
        self.cluster.start()
        self.settings = {"application.id": self.application, "kafka.bootstrap.servers": self.cluster.bootstrap,
                         "default.partitions": "3", "num.standby.replicas": "0"}

    def produce(self, topic, events):
        subprocess.run(["kcat", "-P", "-b", self.cluster.bootstrap, "-t", topic, "-X", "acks=all"], check=True, timeout=120,
                       input="".join(json.dumps(event) + "\n" for event in events).encode())

    def feed(self, _, upto):
        batches = [batch_of(self.seed, number) for number in range(self.done, upto)]
        if batches:
            self.produce("ev", [event for batch in batches for event in batch])
            self.produce("few", [event for batch in batches for event in batch[:5]])
        self.done = max(self.done, upto)

    def stop(self):
        self.cluster.__exit__()


# ---- kills ----


def wait_written(tarn):
    """Until the tables hold everything; polls what the sinks say of themselves."""
    deadline, rows = time.monotonic() + 240, None
    while True:
        try:
            tarn.sql("SELECT COUNT(*) FROM sums")  # fresh: the table has seen every event
            rows = tarn.sql("SELECT name, state, lag_records, open_rows, error FROM system.sinks", fresh=False)
            if all(row[2] == 0 and row[3] == 0 and row[1] == "RUNNING" for row in rows):
                return
        except AssertionError as error:  # partitions of a process that was killed are not taken over yet
            rows = str(error)[:300]
        assert time.monotonic() < deadline, f"sinks do not finish: {rows}"
        time.sleep(0.05)


def wait_any(servers, seconds):
    """The first of them to end by itself; None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for server in servers:
            if server.process.poll() is not None:
                return server
        time.sleep(0.02)  # between two looks; the end decides
    return None


class Run:
    def __init__(self, args, log, make_server, gateway, rng):
        self.args, self.log, self.make_server, self.gateway, self.rng = args, log, make_server, gateway, rng
        self.total, self.hits = args.events // BATCH, collections.Counter()

    def start_all(self, env):
        servers = []
        for number in range(self.log.members):
            server = self.make_server(number, env)
            if server.start():
                servers.append(server)
        return servers

    def kill(self, number):
        point = POINTS[number // 2 % len(POINTS)] if number % 2 else None
        env = {"TARN_CRASH_POINT": f"{point}:{self.rng.randrange(1, 5)}"} if point else {}
        servers = self.start_all(env)
        if not servers:
            self.hits[f"{point} at start"] += 1  # the cut of before was completed while starting
            return
        # this kill's share of the events; what is left comes at the end
        share = max(self.total * (number + 1) // (self.args.kills + 1), self.log.done)
        has_outage = self.gateway and number % 5 == 3
        if has_outage:
            self.gateway.stop_gateway(signal.SIGKILL)
        timer = None
        if not point:
            victim = self.rng.choice(servers)
            late = self.rng.uniform(0.02, 0.8) * (4 if self.log.members > 1 else 1)
            timer = threading.Timer(late, victim.process.kill)  # the random moment is the test
            timer.start()
        self.log.feed(servers, share)
        if has_outage:
            self.gateway.start_gateway()
        if point:  # it comes by itself once files are due
            self.hits[point if wait_any(servers, 20) else f"{point} not reached"] += 1
        else:
            timer.join()
            self.hits["random"] += 1
        for server in servers:
            if server.process.poll() is None:
                server.process.kill()
            server.wait()
        if self.log.members > 1 and number % 6 == 4:
            shutil.rmtree(self.rng.choice(servers).state)  # it comes back as somebody else
            self.hits["empty state folder"] += 1

    def run(self):
        for number in range(self.args.kills):
            self.kill(number)
        with self.make_server(0, {}) as tarn:
            self.log.feed([tarn], self.total)
            assert self.log.done == self.total, "events were refused"
            wait_written(tarn)
            live = {row[0]: (row[1], row[2]) for row in tarn.sql("SELECT id, c, s FROM sums")}
            notices = tarn.sql("SELECT COUNT(*), SUM(n), COUNT(DISTINCT CAST(ROWPARTITION AS VARCHAR) || '-' || "
                               "CAST(ROWOFFSET AS VARCHAR)) FROM ev_notices")[0]
            events = tarn.sql("SELECT COUNT(*), SUM(n) FROM ev")[0]
            zone = tarn.sql("SELECT COUNT(*) FROM bronze.ev")[0][0]
        print("kills:", dict(self.hits))
        return live, notices, events, zone, self.total


def reconcile(store, prefix, has_holes, live, notices, events, zone, total):
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
    assert max(seen.values()) == 1, "changes: offsets twice"
    if not has_holes:  # Kafka's transactions leave offsets without records
        assert len(seen) == sum(ends.values()), "changes: offsets"
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
    parser.add_argument("--keys", type=int, default=keys, help="of the table; many: a change for nearly every event")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--kafka", action="store_true")
    args = parser.parse_args()
    globals()["keys"] = args.keys
    print("seed", args.seed)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="tarn-lake-crash-") as folder:
        root = pathlib.Path(folder)
        (root / "lake").mkdir()
        gateway = Radosgw().__enter__() if args.s3 else None
        log = None
        try:
            log = Kafka(args.seed, root / "kafka") if args.kafka else Embedded(args.seed)
            lake = f"s3://{gateway.bucket('lake')}/crash" if gateway else str(root / "lake")
            (root / "p.sql").write_text(PIPELINE.format(lake=lake, key=log.key))
            trouble = BucketTrouble(gateway, rng) if gateway else FolderTrouble(root / "lake", rng)
            with trouble:
                ways = {**gateway.env, "AWS_ENDPOINT_URL_S3": trouble.url} if gateway else {}

                def make_server(number, env):
                    return Server(root / "p.sql", root / f"state{number}", settings={"s3.timeout.ms": "5s", **log.settings},
                                  env={**ways, **env})
                found = Run(args, log, make_server, gateway, rng).run()
            store = BucketStore(gateway, "lake") if gateway else FolderStore(root / "lake")
            changes = reconcile(store, "crash" if gateway else "", args.kafka, *found)
            if gateway:
                os.environ.update(gateway.env)
            if not args.kafka:
                print(verify(root / "state0", log.application).strip().splitlines()[-1])
            print(f"{args.kills} kills, {trouble.count} faults of the store, {args.events} events, {changes} changes: each "
                  "offset in one file")
            assert trouble.count > args.kills / 2, "the store was hardly in trouble"
        except BaseException:
            for number in range(2):
                text = pathlib.Path(f"{root}/state{number}.log")
                if text.exists():
                    print(f"--- state{number}.log\n{text.read_text(errors='replace')[-4000:]}", file=sys.stderr)
            raise
        finally:
            if log:
                log.stop()
            if gateway:
                gateway.__exit__()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""kill -9 at random moments and at named points, then reconcile.

A driver posts events in batches, each with an Idempotency-Key, and repeats a batch whose answer it did not get after
the restart. In the end every event must be counted exactly once: in plain counts and sums, in an AVG table, in a HAVING
table, in a windowed table; `tarn verify` must find that changelogs fold to the same tables; and a second engine that
rebuilds everything from the logs alone (state folder's tables dropped by a new query) must agree.

Usage: crash.py [--kills N] [--events N] [--seed N] [--small] [--points] [--power LIBPOWER]
  --small   state.cache.bytes = 64 KiB and a flush at each commit
  --points  die at each named point of the code in turn instead of random moments; one that is not reached fails
  --power   a preloaded library cuts the state folder back to its synced bytes (tests/power/power_shim.c)
"""
import argparse
import collections
import json
import pathlib
import random
import re
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import Gone, Server, verify  # noqa: E402

PIPELINE = """
CREATE STREAM ev (k VARCHAR, n INT, ts BIGINT)
  WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=4, TIMESTAMP='ts');
CREATE STREAM old (n INT) WITH (KAFKA_TOPIC='old', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=1);
CREATE STREAM hot (k VARCHAR, n INT, ts BIGINT) WITH (KAFKA_TOPIC='hot', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE hottest AS SELECT k, COUNT(*) AS c FROM hot GROUP BY k;
CREATE TABLE by_key AS SELECT k, COUNT(*) AS c, SUM(n) AS s, MIN(n) AS lo, MAX(n) AS hi FROM ev GROUP BY k;
CREATE TABLE avgs AS SELECT k, AVG(n) AS a FROM ev GROUP BY k;
CREATE TABLE evens AS SELECT k, COUNT(*) AS c FROM ev GROUP BY k HAVING COUNT(*) % 2 = 0;
CREATE TABLE held WITH (EMIT_INTERVAL_MS=150) AS
  SELECT k, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY k HAVING COUNT(*) % 3 <> 0;
CREATE STREAM held_log (k VARCHAR KEY, c BIGINT) WITH (KAFKA_TOPIC='HELD', VALUE_FORMAT='JSON');
CREATE TABLE held_again AS SELECT k, c, s FROM held WHERE c > 1;
CREATE TABLE held_long WITH (EMIT_INTERVAL_MS=3600000) AS SELECT k, COUNT(*) AS c FROM ev GROUP BY k;
CREATE TABLE per_minute AS SELECT k, COUNT(*) AS c FROM ev WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k;
"""
# What a run for a named point does besides batches of events: the passes among which one is chosen, settings, and what
# has to happen meanwhile. A table's file needs a flush, maintenance must run often, a restore a state that lags.
FLUSH, FILE = {"state.flush.every.commit": "true"}, {"state.flush.every.commit": "true", "store.ingest.rows": "1"}
OFTEN = {"store.maintain.interval.ms": "20"}
POINTS = {"append-before-write": (30,), "append-after-write": (30,), "append-before-sync": (30,),
          "append-before-done": (30,), "commit-before-write": (20,), "commit-after-write": (20,),
          "sync-before": (60,), "sync-after": (60,), "flush-before": (6, FLUSH), "flush-after": (6, FLUSH),
          "state-before-write": (6, {**FLUSH, "store.ingest.rows": "100000000"}),
          "state-after-write": (6, {**FLUSH, "store.ingest.rows": "100000000"}), "state-file-built": (6, FILE),
          "state-file-ingested": (6, FILE), "restore-step": (2, {}, "lag"), "catalog-before-write": (3, {}, "ddl"),
          "topic-delete": (2, {}, "ddl"), "retention-before-write": (3, OFTEN, "old"),
          "retention-after-write": (3, OFTEN, "old"), "compaction-before-write": (3, OFTEN, "hot"),
          "compaction-after-write": (3, OFTEN, "hot")}
LAG_TRIES = 20
ROUNDS_MAX = 1000
BATCH = 200
T0 = 1_700_000_000_000


class Model:
    def __init__(self):
        self.values = collections.defaultdict(list)
        self.windows = collections.Counter()

    def add(self, event):
        self.values[event["k"]].append(event["n"])
        self.windows[event["k"], event["ts"] // 60000 * 60000] += 1


def make_batch(rng, number):
    events = []
    for i in range(BATCH):
        key = f"k{min(int(rng.paretovariate(0.6)), 5000)}"
        events.append({"k": key, "n": rng.randrange(-1000, 1000), "ts": T0 + (number * BATCH + i) * 50})
    return events


# Points that need a broker or a sink: another crash test dies at them.
ELSEWHERE = {"kafka-": "kafka-crash", "sink-": "lake"}


def points_of_the_code():
    """Names in the code that this test has to reach. Each of the others must be named in the test it belongs to."""
    tests = pathlib.Path(__file__).resolve().parents[1]
    found = set()
    for folder in ("stream", "store", "connectors", "sql", "dashboards"):
        for path in (tests.parent / folder).rglob("*.c"):
            for call in re.findall(r"tn_crash_point\(([^;]*);", path.read_text()):
                found.update(re.findall(r'"([a-z-]+)"', call))
    for prefix, folder in ELSEWHERE.items():
        theirs = {name for name in found if name.startswith(prefix)}
        text = "".join(path.read_text() for path in (tests / folder).glob("*crash*.py"))
        missing = sorted(name for name in theirs if name not in text)
        if not text and missing:
            print(f"no crash test in tests/{folder} yet for: {' '.join(missing)}")
        else:
            assert not missing, f"not in tests/{folder}: {missing}"
        found -= theirs
    return found


def provoke(tarn, what, number):
    """One step of what leads to a point that events alone do not."""
    if what == "ddl":
        for text in (f"CREATE STREAM IF NOT EXISTS extra (k VARCHAR, n INT) WITH (KAFKA_TOPIC='extra{number % 3}', "
                     "VALUE_FORMAT='JSON', PARTITIONS=1)", "DROP STREAM IF EXISTS extra DELETE TOPIC"):
            tarn.sql(text, fresh=False)
    elif what == "old":
        status, answer = tarn.request("POST", "/streams/old", b'{"n":1}', {"Content-Type": "application/json"})
        assert status == 200, f"{status}: {answer!r}"
    elif what == "hot":
        rows = "\n".join(json.dumps({"k": f"hot{i % 3}", "n": number, "ts": T0}) for i in range(200))
        status, answer = tarn.request("POST", "/streams/hot", rows.encode(), {"Content-Type": "application/x-ndjson"})
        assert status == 200, f"{status}: {answer!r}"


def reconcile(tarn, model):
    def rows(text):
        return {tuple(r[:-1]) if len(r) > 2 else r[0]: r[-1] for r in tarn.sql(text)}

    want = {k: [len(v), sum(v), min(v), max(v)] for k, v in model.values.items()}
    got = {r[0]: r[1:] for r in tarn.sql("SELECT k, c, s, lo, hi FROM by_key")}
    assert got == want, f"by_key differs: {diff(got, want)}"
    got = rows("SELECT k, a FROM avgs")
    want = {k: sum(v) / len(v) for k, v in model.values.items()}
    assert got.keys() == want.keys() and all(abs(got[k] - want[k]) < 1e-9 for k in want), "avgs differ"
    got = rows("SELECT k, c FROM evens")
    want = {k: len(v) for k, v in model.values.items() if len(v) % 2 == 0}
    assert got == want, f"evens differs: {diff(got, want)}"
    got = rows("SELECT k, WINDOWSTART, c FROM per_minute")
    assert got == dict(model.windows), f"per_minute differs ({len(got)} rows, {len(model.windows)} wanted): {diff(got, dict(model.windows))}"


def reconcile_held(tarn, model, is_emitted):
    """Tables whose results are held back. is_emitted: everything went out, so who reads the results has it all."""
    want = {k: [len(v), sum(v)] for k, v in model.values.items() if len(v) % 3}
    got = {r[0]: r[1:] for r in tarn.sql("SELECT k, c, s FROM held")}
    assert got == want, f"held differs: {diff(got, want)}"
    got = {r[0]: r[1] for r in tarn.sql("SELECT k, c FROM held_long")}
    counts = {k: len(v) for k, v in model.values.items()}
    assert got == counts, f"held_long differs: {diff(got, counts)}"
    want = {k: v for k, v in want.items() if v[0] > 1}
    got = {r[0]: r[1:] for r in tarn.sql("SELECT k, c, s FROM held_again")}
    assert not is_emitted or got == want, f"held_again differs: {diff(got, want)}"
    last = {}
    for key, count in tarn.sql("SELECT k, c FROM held_log ORDER BY ROWPARTITION, ROWOFFSET"):
        assert count is None or count > last.get(key, 0), f"held: {key}: result {count} after {last.get(key)}"
        last[key] = count or last.get(key, 0)


def diff(got, want):
    keys = [k for k in set(got) | set(want) if got.get(k) != want.get(k)]
    return f"{len(keys)} keys, e.g. " + ", ".join(f"{k}: got {got.get(k)}, want {want.get(k)}" for k in sorted(keys)[:5])


def power_environment(options, rng, state, number):
    """libpower.so cuts at a random file operation: half of the time while starting, half of the time torn."""
    state.mkdir(exist_ok=True)
    return {"LD_PRELOAD": options.power, "TARN_POWER_FOLDER": str(state),
            "TARN_POWER_AT": str(rng.randint(1, 150 if number % 3 == 0 else 600)),
            "TARN_POWER_TEAR": str(rng.randint(1, 1 << 30) if number % 2 else 0)}


class Driver:
    """Posts batches and remembers what was acknowledged; a batch without an answer is repeated after the restart."""

    def __init__(self, options, folder):
        self.rng, self.model = random.Random(options.seed), Model()
        self.options, self.state = options, folder / "state"
        self.pipeline = folder / "pipeline.sql"
        self.pipeline.write_text(PIPELINE)
        self.settings = {"application.id": "crash"}
        if options.small:
            self.settings.update({"state.cache.bytes": "65536", "state.flush.every.commit": "true",
                                  "store.ingest.rows": "50"})
        self.kills = self.sent = self.number = self.dead_starts = 0
        self.pending = self.last = None
        self.points = collections.Counter()

    def server(self, settings=None, env=None):
        self.last = Server(self.pipeline, self.state, {**self.settings, **(settings or {})}, env)
        return self.last

    def post(self, tarn):
        if self.pending is None:
            self.pending, self.number = (self.number, make_batch(self.rng, self.number)), self.number + 1
        body = "\n".join(json.dumps(e, separators=(",", ":")) for e in self.pending[1]).encode()
        status, answer = tarn.request("POST", "/streams/ev", body, {
            "Content-Type": "application/x-ndjson", "Idempotency-Key": f"batch-{self.pending[0]}"})
        assert status == 200, f"{status}: {answer!r}"
        for event in self.pending[1]:
            self.model.add(event)
        self.sent, self.pending = self.sent + BATCH, None

    def must_start(self, tarn):
        if not tarn.start():
            raise AssertionError("tarn did not start: " + self.state.with_suffix(".log").read_text()[-3000:])

    def lag(self):
        """kill -9 before the state is flushed: the next start has something to restore."""
        tarn = self.server({"state.flush.every.commit": "false"})
        self.must_start(tarn)
        for _ in range(5):
            self.post(tarn)
        reconcile(tarn, self.model)
        tarn.kill()
        self.kills += 1

    def die_at_point(self, point):
        passes, settings, what = (*POINTS[point], {}, "")[:3] if len(POINTS[point]) == 1 else (*POINTS[point], "")[:3]
        count = self.rng.randint(1, passes)
        for _ in range(LAG_TRIES if what == "lag" else 1):
            if what == "lag":
                self.lag()
            tarn = self.server(settings, {"TARN_CRASH_POINT": f"{point}:{count}"})
            is_started = tarn.start()
            if what != "lag" or not is_started:
                break
            tarn.kill()  # the little cache had just been flushed: nothing was left to restore
            self.kills += 1
        assert what != "lag" or not is_started, f"point {point}:{count} was not reached in {LAG_TRIES} starts"
        try:
            for step in range(ROUNDS_MAX if is_started else 0):
                provoke(tarn, what, step)
                self.post(tarn)
            if is_started:
                tarn.kill()
                raise AssertionError(f"point {point}:{count} was not reached in {ROUNDS_MAX} rounds")
        except Gone:
            status = tarn.wait()
            assert status == -9, f"at {point}: exit status {status}"
        self.kills, self.dead_starts = self.kills + 1, self.dead_starts + (not is_started)
        self.points[point] += 1

    def die_sometime(self):
        env, late = {}, self.rng.uniform(0.02, 0.6)
        if self.options.power:
            env, late = power_environment(self.options, self.rng, self.state, self.kills), 1.0
        tarn = self.server(env=env)
        self.kills += 1
        if not tarn.start():
            assert env, "tarn did not start: " + self.state.with_suffix(".log").read_text()[-3000:]
            self.dead_starts += 1
            return
        timer = threading.Timer(late, tarn.process.kill)
        timer.start()
        try:
            while True:
                self.post(tarn)
        except Gone:
            tarn.wait()
        finally:
            timer.cancel()

    def finish(self):
        """The rest of the events without deaths, everything counted once; and again from a fresh start."""
        tarn, before = self.server(), self.sent
        self.must_start(tarn)
        while self.sent < self.options.events or self.pending:
            self.post(tarn)
        reconcile(tarn, self.model)
        reconcile_held(tarn, self.model, False)
        tarn.kill()
        text = verify(self.state, "crash")
        is_held = re.search(r"'HELD_LONG'.* held back\)", text)  # a clean end before (power/full.py) left nothing
        assert is_held or self.sent == before, "nothing was held back:\n" + text
        tarn = self.server()
        self.must_start(tarn)
        reconcile_held(tarn, self.model, False)
        assert tarn.stop() == 0, "exit status after SIGTERM"
        text = verify(self.state, "crash")
        assert "held back" not in text, "a clean end left results behind:\n" + text
        with self.server() as tarn:
            reconcile(tarn, self.model)
            reconcile_held(tarn, self.model, True)
        return text


def run(options, folder):
    driver = Driver(options, folder)
    while driver.kills < options.kills:
        if options.points:
            for point in POINTS:
                driver.die_at_point(point)
        else:
            driver.die_sometime()
    text = driver.finish()
    print(f"{driver.sent} events, {driver.kills} kills ({driver.dead_starts} while starting), "
          f"{len(driver.model.values)} keys, {len(driver.model.windows)} windows: exact; {text.strip().splitlines()[-1]}")
    if options.points:
        assert driver.points.keys() == POINTS.keys()
        print("points: " + ", ".join(f"{k} {v}" for k, v in sorted(driver.points.items())))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--power", metavar="LIBPOWER")
    options = parser.parse_args()
    if options.points:
        unknown = points_of_the_code() ^ set(POINTS)
        assert not unknown, f"points of the code and of this test differ: {sorted(unknown)}"
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="tarn-crash-") as folder:
        run(options, pathlib.Path(folder))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""kill -9 at random moments and at named points, then reconcile.

A driver posts events in batches, each with an Idempotency-Key, and repeats a batch whose answer it did not get after
the restart. In the end every event must be counted exactly once: in plain counts and sums, in an AVG table, in a HAVING
table, in a windowed table; `tarn verify` must find that changelogs fold to the same tables; and a second engine that
rebuilds everything from the logs alone (state folder's tables dropped by a new query) must agree.

Usage: crash.py [--kills N] [--events N] [--seed N] [--small] [--points] [--power LIBPOWER]
  --small   state.cache.bytes = 64 KiB and a flush at each commit
  --points  die at named points in turn instead of random moments
  --power   a preloaded library cuts the state folder back to its synced bytes (tests/power/power_shim.c)
"""
import argparse
import collections
import json
import pathlib
import random
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import Gone, Server, verify  # noqa: E402

PIPELINE = """
CREATE STREAM ev (k VARCHAR, n INT, ts BIGINT)
  WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=4, TIMESTAMP='ts');
CREATE TABLE by_key AS SELECT k, COUNT(*) AS c, SUM(n) AS s, MIN(n) AS lo, MAX(n) AS hi FROM ev GROUP BY k;
CREATE TABLE avgs AS SELECT k, AVG(n) AS a FROM ev GROUP BY k;
CREATE TABLE evens AS SELECT k, COUNT(*) AS c FROM ev GROUP BY k HAVING COUNT(*) % 2 = 0;
CREATE TABLE per_minute AS SELECT k, COUNT(*) AS c FROM ev WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k;
"""
# name: the passes among which one is chosen
POINTS = {"append-before-write": 30, "append-after-write": 30, "append-before-sync": 30, "append-before-done": 30,
          "commit-before-write": 60, "commit-after-write": 60, "sync-before": 60, "sync-after": 60,
          "flush-before": 2, "flush-after": 2, "state-before-write": 6, "state-after-write": 6, "state-file-built": 6,
          "state-file-ingested": 6, "restore-step": 6, "catalog-before-write": 2}
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
    assert got == dict(model.windows), f"per_minute differs: {diff(got, dict(model.windows))}"


def diff(got, want):
    keys = [k for k in set(got) | set(want) if got.get(k) != want.get(k)]
    return f"{len(keys)} keys, e.g. " + ", ".join(f"{k}: got {got.get(k)}, want {want.get(k)}" for k in sorted(keys)[:5])


def power_environment(options, rng, state, number):
    """libpower.so cuts at a random file operation: half of the time while starting, half of the time torn."""
    state.mkdir(exist_ok=True)
    return {"LD_PRELOAD": options.power, "TARN_POWER_FOLDER": str(state),
            "TARN_POWER_AT": str(rng.randint(1, 150 if number % 3 == 0 else 600)),
            "TARN_POWER_TEAR": str(rng.randint(1, 1 << 30) if number % 2 else 0)}


def run(options, folder):
    rng, model = random.Random(options.seed), Model()
    pipeline = folder / "pipeline.sql"
    pipeline.write_text(PIPELINE)
    settings = {"application.id": "crash"}
    if options.small:
        settings.update({"state.cache.bytes": "65536", "state.flush.every.commit": "true", "store.ingest.rows": "50"})
    kills = sent = number = dead_starts = 0
    pending = None
    points = collections.Counter()
    while sent < options.events or kills < options.kills or pending:
        die = kills < options.kills
        env, timer = {}, None
        if die and options.points:
            point = list(POINTS)[kills % len(POINTS)]
            env["TARN_CRASH_POINT"] = f"{point}:{rng.randint(1, POINTS[point])}"
            settings["store.ingest.rows"] = "1" if "file" in point else "4096"
        if die and options.power:
            env.update(power_environment(options, rng, folder / "state", kills))
        tarn = Server(pipeline, folder / "state", settings, env)
        if not tarn.start():
            if not env:
                raise AssertionError("tarn did not start: " + (folder / "state.log").read_text()[-3000:])
            kills, dead_starts = kills + 1, dead_starts + 1
            if options.points:
                points[point] += 1
            continue
        if die:
            late = 3.0 if options.points else 1.0 if options.power else rng.uniform(0.02, 0.6)
            timer = threading.Timer(late, tarn.process.kill)
            timer.start()
        try:
            while True:
                if pending is None:
                    if sent >= options.events and not die:
                        break
                    pending, number = (number, make_batch(rng, number)), number + 1
                body = "\n".join(json.dumps(e, separators=(",", ":")) for e in pending[1]).encode()
                status, answer = tarn.request("POST", "/streams/ev", body, {
                    "Content-Type": "application/x-ndjson", "Idempotency-Key": f"batch-{pending[0]}"})
                assert status == 200, f"{status}: {answer!r}"
                for event in pending[1]:
                    model.add(event)
                sent, pending = sent + BATCH, None
            timer and timer.cancel()
        except Gone:
            tarn.wait()
            kills += 1
            if options.points:
                points[point if timer.is_alive() else "none in 3 s"] += 1
            continue
        finally:
            timer and timer.cancel()
        reconcile(tarn, model)
        assert tarn.stop() == 0, "exit status after SIGTERM"
    text = verify(folder / "state", "crash")
    # everything again from the logs alone: the same tables under a new pipeline file would be a no-op, so drop them
    rebuild = Server(pipeline, folder / "state", settings)
    with rebuild as tarn:
        reconcile(tarn, model)
    print(f"{sent} events, {kills} kills ({dead_starts} while starting), {len(model.values)} keys, "
          f"{len(model.windows)} windows: exact; {text.strip().splitlines()[-1]}")
    if points:
        print("points: " + ", ".join(f"{k} {v}" for k, v in sorted(points.items())))


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
        options.kills = max(options.kills, len(POINTS))
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="tarn-crash-") as folder:
        run(options, pathlib.Path(folder))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Benchmarks beside a real Kafka. Usage: kafka.py [--events N] [ROW…]; called by bin/bench kafka.

Rows as in ROWS below. Each prints tarn beside the bare reference (kafka_peer bare: batch consumption, validating scan, hash
count; no state, no output) or the same topology in Kafka Streams, exactly-once v2, warm. Results are compared equal before
a figure is printed; min/median/max of rounds. Figures that were measured: tests/bench/kafka.md.
"""
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from kafka_rig import BY_MS, COUNT, PACE, PARTITIONS, Rig, THREADS, cpu_seconds, pairs, report, spread, status_mb

ROUNDS = 3


def million(events, cpus):
    """Million events per CPU-second of each round."""
    return [events / cpu / 1e6 for cpu in cpus]


def ratios(row, what, tarn, **references):
    print(f"  tarn min/median/max {spread(tarn)}" +
          "".join(f"; {name} {spread(values)}" for name, values in references.items() if values))
    for name, values in references.items():
        if values:
            report(f"kafka-{row}", f"{what} per CPU-second", "M/s", statistics.median(tarn), statistics.median(values), name)


def same(wanted, got, who):
    for name in ("sum", "keys", "checksum"):
        assert wanted[name] == got[name], f"{who} is wrong: {name} {got[name]}, bare {wanted[name]}"


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Round:
    """One run of tarn from nothing until everything is visible; `cpu`, `peak` MB, `records` written, `app`."""

    def __init__(self, rig, topic, wanted, is_second_open=False, **settings):
        self.app = rig.fresh_name("tarn")
        tarn = rig.tarn(self.app, COUNT.format(topic=topic, out=f"{self.app}-counts"), **settings)
        before = children_cpu()
        with tarn:
            tarn.sql("SELECT n FROM counts WHERE song = 'song-0'")
            self.cpu, self.peak = cpu_seconds(tarn.process.pid), status_mb(tarn.process.pid, "VmHWM")
            if is_second_open:
                self.hits, self.misses = tarn.sql("SELECT sum(state_hits), sum(state_misses) FROM system.queries")[0]
            assert tarn.stop() == 0
        if is_second_open:
            self.second_open(rig, tarn, wanted)
            self.cpu = children_cpu() - before
        got = rig.peer("fold", f"{self.app}-counts")
        same(wanted, got, "tarn")
        self.records = got["records"]

    def second_open(self, rig, tarn, wanted):
        with tarn:
            tarn.wait_ready()
            rows = tarn.sql("SELECT count(*), sum(n) FROM counts")
            assert rows == [[wanted["keys"], wanted["sum"]]], rows
            self.peak = max(self.peak, status_mb(tarn.process.pid, "VmHWM"))
            assert tarn.stop() == 0


def streams_round(rig, topic, events, wanted, what="count"):
    app = rig.fresh_name("streams")
    got = rig.streams().tell(what, app, topic, events, rig.folder / "streams", 100)
    same(wanted, rig.peer("fold", f"{app}-counts-changelog"), "Streams")
    shutil.rmtree(rig.folder / "streams" / app, ignore_errors=True)
    return got["cpu"]


def warm_up(rig):
    """Once: the JVM's compiler has seen everything."""
    if not rig.is_warm:
        topic = rig.events(1000000, 10000, 1.0)
        wanted = rig.peer("bare", topic)
        for what in ("count", "wide"):
            streams_round(rig, topic, 1000000, wanted, what)
        rig.is_warm = True


def compared(rig, row, title, spec, rounds, what="count", **settings):
    """tarn, bare and Streams over the same events."""
    topic = rig.events(*spec)
    bare = [rig.peer("bare", topic) for _ in range(rounds)]
    tarn = [Round(rig, topic, bare[0], what == "wide", **settings) for _ in range(rounds)]
    warm_up(rig)
    streams = [streams_round(rig, topic, spec[0], bare[0], what) for _ in range(rounds)]
    print(f"{row}: {title}; {bare[0]['keys']} keys seen, tarn wrote "
          f"{statistics.median(r.records for r in tarn):.0f} changelog records")
    ratios(row, "events", million(spec[0], [r.cpu for r in tarn]), bare=million(spec[0], [b["cpu"] for b in bare]),
           Streams=million(spec[0], streams))
    rig.peaks[row] = max(r.peak for r in tarn), status_mb(rig.streams().process.pid, "VmHWM")
    return tarn


def count(rig, events):
    events = events or 5000000
    compared(rig, "count", f"{events} events of about 100 bytes, {PARTITIONS} partitions, 10,000 keys, Zipf 1.0",
             (events, 10000, 1.0), ROUNDS)


def count_wide(rig, events):
    events = events or 5000000
    keys = max(2000000 * events // 5000000, 1000)
    compared(rig, "count-wide", f"the same, {keys} keys; state flushed and all keys read by a second open",
             (events, keys, 1.0), ROUNDS, "wide")


def cold(rig, events):
    events = events or 5000000
    topic = rig.events(events, 10000000, 0)
    bare = rig.peer("bare", topic)
    tarn = Round(rig, topic, bare, True, state_cache_bytes="64m")
    print(f"cold: {events} events, 10 M keys uniform ({bare['keys']} seen), state.cache.bytes=64m; "
          f"{100 * tarn.misses / max(1, tarn.hits + tarn.misses):.0f} % misses; flushed and read by a second open")
    ratios("cold", "events", million(events, [tarn.cpu]), bare=million(events, [bare["cpu"]]))


def restore(rig, events):
    """The state of count-wide from its changelog: a process without local state, until it is ready."""
    events = events or 5000000
    keys = max(2000000 * events // 5000000, 1000)
    topic = rig.events(events, keys, 1.0)
    bare = rig.peer("bare", topic)
    made = Round(rig, topic, bare)
    again = rig.tarn(made.app, COUNT.format(topic=topic, out=f"{made.app}-counts"))
    cpus, walls = [], []
    for _ in range(ROUNDS):
        shutil.rmtree(again.state)
        started = time.monotonic()
        with again:
            again.wait_ready()
            cpus.append(cpu_seconds(again.process.pid))
            walls.append(time.monotonic() - started)
            assert again.sql("SELECT count(*), sum(n) FROM counts") == [[bare["keys"], bare["sum"]]]
            again.stop()
    warm_up(rig)
    app = rig.fresh_name("streams")
    streams_round_of(rig, app, topic, events)
    answers = []
    for _ in range(ROUNDS):
        shutil.rmtree(rig.folder / "streams" / app)
        answers.append(rig.streams().tell("restore", app, topic, rig.folder / "streams"))
    print(f"restore: {bare['keys']} keys from a changelog of {made.records} records (Streams: {answers[0]['restored']}); "
          f"tarn {statistics.median(walls):.1f} s, Streams {statistics.median(a['wall'] for a in answers):.1f} s")
    ratios("restore", "records", million(made.records, cpus),
           Streams=[a["restored"] / a["cpu"] / 1e6 for a in answers])


def streams_round_of(rig, app, topic, events):
    rig.streams().tell("count", app, topic, events, rig.folder / "streams", 100)


def pace(rig, topic, out, rate, seconds, kind, address=None):
    done = subprocess.run([PACE, rig.kafka.bootstrap, topic, out, str(rate), str(seconds), kind,
                           *([address] if address else [])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pairs(done.stdout)


def warm_broker(rig):
    """Once: the broker's own compiler has seen transactions at this pace; its first minute stalls for seconds, whoever asks."""
    app = rig.fresh_name("warm")
    topic = rig.topic(f"{app}-in")
    with rig.tarn(app, COUNT.format(topic=topic, out=f"{app}-counts")) as tarn:
        tarn.wait_ready()
        pace(rig, topic, f"{app}-counts", 5000, 20, "song")
        tarn.stop()


def latency(rig, events):
    warm_broker(rig)
    rate, seconds = 5000, 60 if not events else max(5, min(60, events // 5000))
    print(f"latency: {rate} events/s for {seconds} s, exactly-once; produced -> record in the output topic, read_committed, "
          "and -> visible in /sql")
    for kind, statements in (("song", COUNT), ("ms", BY_MS)):
        name = {"song": "by record key", "ms": "key change"}[kind]
        app = rig.fresh_name("tarn")
        topic = rig.topic(f"{app}-in")
        with rig.tarn(app, statements.format(topic=topic, out=f"{app}-counts")) as tarn:
            tarn.wait_ready()
            before = cpu_seconds(tarn.process.pid)
            got = pace(rig, topic, f"{app}-counts", rate, seconds, kind, tarn.address)
            cpu = cpu_seconds(tarn.process.pid) - before
            tarn.stop()
        app = rig.fresh_name("streams")
        topic, out = rig.topic(f"{app}-in"), rig.topic(f"{app}-out")
        rig.streams().tell("serve", app, topic, out, rig.folder / "streams", 20, kind)
        peer = pace(rig, topic, out, rate, seconds, kind)
        rig.streams().tell("stop")
        assert got["out_missing"] == 0 and peer["out_missing"] == 0, (got, peer)
        for figure in ("p50", "p99"):
            report("kafka-latency", f"{name}: output {figure}", "ms", got[f"out_{figure}"], peer[f"out_{figure}"],
                   "Streams, 20 ms commits")
            report("kafka-latency", f"{name}: /sql {figure}", "ms", got[f"sql_{figure}"])
        print(f"    {got['out_probes']} probes, {got['sql_probes']} asked for; {cpu:.1f} CPU-seconds of tarn")


COLUMNS = ", ".join(f"c{i} VARCHAR" for i in range(10))
WIDE_STREAM = f"""
CREATE STREAM events (song VARCHAR KEY, ms INT, {COLUMNS})
  WITH (KAFKA_TOPIC='{{topic}}', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON');
"""


def by_column(number):
    """Statement `number` of 100: another WHERE and another GROUP BY, over columns of 20 to 200 values."""
    column, other = f"c{number % 10}", f"c{(number // 10 + number + 1) % 10}"
    return (f"CREATE TABLE t{number} AS SELECT {column}, COUNT(*) AS n FROM events "
            f"WHERE ms >= {number * 997 % 100000} AND {other} <> 'v{number % 20}' GROUP BY {column};\n")


def by_song(number):
    return f"CREATE TABLE t{number} AS SELECT song, COUNT(*) AS n FROM events WHERE ms >= {number * 997} GROUP BY song;\n"


def queries_cpu(rig, topic, statements):
    """(CPU seconds, records written, rows of the first table) until all statements have seen everything."""
    app = rig.fresh_name("tarn")
    with rig.tarn(app, WIDE_STREAM.format(topic=topic) + "".join(statements)) as tarn:
        for number in range(len(statements)):
            assert tarn.sql(f"SELECT count(*) FROM t{number}")[0][0] > 0
        cpu = cpu_seconds(tarn.process.pid)
        written = tarn.sql("SELECT sum(rows_out) FROM system.queries")[0][0]
        rows = sorted(tarn.sql("SELECT * FROM t0"))
        tarn.stop()
    return cpu, written, rows


def queries(rig, events):
    events = events or 2000000
    topic = rig.topic(rig.fresh_name("columns"))
    rig.peer("columns", topic, events)
    print(f"queries: {events} events with 10 columns of 20 to 200 values; CPU of many statements over one topic ÷ of one")
    for name, make, many in (("counts by column", by_column, 100), ("counts by song", by_song, 10)):
        one = [queries_cpu(rig, topic, [make(0)]) for _ in range(ROUNDS)]
        all_of_them = queries_cpu(rig, topic, [make(i) for i in range(many)])
        assert all_of_them[2] == one[0][2], "the first of many counts differs from the one alone"
        print(f"    {name}: {all_of_them[1]} records written by {many}, {one[0][1]} by one; CPU-seconds "
              f"{all_of_them[0]:.2f}, one {spread([cpu for cpu, _, _ in one])}")
        report("kafka-queries", f"{many} {name}, times one", "x", all_of_them[0] / statistics.median(cpu for cpu, _, _ in one))


def start_pace(rig, topic, out, seconds):
    """The pacer, once its first probe is through."""
    process = subprocess.Popen([PACE, rig.kafka.bootstrap, topic, out, "1000", str(seconds), "song"], text=True,
                               stdout=subprocess.PIPE)
    assert process.stdout.readline() == "started\n"
    return process


def gap_of(process):
    got = pairs(process.communicate(timeout=300)[0])
    assert got["out_missing"] == 0, got
    return got["gap"] / 1000


def takeover(rig, events):
    """Longest time without an output record of some partition, at 1,000 events/s."""
    _ = events
    print("takeover: longest time without an output record of some partition at 1,000 events/s")
    for name, how, is_pair in (("clean restart", signal.SIGTERM, False), ("kill -9, restart alone", signal.SIGKILL, False),
                               ("SIGTERM with a standby", signal.SIGTERM, True),
                               ("dead process, session time-out 10 s", signal.SIGKILL, True)):
        gaps = []
        for _ in range(ROUNDS):
            app = rig.fresh_name("tarn")
            topic, out = rig.topic(f"{app}-in"), f"{app}-counts"
            statements = COUNT.format(topic=topic, out=out)
            settings = {"num_standby_replicas": 1} if is_pair else {}
            first = rig.tarn(app, statements, **settings)
            first.start()
            first.wait_ready()
            other = None
            if is_pair:
                other = rig.tarn(app, statements, home=f"{app}-other", **settings)
                other.start()
                other.wait_ready()
            pacer = start_pace(rig, topic, out, 25 if is_pair else 12)
            threading.Event().wait(3)
            first.process.send_signal(how)
            first.wait()
            if not is_pair:
                first.start()
            gaps.append(gap_of(pacer))
            for one in (first, other):
                if one and one.process.poll() is None:
                    one.stop()
        print(f"    {name}: {spread(gaps)}")
        report("kafka-takeover", name, "s", statistics.median(gaps))


def memory(rig, events):
    """Peak resident memory of the rounds of count and count-wide (which run first when they have not)."""
    for row in ("count", "count-wide"):
        if row not in rig.peaks:
            ROWS[row](rig, events)
    print("memory: peak resident during count and count-wide; Streams: the JVM with all it has done, -Xmx1g")
    for row, (tarn, streams) in rig.peaks.items():
        report("kafka-memory", row, "MB", tarn, streams, "Streams")


ROWS = {"count": count, "count-wide": count_wide, "cold": cold, "restore": restore, "latency": latency, "queries": queries,
        "takeover": takeover, "memory": memory}


def main():
    words, events = sys.argv[1:], None
    if "--events" in words:
        at = words.index("--events")
        events = int(words[at + 1])
        del words[at:at + 2]
    print(f"configuration: tarn's defaults (exactly_once, commit.interval.ms=100, num.stream.threads={THREADS}); Streams: "
          f"exactly_once_v2, commit.interval.ms=100, num.stream.threads={THREADS}, RocksDB store, -Xmx1g; one broker")
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-bench-") as folder, Rig(folder) as rig:
        for name in words or ROWS:
            ROWS[name](rig, events)
            print(flush=True)


if __name__ == "__main__":
    main()

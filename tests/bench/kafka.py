#!/usr/bin/env python3
"""Benchmarks beside a real Kafka. Usage: kafka.py [--events N] [ROW…]; called by bin/bench kafka.

Rows: count. Each prints tarn beside the bare reference (kafka_peer bare: batch consumption,
validating scan, hash count; no state, no output) and beside the same topology in Kafka Streams, exactly-once v2, warm.
Results are compared equal before a figure is printed. min/median/max of rounds.
"""
import statistics
import sys
import tempfile

from kafka_rig import COUNT, PARTITIONS, Rig, THREADS, cpu_seconds, report, spread, status_mb

ROUNDS = 3


def million(events, cpus):
    """Million events per CPU-second of each round."""
    return [events / cpu / 1e6 for cpu in cpus]


def ratios(row, tarn, **references):
    print(f"  tarn min/median/max {spread(tarn)}" +
          "".join(f"; {name} {spread(values)}" for name, values in references.items() if values))
    for name, values in references.items():
        if values:
            report(f"kafka-{row}", "events per CPU-second", "M/s", statistics.median(tarn), statistics.median(values), name)


def tarn_round(rig, topic, wanted, **settings):
    """One run from nothing to everything visible: (CPU seconds, peak MB, records written)."""
    app = rig.fresh_name("tarn")
    with rig.tarn(app, COUNT.format(topic=topic, out=f"{app}-counts"), **settings) as tarn:
        tarn.sql("SELECT n FROM counts WHERE song = 'song-0'")
        cpu, peak = cpu_seconds(tarn.process.pid), status_mb(tarn.process.pid, "VmHWM")
        tarn.stop()
    got = rig.peer("fold", f"{app}-counts")
    same(wanted, got, "tarn")
    return cpu, peak, got["records"]


def same(wanted, got, who):
    for name in ("sum", "keys", "checksum"):
        assert wanted[name] == got[name], f"{who} is wrong: {name} {got[name]}, bare {wanted[name]}"


def streams_round(rig, topic, events, wanted, what="count"):
    app = rig.fresh_name("streams")
    got = rig.streams().tell(what, app, topic, events, rig.folder / "streams", 100)
    same(wanted, rig.peer("fold", f"{app}-counts-changelog"), "Streams")
    return got["cpu"]


def count(rig, events):
    events = events or 5000000
    topic = rig.events(events, 10000, 1.0)
    bare = [rig.peer("bare", topic) for _ in range(ROUNDS)]
    tarn = [tarn_round(rig, topic, bare[0]) for _ in range(ROUNDS)]
    streams_round(rig, topic, events, bare[0])  # warm-up
    streams = [streams_round(rig, topic, events, bare[0]) for _ in range(ROUNDS)]
    print(f"count: {events} events of about 100 bytes, {PARTITIONS} partitions, 10,000 keys, Zipf 1.0; tarn wrote "
          f"{statistics.median(r for _, _, r in tarn):.0f} changelog records")
    ratios("count", million(events, [cpu for cpu, _, _ in tarn]), bare=million(events, [b["cpu"] for b in bare]),
           Streams=million(events, streams))
    report("kafka-memory", "count: resident, peak", "MB", max(peak for _, peak, _ in tarn),
           status_mb(rig.streams().process.pid, "VmHWM"), "Streams")


ROWS = {"count": count}


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

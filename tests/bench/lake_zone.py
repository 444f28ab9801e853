#!/usr/bin/env python3
"""Benchmark `lake`, row zone: queries over files beside DuckDB, Polars and DataFusion in the same run.

zone: A = plays by song, the ten first · B = filter, then country by day with count and average · C = count of one song;
2 M rows as NDJSON, gzip NDJSON and CSV; one thread, CPU seconds, median of three, nothing remembered between queries
(sql.cache.bytes=0). All results are compared.

Usage: lake_zone.py [ROWS] ; called by bin/bench with the Python of build/bench-venv.
"""
import gzip
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
from server import cpu_seconds, report, start  # noqa: E402

COLUMNS = "ts timestamp, user varchar, song varchar, country varchar, ms int"
QUERIES = {
    "A": "SELECT song, count(*) AS n FROM {t} GROUP BY song ORDER BY n DESC, song LIMIT 10",
    "B": "SELECT country, date_trunc('day', ts) AS d, count(*) AS n, avg(ms) AS m FROM {t} WHERE ms > 30000 "
         "GROUP BY country, date_trunc('day', ts) ORDER BY country, d",
    "C": "SELECT count(*) AS n FROM {t} WHERE song = 'Song number 5'",
}


def make_files(folder, rows):
    rng = random.Random(1)
    songs = [f"Song number {i}" for i in range(1000)]
    picked = rng.choices(songs, [1 / (i + 1) for i in range(1000)], k=rows)
    countries = ["PL", "DE", "FR", "US", "GB", "IT", "ES", "SE"]
    for name in ["json", "gz", "csv"]:
        (folder / name).mkdir()
    with open(folder / "json/a.json", "w", 1 << 20) as ndjson, open(folder / "csv/a.csv", "w", 1 << 20) as csv:
        for i in range(rows):
            ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1767225600 + i * 3)) + f".{i % 1000:03d}Z"
            user, country, ms = f"user{rng.randrange(100000)}", countries[rng.randrange(8)], rng.randrange(300000)
            ndjson.write(f'{{"ts":"{ts}","user":"{user}","song":"{picked[i]}","country":"{country}","ms":{ms}}}\n')
            csv.write(f"{ts},{user},{picked[i]},{country},{ms}\n")
    with open(folder / "json/a.json", "rb") as plain, gzip.open(folder / "gz/a.json.gz", "wb", 6) as packed:
        while chunk := plain.read(1 << 20):
            packed.write(chunk)


def rounded(rows):
    """Comparable: texts, numbers to 6 places, days as YYYY-MM-DD."""
    return [[round(v, 6) if isinstance(v, float) else str(v)[:10] if not isinstance(v, (int, str)) else
             v[:10] if isinstance(v, str) and v[4:5] == "-" else v for v in row] for row in rows]


# ---- peers: one process each, so that its CPU seconds are its own ----

def peer(engine, query, form, path):
    def cpu():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
    times, rows = [], None
    sql = QUERIES[query]
    for _ in range(3):
        if engine == "duckdb":
            import duckdb
            db = duckdb.connect(config={"threads": 1})
            types = "{'ts':'TIMESTAMP','user':'VARCHAR','song':'VARCHAR','country':'VARCHAR','ms':'INTEGER'}"
            table = (f"read_csv('{path}', header=false, columns={types})" if form == "csv" else
                     f"read_json('{path}', format='newline_delimited', columns={types})")
            before = cpu()
            rows = db.execute(sql.format(t=table)).fetchall()
        elif engine == "polars":
            import polars as pl
            names = ["ts", "user", "song", "country", "ms"]
            schema = dict(zip(names, [pl.String, pl.String, pl.String, pl.String, pl.Int32]))
            before = cpu()
            frame = (pl.scan_csv(path, has_header=False, new_columns=names, schema=schema) if form == "csv" else
                     pl.scan_ndjson(path, schema=schema))
            day = pl.col("ts").str.slice(0, 10).alias("d")
            if query == "A":
                out = frame.group_by("song").len("n").sort(["n", "song"], descending=[True, False]).head(10)
            elif query == "B":
                out = (frame.filter(pl.col("ms") > 30000).group_by(["country", day])
                       .agg(pl.len().alias("n"), pl.col("ms").mean().alias("m")).sort(["country", "d"]))
            else:
                out = frame.filter(pl.col("song") == "Song number 5").select(pl.len())
            rows = out.collect().rows()
        else:
            import datafusion
            import pyarrow as pa
            context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
            schema = pa.schema([("ts", pa.timestamp("us")), ("user", pa.string()), ("song", pa.string()),
                                ("country", pa.string()), ("ms", pa.int32())])
            before = cpu()
            if form == "csv":
                context.register_csv("t", path, schema=schema, has_header=False)
            elif form == "gz":
                context.register_json("t", path, schema=schema, file_extension=".json.gz", file_compression_type="gzip")
            else:
                context.register_json("t", path, schema=schema)
            rows = [list(r.values()) for b in context.sql(sql.format(t="t")).collect() for r in b.to_pylist()]
        times.append(cpu() - before)
    print(json.dumps({"cpu": statistics.median(times), "rows": rounded(rows)}))


def run_peer(engine, query, form, path):
    env = {**os.environ, "POLARS_MAX_THREADS": "1", "TOKIO_WORKER_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, "--peer", engine, query, form, str(path)], env=env,
                          capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        print(f"    {engine} {form} {query}: {done.stderr.strip().splitlines()[-1][:100]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def zone(folder, rows):
    make_files(folder, rows)
    names = {"json": "NDJSON", "gz": "NDJSON gzip", "csv": "CSV"}
    files = {"json": "json/a.json", "gz": "gz/a.json.gz", "csv": "csv/a.csv"}
    ddl = "CREATE SCHEMA z;\n" + "".join(
        f"CREATE TABLE z.{f} ({COLUMNS}) WITH (format = '{'CSV' if f == 'csv' else 'JSON'}', "
        f"external_location = '{folder}/{f}');\n" for f in files)
    server = start(folder, ddl, **{"sql.cache.bytes": "0", "sql.threads": "1"})
    for form, file in files.items():
        for query, sql in QUERIES.items():
            times = []
            for _ in range(3):
                before = cpu_seconds(server.process.pid)
                got = server.sql(sql.format(t=f"z.{form}"), fresh=False)
                times.append(cpu_seconds(server.process.pid) - before)
            mine = statistics.median(times)
            peers = {e: run_peer(e, query, form, folder / file) for e in ["duckdb", "polars", "datafusion"]}
            for engine, answer in peers.items():
                if answer and rounded(got) != rounded(answer["rows"]):
                    raise AssertionError(f"{engine} {form} {query} differs:\n{rounded(got)[:3]}\n{answer['rows'][:3]}")
                if answer:
                    report("zone", f"{names[form]} {query}", "CPU s", mine, answer["cpu"], engine)
    server.stop()


def main():
    if sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:])
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as temp:
        (pathlib.Path(temp) / "zone").mkdir()
        print(f"zone: {rows} rows, one thread")
        zone(pathlib.Path(temp) / "zone", rows)


if __name__ == "__main__":
    main()

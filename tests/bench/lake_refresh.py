#!/usr/bin/env python3
"""Benchmark `lake`, row refresh: the music chart's query over 10,000 objects of one row, for the second time and with one
new object; wall milliseconds, median of nine. A table of our own (its log tells) and a foreign one (inotify; LIST), in a
folder and in radosgw, beside a bare listing of the same objects: a walk of the folder, the pages of LIST.

Usage: lake_refresh.py [OBJECTS] [folder|s3]
"""
import concurrent.futures
import json
import os
import pathlib
import re
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

CHART = ('SELECT "songname" AS "songname", count(*) AS "count" FROM (SELECT * FROM {t}) AS "expr_qry" '
         'GROUP BY "songname" ORDER BY "count" DESC LIMIT 1000')
ROW = '{"count":%d,"songName":"Song number %d"}\n'
ROUNDS, AN_ENTRY = 9, 100


class Folder:
    env = {}

    def __init__(self, root):
        self.url, self.root = str(root), root

    def put(self, key, text):
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.parent / f".{path.name}"
        aside.write_text(text)
        aside.rename(path)

    def bare_list(self, table):
        return len(sorted((e.name, e.stat().st_size) for e in os.scandir(self.root / table)))


class Bucket:
    def __init__(self, gateway):
        self.gateway, self.bucket, self.env = gateway, gateway.bucket("refresh"), gateway.env
        self.url = f"s3://{self.bucket}"

    def put(self, key, text):
        status, _, body = self.gateway.s3.request("PUT", f"/{self.bucket}/{key}", body=text.encode())
        assert status == 200, body

    def bare_list(self, table):
        """Page after page; nothing of an answer is looked at but the next page's token."""
        count, token = 0, None
        while True:
            query = [("list-type", "2"), ("prefix", f"{table}/")] + ([("continuation-token", token)] if token else [])
            _, _, body = self.gateway.s3.request("GET", f"/{self.bucket}", query)
            count += body.count(b"<Key>")
            found = re.search(rb"<NextContinuationToken>([^<]*)<", body)
            if not found:
                return count
            token = found[1].decode()


def entry(version, files):
    """An entry of a table log, as a sink writes it."""
    lines = [{"commit": {"id": str(version), "timestamp": 1767312000000, "operation": "APPEND" if version else "CREATE"}}]
    if not version:
        lines.append({"meta": {"format": "json", "columns": [{"name": "count", "type": "INTEGER"},
                                                             {"name": "songName", "type": "STRING"}]}})
    lines += [{"add": {"path": path, "size": size, "rows": 1, "modificationTime": 1767312000000}} for path, size in files]
    return "".join(json.dumps(line) + "\n" for line in lines)


def fill(store, count):
    rows = [(f"20210203-{i:09d}", ROW % (i, i % 8)) for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for table in ["foreign", "own"]:
            list(pool.map(lambda row: store.put(f"{table}/{row[0]}", row[1]), rows))
    for version, at in enumerate(range(0, count, AN_ENTRY)):
        store.put(f"own/_log/{version:020d}.commit", entry(version, [(n, len(t)) for n, t in rows[at:at + AN_ENTRY]]))
    return version + 1


def timed(what, *words, **more):
    before = time.monotonic()
    result = what(*words, **more)
    return (time.monotonic() - before) * 1000, result


def measure(store, folder, name, count):
    version = fill(store, count)
    (folder / "p.sql").write_text("CREATE SCHEMA z;\n" + "".join(
        f"CREATE TABLE z.{t} (count int, songName varchar) WITH (format = 'json', external_location = '{store.url}/{t}');\n"
        for t in ["foreign", "own"]))
    with Server(folder / "p.sql", folder / "state", {"application.id": "bench"}, env=store.env) as server:
        for table in ["own", "foreign"]:
            sql, times, lists = CHART.format(t=f"z.{table}"), [], []
            rows = server.sql(sql, fresh=False)
            assert sum(row[1] for row in rows) == count, rows
            for i in range(ROUNDS):
                text = ROW % (i, 9)
                store.put(f"{table}/new-{i}", text)
                if table == "own":
                    store.put(f"own/_log/{version + i:020d}.commit", entry(version + i, [(f"new-{i}", len(text))]))
                ms, rows = timed(server.sql, sql, fresh=False)
                assert sum(row[1] for row in rows) == count + i + 1, rows
                times.append(ms)
                lists.append(timed(store.bare_list, table)[0])
            report("refresh", f"{table} table, {name}, {count} objects", "ms", statistics.median(times),
                   statistics.median(lists), "a bare listing")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    print("refresh: the chart query again, one new object")
    with tempfile.TemporaryDirectory() as temp:
        root = pathlib.Path(temp)
        for part in sys.argv[2:3] or ["folder", "s3"]:
            (root / part).mkdir()
            if part == "folder":
                measure(Folder(root / "lake"), root / part, part, count)
                continue
            subprocess.run([str(ROOT / "bin" / "setup"), "s3"], check=True)
            with Radosgw() as gateway:
                measure(Bucket(gateway), root / part, "radosgw", count)


if __name__ == "__main__":
    main()

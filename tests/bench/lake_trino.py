#!/usr/bin/env python3
"""Row `trino` of bin/bench lake: SELECT 1 and the chart query over a live table of 10,000 keys through the Trino protocol,
by a bare HTTP loop over one connection and by Python's trino. CPU is that of the tarn process per statement (two requests
each); the result cache of clients and server is not involved: every statement runs.

A real Trino 476 on the same machine took 38 ms of CPU for SELECT 1 and 147 ms for the chart.
"""
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))
from server import cpu_seconds, report, start  # noqa: E402

PIPELINE = """
CREATE STREAM plays (id BIGINT KEY, song VARCHAR) WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE chart AS SELECT id, COUNT(*) AS count, LATEST_BY_OFFSET(song) AS songName FROM plays GROUP BY id;
"""
KEYS, SONGS = 10000, 500
CHART = """SELECT "songname" AS "songname", count(*) AS "count" FROM (SELECT * FROM chart) AS "expr_qry"
GROUP BY "songname" ORDER BY "count" DESC LIMIT 1000"""
PYTHON = """
import sys, time, trino
host, port, count, sql = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
cursor = trino.dbapi.connect(host=host, port=port, user="bench", catalog="hive", schema="default").cursor()
for _ in range(count):
    cursor.execute(sql)
    cursor.fetchall()
"""


def fill(server):
    rows = "\n".join(json.dumps({"id": i, "song": f"song {i * 7919 % SONGS}"}) for i in range(KEYS))
    assert server.request("POST", "/streams/plays", rows.encode(), {"Content-Type": "application/x-ndjson"})[0] == 200
    count = server.request("POST", "/sql?fresh=1", b"SELECT count(*) AS n FROM chart")[1]
    assert json.loads(count)["n"] == KEYS, count


def loop(address, sql, count):
    """Milliseconds of each statement, from POST to the last document."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    headers = {"X-Trino-User": "bench", "X-Trino-Catalog": "hive", "X-Trino-Schema": "default"}
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        connection.request("POST", "/v1/statement", sql.encode(), headers)
        document = json.loads(connection.getresponse().read())
        while "nextUri" in document:
            connection.request("GET", "/" + document["nextUri"].split("/", 3)[3])
            document = json.loads(connection.getresponse().read())
        took.append((time.perf_counter() - begin) * 1000)
        assert document["stats"]["state"] == "FINISHED", document
    return took


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-bench-") as folder:
        server = start(pathlib.Path(folder), PIPELINE)
        try:
            fill(server)
            pid = server.process.pid
            for name, sql, count, cpu_limit in (("SELECT 1", "SELECT 1", 4000, 0.25), ("chart, 10,000 keys", CHART, 1000, 1.5)):
                loop(server.address, sql, 200)
                before = cpu_seconds(pid)
                took = sorted(loop(server.address, sql, count))
                cpu = (cpu_seconds(pid) - before) / count * 1000
                report("trino", f"{name}: loop, CPU", "ms", cpu, cpu_limit, "limit")
                report("trino", f"{name}: loop, p50", "ms", statistics.median(took))
                report("trino", f"{name}: loop, p99", "ms", took[int(len(took) * 0.99)], 5.0, "limit")
                python = ROOT / "build/bench-venv/bin/python"
                if not python.exists():
                    print("  (no Python client: bin/setup bench installs it)")
                    continue
                host, port = server.address.split(":")
                count = 500
                before = cpu_seconds(pid)
                subprocess.run([python, "-c", PYTHON, host, port, str(count), sql], check=True)
                cpu = (cpu_seconds(pid) - before) / count * 1000
                report("trino", f"{name}: Python client, CPU", "ms", cpu, cpu_limit, "limit")
        finally:
            server.__exit__(None, None, None)


if __name__ == "__main__":
    print("trino")
    main()

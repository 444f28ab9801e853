#!/usr/bin/env python3
"""Benchmarks of a running tarn over HTTP: embedded, ingest, query, fresh, footprint.

Usage: server.py NAME… ; called by bin/bench. Prints a row per figure: value, unit, and the ratio to a reference where
there is one in the same run. CPU seconds are those of the tarn process (/proc/PID/stat). Default configuration.
"""
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from tarn_server import Server  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TARN_BUILD", ROOT / "build"))
BENCH = BUILD / "tests" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")
COUNTS = """
CREATE STREAM events (song VARCHAR, ms INT) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE by_song AS SELECT song, COUNT(*) AS n FROM events WHERE ms >= 0 GROUP BY song;
"""
KEYED = """
CREATE STREAM events (k VARCHAR KEY, ms INT) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE by_key AS SELECT k, COUNT(*) AS n FROM events GROUP BY k;
CREATE TABLE by_ms AS SELECT ms, COUNT(*) AS n FROM events GROUP BY ms;
"""


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def report(bench, metric, unit, value, reference=None, name=None):
    ratio = f"  {value / reference:5.2f} x {name}" if reference else ""
    print(f"  {metric:<34} {value:12.3f} {unit}{ratio}")
    path = os.environ.get("TARN_BENCH_JSON")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps({"bench": bench, "metric": metric, "unit": unit, "tarn": value, "reference": reference,
                                   "reference_name": name, "ratio": value / reference if reference else None}) + "\n")


def start(folder, statements, **settings):
    (folder / "p.sql").write_text(statements)
    server = Server(folder / "p.sql", folder / "state", {"application.id": "bench", **settings})
    server.__enter__()
    return server


def post(server, path, body, content="application/x-ndjson"):
    status, answer = server.request("POST", path, body, {"Content-Type": content})
    assert status == 200, f"{status}: {answer[:300]!r}"


def percentile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def embedded(folder, events=5000000, rounds=3):
    (folder / "data").mkdir()
    subprocess.run([BENCH / "make_events", folder / "data", str(events), "10000", "1.0"], check=True)
    files = sorted((folder / "data").glob("*.ndjson"))
    total, malformed = map(int, (folder / "data" / "expected").read_text().split())
    rates, walls = [], []
    for number in range(rounds):
        sub = folder / f"r{number}"
        sub.mkdir()
        server = start(sub, COUNTS)
        before, wall = cpu_seconds(server.process.pid), time.monotonic()
        for file in files:
            post(server, "/streams/events", file.read_bytes())
        counted = server.sql("SELECT sum(n) FROM by_song")[0][0]
        rates.append(total / (cpu_seconds(server.process.pid) - before) / 1e6)
        walls.append(time.monotonic() - wall)
        dead = server.sql("SELECT count(*) FROM system.dead_letters")[0][0]
        assert counted == total - malformed and dead == malformed, f"{counted} + {dead} of {total}, {malformed} bad"
        server.stop()
    print(f"embedded: {total} events over HTTP as NDJSON, durable; {malformed} dead letters; min/median/max "
          f"{min(rates):.2f}/{statistics.median(rates):.2f}/{max(rates):.2f}")
    report("embedded", "events per CPU-second of tarn", "M/s", statistics.median(rates))
    report("embedded", "wall, events per second", "M/s", total / statistics.median(walls) / 1e6)


WRK_INGEST = """
local n = 0
request = function()
  n = n + 1
  local body = string.format('{"k":"k%d","ms":%d}', n % 10000, n % 400000)
  return wrk.format("POST", "%s", {["Content-Type"]="application/json"}, body)
end
"""


def wrk(address, path, seconds=8, connections=64, script=None, folder=None):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{address}{path}"]
    if script:
        (folder / "wrk.lua").write_text(script)
        command[1:1] = ["-s", str(folder / "wrk.lua")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    assert not bad, out
    return rate, float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def ingest(folder):
    rates, p99s, bare_rates, bare_p99s = [], [], [], []
    for number in range(3):
        sub = folder / f"r{number}"
        sub.mkdir()
        bare = subprocess.Popen([BENCH / "bare_ingest", str(sub / "bare.log")], stdout=subprocess.PIPE, text=True)
        port = re.search(r":(\d+)", bare.stdout.readline()).group(1)
        rate, p99 = wrk(f"127.0.0.1:{port}", "/streams/events", script=WRK_INGEST.replace("%s\"", "/streams/events\""),
                        folder=sub)
        bare_rates.append(rate), bare_p99s.append(p99)
        bare.terminate()
        bare.wait()
        server = start(sub, KEYED)
        rate, p99 = wrk(server.address, "/streams/events", script=WRK_INGEST.replace("%s\"", "/streams/events\""),
                        folder=sub)
        rates.append(rate), p99s.append(p99)
        server.stop()
    print("ingest: single-event POSTs, 64 keep-alive connections, each durable before its answer")
    report("ingest", "requests per second", "/s", statistics.median(rates), statistics.median(bare_rates), "bare_ingest.c")
    report("ingest", "p99", "ms", statistics.median(p99s), statistics.median(bare_p99s), "bare_ingest.c")


CHART = "SELECT k AS \"k\", sum(n) AS \"count\" FROM by_key GROUP BY k ORDER BY 2 DESC LIMIT 1000"


def query(folder):
    server = start(folder, KEYED)
    body = b"\n".join(b'{"k":"k%d","ms":%d}' % (i, i) for i in range(10000))
    post(server, "/streams/events", body)
    assert server.sql("SELECT count(*) FROM by_key") == [[10000]]
    stop = threading.Event()

    def change():
        host, port = server.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port))
        number = 0
        while not stop.wait(0.01):
            number += 1
            batch = b"\n".join(b'{"k":"k%d","ms":1}' % ((number * 37 + i) % 10000) for i in range(50))
            connection.request("POST", "/streams/events", batch, {"Content-Type": "application/x-ndjson"})
            connection.getresponse().read()

    writer = threading.Thread(target=change)
    writer.start()
    scripts = {
        "chart query": "wrk.method = 'POST'\nwrk.body = [[" + CHART + "]]\n",
        "look-up": "local n = 0\nrequest = function()\n n = n + 1\n return wrk.format('POST', '/sql', "
                   "{['Content-Type']='text/plain'}, string.format(\"SELECT n FROM by_key WHERE k = 'k%d'\", "
                   "(n * 7919) % 10000))\nend\n"}
    print("query: 10,000-key KTable that changes meanwhile (5,000 events/s), HTTP keep-alive")
    for name, script in scripts.items():
        rate, p99 = wrk(server.address, "/sql", connections=8 if name == "look-up" else 1, script=script, folder=folder)
        report("query", f"{name}, per second", "/s", rate)
        report("query", f"{name}, p99", "ms", p99)
    stop.set()
    writer.join()
    server.stop()


def fresh(folder, seconds=10):
    server = start(folder, KEYED)
    stop = threading.Event()

    def background():
        host, port = server.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port))
        number, next_at = 0, time.monotonic()
        while not stop.is_set():
            batch = b"\n".join(b'{"k":"b%d","ms":%d}' % ((number + i) % 5000, (number + i) % 1000) for i in range(25))
            connection.request("POST", "/streams/events", batch, {"Content-Type": "application/x-ndjson"})
            connection.getresponse().read()
            number, next_at = number + 25, next_at + 0.005
            pause = next_at - time.monotonic()
            if pause > 0:
                time.sleep(pause)

    writer = threading.Thread(target=background)
    writer.start()
    results = {"by record key": [], "key change": []}
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        number += 1
        name = "by record key" if number % 2 else "key change"
        text = f"SELECT n FROM by_key WHERE k = 'f{number}'" if number % 2 else \
            f"SELECT n FROM by_ms WHERE ms = {1000000 + number}"
        post(server, "/streams/events", b'{"k":"f%d","ms":%d}' % (number, 1000000 + number), "application/json")
        at = time.monotonic()
        while not server.sql(text, fresh=False):
            assert time.monotonic() - at < 10, f"{text} never became visible"
        results[name].append((time.monotonic() - at) * 1000)
    stop.set()
    writer.join()
    server.stop()
    print("fresh: POST answered → visible in /sql, at 5,000 events/s")
    for name, values in results.items():
        report("fresh", f"{name}, p50", "ms", percentile(values, 0.5))
        report("fresh", f"{name}, p99", "ms", percentile(values, 0.99))


def first_answer(server):
    at = time.monotonic()
    assert server.start()
    status = 0
    while status != 200:  # 409 while the changelog's tail is replayed
        status, body = server.request("POST", "/sql", b"SELECT n FROM by_key WHERE k = 'k77'", {"Accept": "application/json"})
        assert status in (200, 409), body
    assert json.loads(body)["rows"] == [[1]], body
    return (time.monotonic() - at) * 1000


def footprint(folder):
    server = start(folder, KEYED.split("CREATE TABLE by_ms")[0])
    print("footprint: resident memory; start to first right answer with 1 M keys")
    report("footprint", "resident idle", "MB", resident_mb(server.process.pid))
    for part in range(20):
        post(server, "/streams/events", b"\n".join(b'{"k":"k%d","ms":1}' % (part * 50000 + i) for i in range(50000)))
    assert server.sql("SELECT count(*) FROM by_key") == [[1000000]]
    report("footprint", "resident with 1 M keys", "MB", resident_mb(server.process.pid))
    server.stop()
    report("footprint", "start to first answer", "ms", first_answer(server))
    post(server, "/streams/events", b"\n".join(b'{"k":"z%d","ms":1}' % i for i in range(50000)))
    server.sql("SELECT n FROM by_key WHERE k = 'z1'")
    server.kill()
    report("footprint", "the same after kill -9", "ms", first_answer(server))
    server.stop()


BENCHES = {"embedded": embedded, "ingest": ingest, "query": query, "fresh": fresh, "footprint": footprint}


def main():
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory(prefix=f"tarn-{name}-") as folder:
            BENCHES[name](pathlib.Path(folder))
        print()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A real Superset beside the music chart, with the dashboard imported; bin/superset installs what is missing and
calls this.

The lake half of the dashboard reads the table songs.songs: every change of the live chart as a JSON line, in files of a
folder. This program writes those files, one a second, from the push query of the live table.
"""
import argparse
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import client

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "build/superset/venv"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sql(tarn, statement):
    request = urllib.request.Request(f"http://{tarn}/sql", data=statement.encode(), headers={"Accept": "application/json"})
    return json.load(OPENER.open(request, timeout=60))["rows"]


def lake_tables(tarn, folder):
    """Schema and table over the folder, as for any foreign prefix."""
    folder = pathlib.Path(folder)
    (folder / "songs").mkdir(parents=True, exist_ok=True)
    schemas = {row[0] for row in sql(tarn, "SHOW SCHEMAS")}
    if "songs" not in schemas:
        sql(tarn, f"CREATE SCHEMA hive.songs WITH (location='file://{folder}/')")
        sql(tarn, "CREATE TABLE hive.songs.songs (count int, songName varchar) "
                  f"WITH (format = 'json', external_location = 'file://{folder}/songs/')")


def lake_follow(tarn, folder):
    """Changes of the live chart as files, until tarn ends."""
    query = urllib.parse.quote('SELECT "count", songName FROM songs_chart EMIT CHANGES')
    lines, written, number = [], time.monotonic(), 0
    with OPENER.open(f"http://{tarn}/sql/stream?q={query}") as stream:
        for line in stream:
            if line.startswith(b"data: {\"count\""):
                lines.append(line[6:])
            if lines and time.monotonic() - written >= 1:
                part = pathlib.Path(folder) / f".{number}.part"
                part.write_bytes(b"".join(lines))
                part.rename(pathlib.Path(folder) / "songs" / f"{number:06}.json")
                lines, written, number = [], time.monotonic(), number + 1


def superset_start(port, home, log):
    """gunicorn over the installed Superset; `home` keeps its database and secret."""
    home = pathlib.Path(home)
    if not (home / "secret").exists():
        (home / "secret").write_text(secrets.token_hex(32), encoding="ascii")
    env = dict(os.environ, FLASK_APP="superset", SUPERSET_HOME=str(home),
               SUPERSET_CONFIG_PATH=str(pathlib.Path(__file__).with_name("superset_config.py")))
    return subprocess.Popen([VENV / "bin/gunicorn", "-w", "1", "-k", "gthread", "--threads", "8", "-t", "120", "-b",
                             f"127.0.0.1:{port}", "superset.app:create_app()"], env=env, stdout=log, stderr=log,
                            cwd=home)


def wait_tarn(tarn, process):
    while True:
        try:
            OPENER.open(f"http://{tarn}/readyz", timeout=10).read()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit("tarn did not start")
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(prog="bin/superset", description=__doc__)
    parser.add_argument("--port", type=int, default=8088, help="of Superset (default 8088)")
    parser.add_argument("--tarn-port", type=int, default=8090, help="of the demo (default 8090)")
    parser.add_argument("--seconds", type=float, default=0, help="end by itself; 0 = until Ctrl-C")
    args = parser.parse_args()
    tarn, base = f"127.0.0.1:{args.tarn_port}", f"http://127.0.0.1:{args.port}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    processes = []
    with tempfile.TemporaryDirectory(prefix="tarn-lake-") as folder, \
            open(ROOT / "build/superset/superset.log", "wb") as log:
        try:
            processes.append(subprocess.Popen([ROOT / "build/tarn", "demo", "--listen", tarn]))
            processes.append(superset_start(args.port, ROOT / "build/superset/home", log))
            wait_tarn(tarn, processes[0])
            lake_tables(tarn, folder)
            threading.Thread(target=lake_follow, args=(tarn, folder), daemon=True).start()
            client.wait(base)
            client.Superset(base).import_dashboard(tarn)
            print(f"dashboard: {base}/superset/dashboard/music/ (admin, admin)", flush=True)
            until = time.monotonic() + args.seconds
            while (not args.seconds or time.monotonic() < until) and all(p.poll() is None for p in processes):
                time.sleep(0.2)
        except KeyboardInterrupt:
            pass
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()


if __name__ == "__main__":
    main()

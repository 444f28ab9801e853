#!/usr/bin/env python3
"""A real Superset beside the music chart, with the dashboard imported; bin/superset installs what is missing and
calls this.

The lake half of the dashboard reads the table songs.songs: every change of the live chart, written to files of a temporary
folder by a sink.
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
import time
import urllib.request

import client

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "build/superset/venv"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sql(tarn, statement):
    request = urllib.request.Request(f"http://{tarn}/sql", data=statement.encode(), headers={"Accept": "application/json"})
    return json.load(OPENER.open(request, timeout=60))["rows"]


def lake_sink(tarn, folder):
    """The changelog of the live chart as files, which are the table songs.songs."""
    sql(tarn, f"CREATE SINK IF NOT EXISTS songs_files FROM songs_chart INTO songs.songs TO 'file://{folder}/songs' "
              "WITH (rotate.interval='1s', rotate.idle='1s', compression='none')")


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
            lake_sink(tarn, folder)
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

#!/usr/bin/env python3
"""A real Superset 6.1 over trino://: the dashboard of dashboards/superset imported, database, catalogs, schemas, tables and
columns listed, SQL Lab, cost estimate, every chart before and after a live change, errors with their names, and one
picture of the dashboard in Chromium. `bin/setup bi` installs it.

    superset.py [--picture FILE]
"""
import http.cookiejar
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

from world import ROOT, World, plays

sys.path.insert(0, str(ROOT / "dashboards" / "superset"))
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import client  # noqa: E402
import run  # noqa: E402
from devtools import Browser, find_browser  # noqa: E402

SQL_LAB = """SELECT DATE_TRUNC('HOUR', CAST(ts AS TIMESTAMP)) AS ts, country, COUNT(*) AS count, SUM(amount) AS "SUM(amount)"
FROM events WHERE ts >= CAST('2024-01-01 00:00:00.000000' AS TIMESTAMP) AND NOT name IS NULL
GROUP BY DATE_TRUNC('HOUR', CAST(ts AS TIMESTAMP)), country ORDER BY count DESC, 1, 2 LIMIT 5"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def charts_of(superset):
    out = {}
    for name, number in superset.chart_ids().items():
        result = superset.chart_data(number)
        assert result["status"] == "success" and not result.get("error"), result
        out[name] = result["data"]
    return out


def check_lists(superset, database):
    base = f"/api/v1/database/{database}"
    assert set(superset.call("GET", base + "/catalogs/")["result"]) == {"hive", "system", "tarn"}
    schemas = superset.call("GET", base + "/schemas/?q=(catalog:hive)")["result"]
    assert {"default", "songs"} <= set(schemas), schemas
    tables = superset.call("GET", base + "/tables/?q=(schema_name:default,catalog_name:hive)")["result"]
    assert [table["value"] for table in tables] == ["events", "plays", "songs_chart"], tables
    table = superset.call("GET", base + "/table_metadata/?name=events&schema=default&catalog=hive")
    assert [column["name"] for column in table["columns"]][:3] == ["id", "ts", "country"], table["columns"]
    superset.call("POST", "/api/v1/database/test_connection/",
                  {"sqlalchemy_uri": superset.call("GET", base + "/connection")["result"]["sqlalchemy_uri"],
                   "database_name": "tarn"})


def check_sql_lab(superset, database):
    result = superset.sql(database, SQL_LAB)
    assert result["status"] == "success" and len(result["data"]) >= 5, result
    assert [column["type"] for column in result["columns"]][1:] == ["VARCHAR", "BIGINT", "DOUBLE"], result["columns"]
    estimate = superset.call("POST", "/api/v1/sqllab/estimate/",
                             {"database_id": database, "sql": "SELECT * FROM events", "catalog": "hive", "schema": "default"})
    assert estimate["result"], estimate
    try:
        superset.sql(database, "SELECT nosuch FROM events")
        raise AssertionError("no error")
    except RuntimeError as error:
        assert "COLUMN_NOT_FOUND" in str(error) and "Column 'nosuch' cannot be resolved" in str(error), error


def check_charts(superset, world):
    before = charts_of(superset)
    assert before["Streams Per Song (live)"][0] == {"songname": "Believe", "SUM(count)": 11}, before
    assert before["Most Streamed Song (live)"] == [{"MAX(count)": 11}], before
    assert before["Streams Per Song"] == [{"songname": "Believe", "SUM(count)": 3}], before
    assert before["Most Streamed Song "] == [{"MAX(count)": 3}], before
    world.produce("plays", [{"song": "Believe", "play": "x"}] * 7)
    world.sql("SELECT count(*) FROM songs_chart", fresh=True)
    (world.folder / "lake" / "songs" / "2.json").write_text('{"count":4,"songName":"Believe"}\n{"count":1,"songname":"New"}\n')
    after = charts_of(superset)
    assert after["Streams Per Song (live)"][0] == {"songname": "Believe", "SUM(count)": 18}, after
    assert after["Most Streamed Song (live)"] == [{"MAX(count)": 18}], after
    assert after["Streams Per Song"] == [{"songname": "Believe", "SUM(count)": 4}, {"songname": "New", "SUM(count)": 1}], after
    assert after["Most Streamed Song "] == [{"MAX(count)": 4}], after


def session_cookie(base):
    """The cookie of a browser's login."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(base + "/login/", timeout=60).read().decode()
    token = re.search(r'csrf_token"[^>]*value="([^"]+)"|csrf_token(?:&#34;|"): ?(?:&#34;|")([^"&]+)', page)
    form = {"username": "admin", "password": "admin"}
    if token:
        form["csrf_token"] = token.group(1) or token.group(2)
    opener.open(base + "/login/", data=urllib.parse.urlencode(form).encode(), timeout=60).read()
    return next(cookie.value for cookie in jar if cookie.name == "session")


def check_picture(base, path):
    with Browser(find_browser(), limit_s=120) as browser:
        browser.call("Network.enable")
        browser.call("Network.setCookie", name="session", value=session_cookie(base), url=base)
        browser.size(1100, 940)
        browser.open(base + "/superset/dashboard/music/?standalone=1")
        browser.wait("document.querySelectorAll('[data-test-viz-type] canvas, .superset-chart-pie canvas').length >= 2 || "
                     "document.querySelectorAll('.chart-container canvas').length >= 2")
        browser.wait("document.querySelectorAll('.header-line').length >= 2")
        browser.wait("document.querySelectorAll('[data-test=\"loading-indicator\"], .loading').length === 0")
        text = browser.eval("document.body.innerText")
        assert "Most Streamed Song (live)" in text and "18" in text, text[:500]
        browser.screenshot(path, is_whole=False)
        assert pathlib.Path(path).stat().st_size > 10000


def check_command():
    """bin/superset, as the README has it, on free ports and for a moment."""
    sys.path.insert(0, str(ROOT / "tests" / "docs"))
    import readme
    assert readme.blocks()["superset"].strip() == "bin/superset"
    out = subprocess.run([ROOT / "bin/superset", "--port", str(free_port()), "--tarn-port", str(free_port()), "--seconds", "1"],
                         capture_output=True, text=True, timeout=300)
    assert out.returncode == 0 and "/superset/dashboard/music/" in out.stdout, out.stdout[-2000:] + out.stderr[-2000:]


def main():
    picture = sys.argv[2] if sys.argv[1:2] == ["--picture"] else None
    assert (ROOT / "build/superset/home/ready").exists(), "run bin/setup bi first"
    with tempfile.TemporaryDirectory(prefix="tarn-bi-") as folder, World(folder) as world:
        home = pathlib.Path(folder) / "superset"
        shutil.copytree(ROOT / "build/superset/home", home)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        with open(pathlib.Path(folder) / "superset.log", "w+b") as log:
            process = run.superset_start(port, home, log)
            try:
                client.wait(base)
                superset = client.Superset(base)
                superset.import_dashboard(world.address)
                database = superset.database()
                check_lists(superset, database)
                print("ok lists")
                check_sql_lab(superset, database)
                print("ok SQL Lab")
                check_charts(superset, world)
                print("ok charts")
                check_picture(base, picture or str(pathlib.Path(folder) / "dashboard.png"))
                print("ok picture")
                check_command()
                print("ok bin/superset")
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read()[-3000:].decode(errors="replace"))
                raise
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


if __name__ == "__main__":
    main()

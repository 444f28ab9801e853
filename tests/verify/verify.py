#!/usr/bin/env python3
"""`tarn verify` on folders that were altered by hand: it must name query, key and both values, and exit with 1.

usage: verify.py DAMAGE_PROGRAM. A pipeline with a count by the record's key, a sum by another key (two stages), an AVG
and HAVING table (a changelog of its own), windows and a filtered stream is fed and stopped; copies of its folder are damaged.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import BINARY, Server  # noqa: E402

DAMAGE = sys.argv[1]
PIPELINE = """
CREATE STREAM clicks (page VARCHAR KEY, usr VARCHAR, ms INT) WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE by_page AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page EMIT CHANGES;
CREATE TABLE by_user AS SELECT usr, SUM(ms) AS total FROM clicks GROUP BY usr EMIT CHANGES;
CREATE TABLE slow AS SELECT page, AVG(ms) AS mean FROM clicks GROUP BY page HAVING COUNT(*) > 2 EMIT CHANGES;
CREATE TABLE minutes AS SELECT page, COUNT(*) AS n FROM clicks WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY page EMIT CHANGES;
CREATE STREAM long_clicks AS SELECT page, ms FROM clicks WHERE ms > 50 EMIT CHANGES;
"""
EVENTS = 600
SETTINGS = {"application.id": "dmg", "state.flush.every.commit": "true"}


def verify(folder, status):
    done = subprocess.run([str(BINARY), "verify", "--state", str(folder), "--set", "application.id=dmg"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == status, f"exit {done.returncode}, expected {status}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def expect(text, *parts):
    """One line has all parts."""
    assert any(all(part in line for part in parts) for line in text.splitlines()), f"no line with {parts} in:\n{text}"


def damaged(original, name, *arguments):
    folder = original.parent / name
    shutil.copytree(original, folder)
    done = subprocess.run([DAMAGE, str(folder), "dmg", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    print(f"{name}: {done.stdout.strip()}")
    return folder


def fill(work):
    (work / "pipeline.sql").write_text(PIPELINE)
    with Server(work / "pipeline.sql", work / "state", SETTINGS) as tarn:
        lines = [json.dumps({"page": f"page-{i % 7}", "usr": f"user-{i % 5}", "ms": i % 100}) for i in range(EVENTS)]
        for at in range(0, EVENTS, 100):
            status, body = tarn.request("POST", "/streams/clicks", "\n".join(lines[at:at + 100]).encode(),
                                        {"Content-Type": "application/x-ndjson"})
            assert status == 200, (status, body)
            tarn.sql("SELECT COUNT(*) FROM by_user", fresh=True)
        for table in ("by_page", "by_user", "slow", "minutes"):
            tarn.sql(f"SELECT COUNT(*) FROM {table}", fresh=True)
    return work / "state"


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-verify-test-") as name:
        work = pathlib.Path(name)
        state = fill(work)
        text = verify(state, 0)
        assert text.count("recount: agrees") == 4 and text.count("changelog: agrees") == 4, text
        expect(text, "records of 'LONG_CLICKS'", "agrees")
        expect(text, "repartition", "agrees")
        assert "everything agrees" in verify(state, 0), "verify must leave the folder as it was"

        text = verify(damaged(state, "row", "state", "page-3", "-1"), 1)
        print(text)
        expect(text, "by_page", '{"page":"page-3"}', "table has", "recount {")
        expect(text, "by_page", '{"page":"page-3"}', "table has", "changelog {")

        text = verify(damaged(state, "record", "record", "BY_PAGE", "page-3"), 1)
        print(text)
        expect(text, "by_page", '{"page":"page-3"}', 'table has {"n":86}', "changelog {")
        assert "recount: agrees" in text, text

        text = verify(damaged(state, "back", "position", "clicks", "-7"), 1)
        print(text)
        expect(text, "by_page", "table has", "recount {")

        text = verify(damaged(state, "beyond", "position", "clicks", "1000"), 1)
        expect(text, "CTAS_BY_PAGE_2, by_page", "'clicks' partition 0 ends at", "before the committed position")


main()

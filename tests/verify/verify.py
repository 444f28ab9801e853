#!/usr/bin/env python3
"""`tarn verify` on folders that were altered by hand: it must name query, key and both values, and exit with 1.

usage: verify.py DAMAGE_PROGRAM. A pipeline with a count by the record's key, a sum by another key (two stages), an AVG
and HAVING table (a changelog of its own), windows, a filtered stream and joins with tables is fed and stopped; copies of its
folder are damaged. What a join wrote is checked although the order in which its inputs arrived is in no log.
"""
import json
import pathlib
import re
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
CREATE TABLE users (usr VARCHAR PRIMARY KEY, city VARCHAR) WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON', PARTITIONS=2, GLOBAL=true);
CREATE STREAM lived AS SELECT clicks.page, ms, city FROM clicks LEFT JOIN users ON clicks.usr = users.usr EMIT CHANGES;
CREATE TABLE by_city AS SELECT city, SUM(ms) AS total FROM clicks JOIN users ON clicks.usr = users.usr GROUP BY city EMIT CHANGES;
CREATE STREAM by_usr AS SELECT usr, page, ms FROM clicks PARTITION BY usr EMIT CHANGES;
CREATE TABLE homes (usr VARCHAR PRIMARY KEY, city VARCHAR) WITH (KAFKA_TOPIC='homes', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM homed AS SELECT by_usr.usr, page, city FROM by_usr LEFT JOIN homes ON by_usr.usr = homes.usr EMIT CHANGES;
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


def part(text, table):
    """What is said of one query."""
    return re.split(rf"^C[ST]AS_{table}_\d+, .*:$", text, flags=re.M)[1].split("\nC", 1)[0]


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
        def post(stream, rows):
            status, body = tarn.request("POST", f"/streams/{stream}", "\n".join(map(json.dumps, rows)).encode(),
                                        {"Content-Type": "application/x-ndjson"})
            assert status == 200, (status, body)

        post("users", [{"usr": f"user-{i}", "city": f"city-{i % 2}"} for i in range(4)])
        post("homes", [{"usr": f"user-{i}", "city": f"city-{i % 2}"} for i in range(5)])
        tarn.sql("SELECT COUNT(*) FROM users", fresh=True)
        tarn.sql("SELECT COUNT(*) FROM homes", fresh=True)
        lines = [json.dumps({"page": f"page-{i % 7}", "usr": f"user-{i % 5}", "ms": i % 100}) for i in range(EVENTS)]
        for at in range(0, EVENTS, 100):
            status, body = tarn.request("POST", "/streams/clicks", "\n".join(lines[at:at + 100]).encode(),
                                        {"Content-Type": "application/x-ndjson"})
            assert status == 200, (status, body)
            for table in ("by_user", "by_page"):  # several results for each key
                tarn.sql(f"SELECT COUNT(*) FROM {table}", fresh=True)
            if at == 300:  # some clicks came before, some come after
                post("users", [{"usr": "user-4", "city": "city-1"}])
        for table in ("by_page", "by_user", "slow", "minutes", "by_city"):
            tarn.sql(f"SELECT COUNT(*) FROM {table}", fresh=True)
    return work / "state"


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-verify-test-") as name:
        work = pathlib.Path(name)
        state = fill(work)
        text = verify(state, 0)
        assert text.count("changelog: agrees") == 7, text
        for table in ("BY_PAGE", "BY_USER", "SLOW", "MINUTES", "BY_CITY"):
            assert "recount: agrees" in part(text, table), text
        for topic in ("LIVED", "HOMED", "BY_CITY"):
            assert "agrees" in next(x for x in part(text, topic).splitlines() if "joined records of" in x), text
        expect(text, "records of 'LONG_CLICKS'", "agrees")
        expect(text, "repartition", "agrees")
        assert "everything agrees" in verify(state, 0), "verify must leave the folder as it was"

        text = verify(damaged(state, "row", "state", "page-3", "-1"), 1)
        print(text)
        expect(text, "by_page", '{"page":"page-3"}', "table has", "recount {")
        expect(text, "by_page", '{"page":"page-3"}', "table has", "changelog {")

        text = verify(damaged(state, "record", "record", "BY_PAGE", "page-3"), 1)
        print(text)
        # the record before it, or nothing where a slow run has given the log time to compact it away
        expect(text, "by_page", '{"page":"page-3"}', 'table has {"n":86}', "changelog ")
        assert "recount: agrees" in text, text

        text = verify(damaged(state, "back", "position", "clicks", "-7"), 1)
        print(text)
        expect(text, "by_page", "table has", "recount {")

        # joins: a record that no order of the inputs explains; a table behind the repartition of a join
        text = verify(damaged(state, "lived", "value", "LIVED", "page-3"), 1)
        print(text)
        expect(text, "LIVED: key page-3: log has", "which the join gives in no order of its inputs")
        expect(text, "joined records of 'LIVED'", "1 differences")

        text = verify(damaged(state, "joined", "state", "city-1", "-1"), 1)
        print(text)
        expect(text, "by_city", '{"city":"city-1"}', "table has", "recount {")

        text = verify(damaged(state, "beyond", "position", "clicks", "1000"), 1)
        expect(text, "CTAS_BY_PAGE_2, by_page", "'clicks' partition 0 ends at", "before the committed position")


main()

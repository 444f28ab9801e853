#!/usr/bin/env python3
"""Sinks against known results (label lake): object names and bytes, layouts, rotation, folders, Connect's names, dead
letters, a store that is away, take-over without a record, what `tarn verify` finds, the click lake.

Usage: sinks.py [CASE…]
"""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from lake_files import BucketStore, FolderStore, Table, unpack  # noqa: E402
from radosgw import Radosgw  # noqa: E402
from tarn_server import BINARY, ROOT, Server, verify  # noqa: E402

GOLDEN = [("Bohemian Rhapsody", (1, 2)), ("Still Loving You", (3, 4, 5)), ("The Good The Bad And The Ugly", (1, 2, 3)),
          ("Believe", (3, 4)), ("Perfect", (1,)), ("Sometimes", (1, 2, 4)), ("Into The Unknown", (2, 4))]
CHART = """SELECT "songname" AS "songname",
       count(*) AS "count"
FROM
  (SELECT *
   FROM songs.songs) AS "expr_qry"
GROUP BY "songname"
ORDER BY "count" DESC
LIMIT 1000;"""


class Case:
    """A server over a pipeline in a folder of its own."""

    def __init__(self, name, text, env=None, settings=None):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"tarn-lake-{name}-"))
        self.lake = self.root / "lake"
        self.write(text)
        self.env, self.settings = env, settings

    def write(self, text):
        (self.root / "p.sql").write_text(text.replace("{lake}", str(self.lake)))

    def server(self):
        return Server(self.root / "p.sql", self.root / "state", env=self.env, settings=self.settings)

    def table(self, name):
        return Table(FolderStore(self.lake), name)

    def done(self):
        shutil.rmtree(self.root)


def post(tarn, path, body, kind="application/json", **headers):
    status, answer = tarn.request("POST", path, body if isinstance(body, bytes) else body.encode(),
                                  {"Content-Type": kind, **headers})
    assert 200 <= status < 300, f"{status}: {answer!r}"
    return status, answer.decode()


def sinks(tarn):
    names = ("name", "state", "lag_records", "open_rows", "rows", "files", "error", "epoch")
    return {row[0]: dict(zip(names, row))
            for row in tarn.sql(f"SELECT {', '.join(names)} FROM system.sinks", fresh=False)}


def wait(what, tarn, condition):
    """Polls what the sinks say of themselves."""
    deadline = time.monotonic() + 60
    while not condition(sinks(tarn)):
        assert time.monotonic() < deadline, f"{what}: {sinks(tarn)}"
        time.sleep(0.02)


def settle(tarn, expected=None):
    def is_settled(all_sinks):
        return all(s["lag_records"] == 0 and s["open_rows"] == 0 and s["state"] == "RUNNING" for s in all_sinks.values()) \
            and all(all_sinks[name]["rows"] >= rows for name, rows in (expected or {}).items())
    wait("the sinks do not finish", tarn, is_settled)


def test_objects():
    """One object per change: names, bytes, DDL and chart query of the music chart."""
    topic = "music-chart-songs-store-changelog"
    case = Case("objects", f"""
CREATE STREAM changes (id INT KEY, count INT, "songName" VARCHAR)
  WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON', PARTITIONS=12);
CREATE SINK store FROM changes INTO exported.changes TO '{{lake}}/{topic}'
  WITH (object_key='{topic}.json/${{date:now:yyyyMMdd-HHmmssSSS}}-${{exchangeId}}');
CREATE SCHEMA hive.songs WITH (location='{{lake}}/{topic}/{topic}.json/');
CREATE TABLE songs.songs (count int, songName varchar)
  WITH (format = 'json', external_location = '{{lake}}/{topic}/{topic}.json/');
""")
    bodies = [f'{{"count":{count},"songName":"{song}"}}' for song, counts in GOLDEN for count in counts]
    with case.server() as tarn:
        assert tarn.sql(CHART) == []
        for number, body in enumerate(bodies):
            post(tarn, "/streams/changes", body, **{"X-Tarn-Key": str(number)})
        settle(tarn, {"store": 16})
        chart = tarn.sql(CHART)
        assert [row[1] for row in chart] == [3, 3, 3, 2, 2, 2, 1], chart
        big = tarn.sql('SELECT MAX("count") AS "MAX(count)" FROM (' + CHART.rstrip(";") + ') AS "expr_qry"')
        assert big == [[3]], big
        stamps = {(p, o): ms for p, o, ms in
                  tarn.sql("SELECT ROWPARTITION, ROWOFFSET, ROWTIME FROM changes")}
    table = case.table(topic)
    table.check()
    assert len(table.data) == 16 and sorted(table.read(name).decode() for name in table.data) == sorted(bodies)
    log_id = bytes.fromhex(table.ranges[0]["logId"])
    exchange = hashlib.sha256(log_id + b"store" + (1).to_bytes(8, "big")).hexdigest()[:15].upper()
    for file in table.files:
        at = stamps[(file["partition"], file["first"])]
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at // 1000)) + f"{at % 1000:03d}"
        expected = f"{topic}.json/{when}-{exchange}-{file['partition']:04X}{file['first']:012X}"
        assert file["path"] == expected, (file["path"], expected)
        assert re.fullmatch(rf"{topic}\.json/\d{{8}}-\d{{9}}-[0-9A-F]{{15}}-[0-9A-F]{{16}}", file["path"])
    case.done()


def test_layouts():
    """raw keeps every byte, value the value, change the columns; tombstones stay; gzip, zstd and plain hold the same."""
    case = Case("layouts", """
CREATE STREAM bytes (v BYTES) WITH (KAFKA_TOPIC='bytes', VALUE_FORMAT='RAW', PARTITIONS=1);
CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR, at TIMESTAMP, tags ARRAY<VARCHAR>)
  WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK raw FROM bytes INTO bronze.bytes TO '{lake}/bytes' WITH (layout='raw', rotate.idle='100ms');
CREATE SINK plain FROM users INTO silver.plain TO '{lake}/plain' WITH (rotate.idle='100ms');
CREATE SINK gzip FROM users INTO silver.gzip TO '{lake}/gzip' WITH (rotate.idle='100ms', compression='gzip');
CREATE SINK zstd FROM users INTO silver.zstd TO '{lake}/zstd' WITH (rotate.idle='100ms', compression='zstd');
CREATE SINK value FROM users INTO silver.value TO '{lake}/value' WITH (rotate.idle='100ms', layout='value');
CREATE SINK living FROM users INTO silver.living TO '{lake}/living'
  WITH (rotate.idle='100ms', layout='value', null.values='ignore');
""")
    values = [b'{"a": 1}', b"\xff\x00\xfe", "zażółć".encode(), b"", b"two\nlines"]
    with case.server() as tarn:
        for value in values:
            post(tarn, "/streams/bytes", value, "application/octet-stream")
        rows = '{"id":1,"name":"Ann","at":1700000000123,"tags":["x","y"]}\n{"id":2,"name":"Bo \\"B\\""}\n'
        post(tarn, "/streams/users", rows, "application/x-ndjson")
        status, _ = tarn.request("DELETE", "/streams/users", b"", {"X-Tarn-Key": "1"})
        assert status == 200
        settle(tarn, {"raw": 5, "plain": 3, "gzip": 3, "zstd": 3, "value": 3, "living": 2})
        live = tarn.sql("SELECT id, name FROM silver.gzip ORDER BY _offset")
        assert live == [[1, "Ann"], [2, 'Bo "B"'], [1, None]], live
    got = [row for _, row in case.table("bytes").rows()]
    back = [base64.b64decode(row["_value_b64"]) if "_value_b64" in row else row["_value"].encode() for row in got]
    assert back == values, back
    assert [row["_offset"] for row in got] == [0, 1, 2, 3, 4]
    texts = {name: [json.dumps({k: v for k, v in row.items()}) for _, row in case.table(name).rows()]
             for name in ("plain", "gzip", "zstd")}
    assert texts["plain"] == texts["gzip"] == texts["zstd"]
    first = json.loads(texts["plain"][0])
    assert list(first) == ["id", "name", "at", "tags", "_op", "_ts", "_partition", "_offset"], list(first)
    assert first["at"] == 1700000000123 and first["tags"] == ["x", "y"] and first["_op"] == "u"
    gone = json.loads(texts["plain"][2])
    assert (gone["id"], gone["name"], gone["_op"], gone["_offset"]) == (1, None, "d", 2)
    table = case.table("value")
    lines = b"".join(unpack(f["path"], table.read(f["path"])) for f in table.files).decode().splitlines()
    assert lines[2] == "null" and json.loads(lines[0])["name"] == "Ann" and lines[0] == rows.splitlines()[0], lines
    assert len(list(case.table("living").rows())) == 2
    stats = case.table("plain").files[0]["stats"]
    assert stats["min"]["id"] == 1 and stats["max"]["id"] == 2 and stats["nulls"]["name"] == 1, stats
    case.done()


def test_rotation():
    """Cuts at exactly so many records, at bytes, at spans of record time; a late record keeps its own folder."""
    case = Case("rotation", """
CREATE STREAM ev (country VARCHAR, ts BIGINT, pad VARCHAR)
  WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='ts');
CREATE SINK records FROM ev INTO a.records TO '{lake}/records' WITH (rotate.records=4, rotate.idle='300ms');
CREATE SINK bytes FROM ev INTO a.bytes TO '{lake}/bytes' WITH (rotate.bytes='1k', rotate.idle='300ms', rotate.records=2);
CREATE SINK span FROM ev INTO a.span TO '{lake}/span' WITH (rotate.span='1h', rotate.idle='300ms', timestamp.field='ts');
CREATE SINK folders FROM ev INTO a.folders TO '{lake}/folders'
  WITH (partition_by='country, day, hour', timestamp.field='ts', rotate.idle='300ms');
CREATE SINK pattern FROM ev INTO a.pattern TO '{lake}/pattern'
  WITH (path.format='''dt''=yyyy-MM-dd', timestamp.field='ts', rotate.idle='300ms');
CREATE SINK connect FROM ev INTO a.connect TO '{lake}/connect'
  WITH (format.class='io.confluent.connect.s3.format.json.JsonFormat', flush.size=5, s3.compression.type='gzip');
""")
    base = 1767312000000  # 2026-01-02T00:00:00Z
    places = ["PL", "a/b=c", None, "PL", "ć", "PL", "", "DE", "PL", "PL"]
    hours = [0, 0, 1, 5, 0, 25, 0, 2, 0, 0]
    with case.server() as tarn:
        body = "\n".join(json.dumps({"country": place, "ts": base + hour * 3600000, "pad": "x" * 200})
                         for place, hour in zip(places, hours))
        post(tarn, "/streams/ev", body, "application/x-ndjson")
        settle(tarn, {name: 10 for name in ("records", "bytes", "folders", "pattern", "connect")})
        by = tarn.sql("SELECT country, COUNT(*) FROM a.folders GROUP BY country ORDER BY 2 DESC, 1")
        assert [row for row in by if row[0] == "PL"] == [["PL", 5]], by
        one = tarn.sql("SELECT COUNT(*) FROM a.folders WHERE dt = '2026-01-03' AND hour = '01'")
        assert one == [[1]], one
    assert [file["rows"] for file in case.table("records").files] == [4, 4, 2]
    assert [file["path"] for file in case.table("records").files][1] == "records-0-00000000000000000004-1.json"
    assert all(file["rows"] <= 2 for file in case.table("bytes").files)
    folders = {file["path"].rsplit("/", 1)[0] for file in case.table("folders").files}
    assert "country=PL/dt=2026-01-03/hour=01" in folders and "country=a%2Fb%3Dc/dt=2026-01-02/hour=00" in folders
    assert "country=__HIVE_DEFAULT_PARTITION__/dt=2026-01-02/hour=01" in folders, folders
    assert "country=%C4%87/dt=2026-01-02/hour=00" in folders, folders
    case.table("folders").check()
    assert {file["path"].split("/")[0] for file in case.table("pattern").files} == {"dt=2026-01-02", "dt=2026-01-03"}
    names = case.table("connect/topics/ev").data
    assert names == ["partition=0/ev+0+0000000000.json.gz", "partition=0/ev+0+0000000005.json.gz"], names
    case.done()


def test_dead_letters():
    """A record that does not fit: in _errors and in system.dead_letters, once; the others go on."""
    case = Case("letters", """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}/s' WITH (rotate.idle='100ms');
""")
    with case.server() as tarn:
        for body in ('{"a":1}', '{"a":"no number"}', '{"a":3}'):
            post(tarn, "/streams/s", body)
        settle(tarn, {"k": 2})
        letters = tarn.sql("SELECT topic, \"offset\", query FROM system.dead_letters", fresh=False)
        assert letters == [["s", 1, "k"]], letters
    table = case.table("s")
    table.check()
    assert [row["a"] for _, row in table.rows()] == [1, 3] and len(table.errors) == 1
    assert "everything agrees" in verify(case.root / "state", "music-chart")
    case.done()


def test_lifecycle():
    """PAUSE, ALTER, restart; DROP and CREATE go on by the table log alone, under the next epoch."""
    text = """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE SINK k FROM s INTO a.s TO '{lake}/s' WITH (rotate.idle='100ms');
"""
    case = Case("lifecycle", text)

    def add(tarn, values):
        post(tarn, "/streams/s", "\n".join(f'{{"a":{v}}}' for v in values), "application/x-ndjson")
    with case.server() as tarn:
        add(tarn, range(10))
        settle(tarn, {"k": 10})
        tarn.sql("PAUSE SINK k")
        wait("pause", tarn, lambda s: s["k"]["state"] == "PAUSED")
        add(tarn, range(10, 20))
        tarn.sql("ALTER SINK k SET (compression='gzip')")
        tarn.sql("RESUME SINK k")
        wait("resume", tarn, lambda s: s["k"]["rows"] == 20)
    with case.server() as tarn:  # the file has no ALTER: a changed statement follows OR REPLACE
        add(tarn, range(20, 30))
        settle(tarn, {"k": 10})
        tarn.sql("DROP SINK k")
        tarn.sql(f"CREATE SINK k FROM s INTO a.s TO '{case.lake}/s' WITH (rotate.idle='100ms')")
        add(tarn, range(30, 40))
        settle(tarn, {"k": 10})
        assert sinks(tarn)["k"]["epoch"] == 2
        rows = tarn.sql("SELECT COUNT(*), COUNT(DISTINCT a) FROM a.s")
        assert rows == [[40, 40]], rows
    table = case.table("s")
    table.check()
    assert any(file["path"].endswith(".gz") for file in table.files)
    assert any(file["path"].endswith("-2.json") for file in table.files), table.data
    case.done()


def test_verify():
    """verify finds a file deleted, altered, doubled, a row added, an entry of the log gone."""
    case = Case("verify", """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}/s' WITH (rotate.records=5, rotate.idle='100ms');
""")
    with case.server() as tarn:
        post(tarn, "/streams/s", "\n".join(f'{{"a":{v}}}' for v in range(20)), "application/x-ndjson")
        settle(tarn, {"k": 20})
    folder = case.lake / "s"

    def damage(what, act, expected):
        shutil.copytree(folder, case.root / "keep")
        act()
        done = subprocess.run([str(BINARY), "verify", "--state", str(case.root / "state")], capture_output=True, text=True)
        assert done.returncode == 1 and expected in done.stdout, (what, done.stdout, done.stderr)
        shutil.rmtree(folder)
        (case.root / "keep").rename(folder)
    name = "s-0-00000000000000000005-1.json"
    damage("deleted", (folder / name).unlink, "is gone")
    damage("altered", lambda: (folder / name).write_text((folder / name).read_text().replace("7", "8")), "was altered")
    damage("doubled", lambda: shutil.copy(folder / name, folder / "s-copy.json"), "is in no entry")
    damage("doubled under a name of ours", lambda: shutil.copy(folder / name, folder / "s-0-00000000000000000007-1.json"),
           "is in no entry")
    damage("entry gone", (folder / "_log" / f"{2:020d}.commit").unlink, "has a gap")
    assert "verify lake: everything agrees" in verify(case.root / "state", "music-chart")
    case.done()


def test_sweep():
    """What a crash left is removed by the next owner: files of its epoch that no entry names, unfinished uploads. Files
    that are named, or are not a sink's, stay. Two sinks into one place are refused."""
    pipeline = """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}' WITH (rotate.records=5, rotate.idle='100ms');
"""
    with Radosgw() as gateway:
        case = Case("sweep", pipeline.replace("{lake}", f"s3://{gateway.bucket('lake')}/s"), env=gateway.env)
        request = gateway.s3.request
        for epoch in [1, 2]:
            with case.server() as tarn:
                post(tarn, "/streams/s", "\n".join(f'{{"a":{v}}}' for v in range(10)), "application/x-ndjson")
                wait("all is written", tarn, lambda s: s["k"]["lag_records"] == 0 and s["k"]["epoch"] == epoch)
                status, body = tarn.request("POST", "/sql", b"CREATE SINK l FROM s INTO a.s")
                assert status >= 400 and b"sink 'k' writes to" in body, body
            keys = gateway.s3.keys("lake")
            if epoch == 2:
                break
            left = ["s/s-0-00000000000000000010-1.json", "s/s-0-00000000000000000013-1.json"]
            kept = ["s/notes.json", "s/s-0-00000000000000000010-9.json", "s/s-7-00000000000000000010-1.json"]
            for key in left + kept:
                assert request("PUT", f"/lake/{key}", body=b"x")[0] == 200
            for key in ["s/s-0-00000000000000000010-1.json", "s/other.json"]:
                assert request("POST", f"/lake/{key}", [("uploads", "")])[0] == 200
            shutil.rmtree(case.root / "state")  # somebody else goes on; the topic is gone with it
            (case.root / "state").mkdir()
        assert not set(left) & set(keys), keys
        assert set(kept) <= set(keys), keys
        table = Table(BucketStore(gateway, "lake"), "s")  # the files of the first topic are in entries, and there
        assert {f"s/{file['path']}" for file in table.files} <= set(keys), keys
        assert sum(file["rows"] for file in table.files) == 20
        _, _, uploads = request("GET", "/lake", [("uploads", "")])
        assert uploads.count(b"<UploadId>") == 1 and b"s/other.json" in uploads, uploads
        case.done()


def test_click_lake():
    """The example: answer, zones, order of notices; the silver store fails in the middle and recovers."""
    pipeline = (ROOT / "dashboards" / "demo" / "click_lake.sql").read_text()
    case = Case("clicks", pipeline)
    case.settings = {"lake.dir": str(case.lake)}
    sample = '{"type":"clickevent","mousebutton":"left","isnew":true}'
    with case.server() as tarn:
        assert post(tarn, "/function/clickevent-ingest", sample) == (200, "Message Handled")
        every = {"clickevent_rawdata": 1, "clickevent_stagingdata": 1, "clickevent_processeddata": 1, "clicks": 1}
        settle(tarn, every)
        assert tarn.sql("SELECT _value FROM bronze.events") == [[sample]]
        assert tarn.sql("SELECT type, mousebutton, isnew FROM silver.events") == [["clickevent", "left", True]]
        assert tarn.sql("SELECT mousebutton, clicks FROM gold.clicks") == [["left", 1]]
        times = [tarn.sql(f"SELECT committed FROM system.files WHERE target = '{zone}.events'", fresh=False)[0][0]
                 for zone in ("bronze", "silver", "gold")]
        assert times == sorted(times), times
    # Silver fails: its place is no folder
    silver, keep = case.lake / "silver" / "events", case.root / "silver-kept"
    silver.rename(keep)
    silver.write_text("not a folder")
    with case.server() as tarn:
        post(tarn, "/function/clickevent-ingest", sample.replace("left", "right"))
        wait("silver is away", tarn, lambda s: s["clickevent_rawdata"]["rows"] == 1 and
             s["clickevent_stagingdata"]["state"] == "RETRYING")
        assert tarn.sql("SELECT COUNT(*) FROM bronze.events") == [[2]]
        assert tarn.sql("SELECT COUNT(*) FROM clickevent_stagingdata") == [[1]], "a notice before the file"
        assert tarn.sql("SELECT COUNT(*) FROM gold.events") == [[1]]
        silver.unlink()
        keep.rename(silver)
        wait("gold", tarn, lambda s: s["clickevent_processeddata"]["rows"] == 1)
        settle(tarn)
        for zone in ("bronze", "silver", "gold"):
            assert tarn.sql(f"SELECT COUNT(*) FROM {zone}.events") == [[2]], zone
        assert tarn.sql("SELECT mousebutton FROM gold.clicks ORDER BY 1") == [["left"], ["right"]]
    case.done()


def test_notices():
    """notify='commit': one JSON object per entry of the table log; a webhook that fails becomes a dead letter."""
    case = Case("notices", """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM heard (sink VARCHAR, rows BIGINT, files ARRAY<VARCHAR>)
  WITH (KAFKA_TOPIC='heard', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}/s'
  WITH (rotate.idle='100ms', notify_topic='heard', notify='commit', notify_url='http://127.0.0.1:9/hook',
        notify_retries=2, retry.backoff='10ms');
""")
    with case.server() as tarn:
        post(tarn, "/streams/s", '{"a":1}\n{"a":2}', "application/x-ndjson")
        settle(tarn, {"k": 2})
        heard = tarn.sql("SELECT sink, rows, files FROM heard")
        assert heard == [["k", 2, ["s-0-00000000000000000000-1.json"]]], heard
        letters = tarn.sql("SELECT query, reason FROM system.dead_letters", fresh=False)
        assert len(letters) == 1 and letters[0][0] == "k", letters
    case.done()


def test_paths():
    """Values and names that try to leave the table's folder: escaped in folders, refused in names and places."""
    values = ["../../etc", "..", ".", "/abs", "a/../../b", "%2e%2e%2f", "C:\\x", ""]
    case = Case("paths", """
CREATE STREAM s (a INT, c VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}/in/s' WITH (rotate.idle='100ms', partition_by='c');
""")
    with case.server() as tarn:
        post(tarn, "/streams/s", "\n".join(json.dumps({"a": a, "c": c}) for a, c in enumerate(values)), "application/x-ndjson")
        settle(tarn, {"k": len(values)})
        there = {row[0]: row[1] for row in tarn.sql("SELECT a, c FROM a.s")}
        assert [there[a] for a in range(len(values))] == values[:-1] + [None], there
        for place in (f"{case.lake}/../x", "s3://bucket/../x", "s3://bucket/a/./b", "s3://../x"):
            status, body = tarn.request("POST", "/sql", f"CREATE SINK bad FROM s INTO a.bad TO '{place}'".encode())
            assert status == 400, (place, status, body)
        for name in ('a."../x"', 'a."x/y"', '"../a".x', '"..".x', 'a.".."'):
            status, body = tarn.request("POST", "/sql", f"CREATE SINK bad FROM s INTO {name}".encode())
            assert status == 400, (name, status, body)
    outside = [path for path in case.root.rglob("*") if path.is_file() and case.lake / "in" / "s" not in path.parents
               and case.root / "state" not in path.parents]
    assert sorted(path.name for path in outside) == ["p.sql", "state.log"], outside
    case.table("in/s").check()
    case.done()


def test_checkpoints():
    """A long table log opens by its checkpoints: the entries in them are not asked for one by one."""
    case = Case("checkpoints", """
CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO '{lake}/s' WITH (rotate.records=1, rotate.idle='100ms');
""")
    rows = 530
    with case.server() as tarn:
        post(tarn, "/streams/s", "\n".join(f'{{"a":{a}}}' for a in range(rows)), "application/x-ndjson")
        settle(tarn, {"k": rows})
    log = case.lake / "s" / "_log"
    assert [path.name for path in log.glob("*.checkpoint")] == [f"{511:020d}.checkpoint"], sorted(log.glob("*.check*"))
    assert "verify lake: everything agrees" in verify(case.root / "state", "music-chart")
    for version in range(1, 512):
        (log / f"{version:020d}.commit").rename(case.root / f"kept-{version}")
    case.write("CREATE SCHEMA a;\nCREATE TABLE a.s (a INT) WITH (format='json', external_location='{lake}/s');")
    shutil.rmtree(case.root / "state")
    with case.server() as tarn:
        assert tarn.sql("SELECT count(*), sum(a) FROM a.s") == [[rows, rows * (rows - 1) // 2]]
    case.done()


def test_s3():
    """A real S3 server: files in parts, a store that hangs and comes back, errors that name what is wrong."""
    with Radosgw() as gateway:
        gateway.bucket("lake")
        case = Case("s3", """
CREATE STREAM s (a INT, pad VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO a.s TO 's3://lake/s' WITH (rotate.idle='200ms', rotate.records=0, retry.backoff='20ms');
CREATE SINK nowhere FROM s INTO a.nowhere TO 's3://no-such-bucket/x' WITH (rotate.idle='200ms');
""", env=gateway.env, settings={"s3.timeout.ms": "4s", "s3.part.bytes": "5m"})
        with case.server() as tarn:
            wait("unknown bucket", tarn, lambda s: s["nowhere"]["error"] and "no-such-bucket" in s["nowhere"]["error"])
            assert sinks(tarn)["nowhere"]["state"] == "FAILED", sinks(tarn)
            tarn.sql("DROP SINK nowhere")
            pad = "".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(300))
            body = "\n".join(json.dumps({"a": i, "pad": pad}) for i in range(400))
            post(tarn, "/streams/s", body, "application/x-ndjson")
            settle(tarn, {"k": 400})
            gateway.signal_gateway(signal.SIGSTOP)
            try:
                post(tarn, "/streams/s", '{"a":1000}')
                wait("the store hangs", tarn, lambda s: s["k"]["state"] == "RETRYING")
            finally:
                gateway.signal_gateway(signal.SIGCONT)
            settle(tarn, {"k": 401})
        table = Table(BucketStore(gateway, "lake"), "s")
        table.check()
        assert max(file["size"] for file in table.files) > 5 << 20, "no file was large enough for parts"
        assert sorted(row["a"] for _, row in table.rows()) == list(range(400)) + [1000]
        os.environ.update(gateway.env)
        assert "verify lake: everything agrees" in verify(case.root / "state", "music-chart")
        case.env = {**gateway.env, "AWS_SECRET_ACCESS_KEY": "wrong"}
        with case.server() as tarn:
            post(tarn, "/streams/s", '{"a":1001}')
            wait("wrong key", tarn, lambda s: s["k"]["state"] == "FAILED" and s["k"]["error"])
            assert "wrong" not in sinks(tarn)["k"]["error"].split(), sinks(tarn)
        case.done()


def main():
    cases = {name[5:]: case for name, case in globals().items() if name.startswith("test_")}
    for name in sys.argv[1:] or cases:
        cases[name]()
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()

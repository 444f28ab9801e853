"""Zone tables over folders, through a running tarn: the music chart's statements as they were, lenient reading, files
that come, change, vanish or are half written, partitions and pruning, remembered columns, writing by statement, bad
input by name. S3 is the same code over another adapter (tests/s3)."""
import gzip
import os
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import Server  # noqa: E402

checks = failures = 0


def check(got, want, what):
    global checks, failures
    checks += 1
    if got != want:
        failures += 1
        print(f"FAILED {what}\n  got  {got!r}\n  want {want!r}", file=sys.stderr)


CHART = '''SELECT "songname" AS "songname",
       count(*) AS "count"
FROM
  (SELECT *
   FROM songs.songs) AS "expr_qry"
GROUP BY "songname"
ORDER BY "count" DESC
LIMIT 1000;
'''
OBJECTS = [(1, "Bohemian Rhapsody"), (2, "Bohemian Rhapsody"), (3, "Still Loving You"), (4, "Still Loving You"),
           (5, "Still Loving You"), (1, "The Good The Bad And The Ugly"), (2, "The Good The Bad And The Ugly"),
           (3, "The Good The Bad And The Ugly"), (3, "Believe"), (4, "Believe"), (1, "Perfect"), (1, "Sometimes"),
           (2, "Sometimes"), (4, "Sometimes"), (2, "Into The Unknown"), (4, "Into The Unknown")]


class Case:
    def __init__(self, tarn, root):
        self.tarn, self.root = tarn, root

    def sql(self, text):
        return self.tarn.sql(text, fresh=False)

    def error(self, text):
        import json
        status, body = self.tarn.request("POST", "/sql", text.encode(), {"Accept": "application/json"})
        return "" if status < 400 else (lambda e: f"{e['name']}: {e['message']}")(json.loads(body)["error"])

    def metric(self, name):
        text = self.tarn.request("GET", "/metrics")[1].decode()
        return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(name + " "))

    def folder(self, name):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, folder, name, text, age_s=100):
        """A file as another program leaves it: written aside, renamed."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = folder / ("." + name.replace("/", "-"))
        aside.write_bytes(text if isinstance(text, bytes) else text.encode())
        if age_s:
            then = os.stat(aside).st_mtime - age_s
            os.utime(aside, (then, then))
        aside.rename(path)
        return path


def music_chart(t):
    prefix = t.folder("music/music-chart-songs-store-changelog.json")
    t.sql(f"CREATE SCHEMA hive.songs WITH (location='{prefix}/');")
    t.sql(f"CREATE TABLE songs.songs (count int, songName varchar) WITH (format = 'json', "
          f"external_location = '{prefix}/');")
    check(t.sql("select * from songs.songs"), [], "empty prefix")
    for i, (count, song) in enumerate(OBJECTS):
        t.write(prefix, f"20210203-162842{i:03d}-3F0A1B2C4D5E6F7-{i:016X}", '{"count":%d,"songName":"%s"}' % (count, song))
    rows = t.sql(CHART)
    check([r[1] for r in rows], [3, 3, 3, 2, 2, 2, 1], "chart query")
    check(sum(r[1] for r in rows), 16, "chart sum")
    pie = t.sql(f'SELECT "songname", count(*) FROM ({CHART.strip()[:-1]}) AS "expr_qry" GROUP BY "songname" LIMIT 1000')
    check(sorted(r[1] for r in pie), [1] * 7, "nested pie")
    check(t.sql(f'SELECT MAX("count") AS "MAX(count)" FROM ({CHART.strip()[:-1]}) AS "expr_qry"'), [[3]], "big number")
    latest = t.sql("SELECT max(count) AS c FROM songs.songs GROUP BY songname ORDER BY c DESC")
    check(sum(r[0] for r in latest), 23, "latest counts")
    t.write(prefix, "new", '{"COUNT":7,"SONGNAME":"New"}\n{"count":"8","songName":"New","x":1}\n')
    check(t.sql("SELECT count(*), max(count) FROM songs.songs"), [[18, 8]], "a new object is in the next query")
    check(t.sql('SELECT "$path", "$file_size" FROM songs.songs WHERE count = 7'),
          [[f"file://{prefix}/new", os.stat(prefix / "new").st_size]], "columns of files")
    check("executor: native" in t.sql("EXPLAIN " + CHART.strip()[:-1])[0][0], True, "chart query is native")


def grains(t):
    folder = t.folder("events")
    t.sql("CREATE SCHEMA lake")
    t.sql(f"CREATE TABLE lake.events (ts timestamp, song varchar, country varchar, ms int) WITH (external_location = '{folder}')")
    t.write(folder, "a", '{"ts":"2026-01-05T10:20:30.5Z","song":"a","country":"PL","ms":10}\n'
                         '{"ts":1767608430000,"song":"b","country":"PL","ms":20}\n{"ts":"x","song":"a","ms":30}\n')
    check(t.sql("SELECT ts, song FROM lake.events ORDER BY ts"),
          [["2026-01-05 10:20:30.000", "b"], ["2026-01-05 10:20:30.500", "a"], [None, "a"]], "times")
    forms = ["date_trunc('second', CAST(ts AS TIMESTAMP))", "date_trunc('minute', CAST(ts AS TIMESTAMP))",
             "date_trunc('hour', CAST(ts AS TIMESTAMP))", "date_trunc('day', CAST(ts AS TIMESTAMP))",
             "date_trunc('week', CAST(ts AS TIMESTAMP))", "date_trunc('month', CAST(ts AS TIMESTAMP))",
             "date_trunc('quarter', CAST(ts AS TIMESTAMP))", "date_trunc('year', CAST(ts AS TIMESTAMP))",
             "date_trunc('minute', CAST(ts AS TIMESTAMP)) - interval '1' minute * (minute(CAST(ts AS TIMESTAMP)) % 5)",
             "date_trunc('second', CAST(ts AS TIMESTAMP)) - interval '1' second * (second(CAST(ts AS TIMESTAMP)) % 30)",
             "date_trunc('hour', CAST(ts AS TIMESTAMP)) - interval '1' hour * (hour(CAST(ts AS TIMESTAMP)) % 6)",
             "date_trunc('week', CAST(ts AS TIMESTAMP) + interval '1' day) - interval '1' day",
             "date_add('day', 6, date_trunc('week', CAST(ts AS TIMESTAMP)))"]
    for form in forms:
        query = (f"SELECT {form} AS __timestamp, count(*) AS c FROM (SELECT * FROM lake.events) AS virtual_table "
                 f"WHERE ts >= TIMESTAMP '2026-01-01 00:00:00.000' GROUP BY {form} ORDER BY c DESC LIMIT 10")
        check("executor: native" in t.sql("EXPLAIN " + query)[0][0], True, f"native: {form}")
        check(sum(r[1] for r in t.sql(query)), 2, form)
    for query in ["SELECT song, count(*) n FROM lake.events GROUP BY song ORDER BY n DESC LIMIT 10",
                  "SELECT country, date_trunc('day', ts) d, count(*) n, avg(ms) m FROM lake.events WHERE ms > 5 GROUP BY 1, 2",
                  "SELECT count(*) FROM lake.events WHERE song = 'a'"]:
        check("executor: native" in t.sql("EXPLAIN " + query)[0][0], True, query)


def malformed(t):
    folder = t.folder("bad")
    for policy in ["null", "skip", "fail"]:
        t.sql(f"CREATE TABLE lake.bad_{policy} (id int, name varchar) WITH (external_location = '{folder}', malformed = '{policy}')")
    t.write(folder, "a.json", '{"id":1,"name":"a"}\nnot json\n{"id":"x","name":2}\n')
    t.write(folder, "b.json.gz", gzip.compress(b'{"id":5,"name":"z"}\n[1]\n'))
    check(t.sql("SELECT count(*), count(id), count(name) FROM lake.bad_null"), [[5, 2, 3]], "malformed=null")
    check(t.sql("SELECT count(*), count(id), count(name) FROM lake.bad_skip"), [[3, 2, 3]], "malformed=skip")
    check("a.json', line 2" in t.error("SELECT count(*) FROM lake.bad_fail"), True, "malformed=fail")
    check(t.metric("tarn_zone_bad_lines_total") >= 4, True, "bad lines are counted")
    t.write(folder, "c.json.gz", gzip.compress(b'{"id":6}\n' * 1000)[:30])
    check("truncated" in t.error("SELECT count(*) FROM lake.bad_null"), True, "truncated gzip")
    (folder / "c.json.gz").unlink()
    check(t.sql("SELECT count(*) FROM lake.bad_null"), [[5]], "and without it")


def csv(t):
    folder = t.folder("csv")
    t.sql(f"CREATE TABLE lake.csv (id int, name varchar, ok boolean, d date) WITH (format = 'CSV', "
          f"external_location = 'file://{folder}', skip_header_line_count = 1, csv_separator = ';')")
    t.write(folder, "a.csv", 'id;name;ok;d\n1;"a;""b""";true;2026-01-02\n;;FALSE;x\n3;"";;\n')
    check(t.sql("SELECT * FROM lake.csv"), [[1, 'a;"b"', True, "2026-01-02"], [None, None, False, None], [3, "", None, None]],
          "CSV")


def partitions(t):
    folder = t.folder("parts")
    t.sql(f"CREATE TABLE lake.parts (id int, dt date, country varchar) WITH (external_location = '{folder}', "
          f"partitioned_by = ARRAY['dt', 'country'])")
    for dt in ["2026-01-01", "2026-01-02", "2026-01-03"]:
        for country in ["PL", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"]:
            t.write(folder, f"dt={dt}/country={country}/x.json", '{"id":1}\n{"id":2}\n')
    t.write(folder, "_tmp/x.json", "broken")
    check(t.sql("SELECT dt, country, count(*) FROM lake.parts GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 3"),
          [["2026-01-01", "PL", 2], ["2026-01-01", "a/b", 2], ["2026-01-01", None, 2]], "partition columns")
    t.sql(f"CREATE TABLE lake.parts2 (id int, dt date, country varchar) WITH (external_location = '{folder}', "
          f"partitioned_by = ARRAY['dt', 'country'], malformed = 'skip')")
    before = t.metric("tarn_zone_files_read_total")
    check(t.sql("SELECT sum(id) FROM lake.parts2 WHERE dt = DATE '2026-01-02' AND country = 'PL'"), [[3]], "pruned")
    check(t.metric("tarn_zone_files_read_total") - before, 1, "one file was read")
    check(t.sql("SELECT count(*) FROM lake.parts2 WHERE dt > DATE '2026-01-02' AND \"$path\" LIKE '%PL/x.json'"), [[2]], "by path")


def changing(t):
    folder = t.folder("changing")
    t.sql(f"CREATE TABLE lake.changing (id int) WITH (external_location = '{folder}')")
    t.write(folder, "a", '{"id":1}\n')
    t.write(folder, "b", '{"id":2}\n')
    check(t.sql("SELECT sum(id) FROM lake.changing"), [[3]], "two files")
    before = t.metric("tarn_zone_files_read_total")
    check(t.sql("SELECT sum(id) FROM lake.changing"), [[3]], "again")
    check(t.metric("tarn_zone_files_read_total") - before, 0, "from memory")
    t.write(folder, "a", '{"id":5}\n')  # same size, another inode
    check(t.sql("SELECT sum(id) FROM lake.changing"), [[7]], "a changed file")
    (folder / "b").unlink()
    check(t.sql("SELECT sum(id) FROM lake.changing"), [[5]], "a vanished file")
    with open(folder / "c", "w") as file:
        file.write('{"id":10}\n{"id":20')
        file.flush()
        check(t.sql("SELECT sum(id), count(*) FROM lake.changing"), [[15, 2]], "half written: whole lines only")
        file.write('}\n')
    check(t.sql("SELECT sum(id), count(*) FROM lake.changing"), [[35, 3]], "written")
    os.symlink("/etc/passwd", folder / "link")
    check(t.sql("SELECT count(*) FROM lake.changing"), [[3]], "links are not followed")


def following(t):
    """A folder that is watched: what comes, changes, moves and goes is in the next answer; so are exchanged folders."""
    folder = t.folder("followed")
    t.sql(f"CREATE TABLE lake.followed (id int) WITH (external_location = '{folder}')")
    query = "SELECT count(*), coalesce(sum(id), 0) FROM lake.followed"
    for i in range(20):
        t.write(folder, f"f{i:02}", '{"id":1}\n')
    check(t.sql(query), [[20, 20]], "first look")
    steps = [
        ("a new file", lambda: t.write(folder, "g", '{"id":5}\n'), [21, 25]),
        ("changed in place", lambda: (folder / "g").write_text('{"id":7}\n'), [21, 27]),
        ("grown", lambda: (folder / "g").open("a").write('{"id":1}\n'), [22, 28]),
        ("replaced by rename", lambda: t.write(folder, "g", '{"id":9}\n'), [21, 29]),
        ("deleted", lambda: (folder / "g").unlink(), [20, 20]),
        ("a new folder", lambda: t.write(folder, "sub/deep/x", '{"id":2}\n'), [21, 22]),
        ("a file in it", lambda: t.write(folder, "sub/deep/y", '{"id":2}\n'), [22, 24]),
        ("the folder renamed", lambda: (folder / "sub").rename(folder / "bus"), [22, 24]),
        ("changed below", lambda: t.write(folder, "bus/deep/y", '{"id":3}\n'), [22, 25]),
        ("moved out", lambda: (folder / "bus").rename(t.root / "out"), [20, 20]),
        ("changed outside", lambda: t.write(t.root / "out", "deep/z", '{"id":3}\n'), [20, 20]),
        ("moved in", lambda: (t.root / "out").rename(folder / "zz"), [23, 28]),
        ("hidden", lambda: (folder / "zz").rename(folder / "_zz"), [20, 20]),
        ("the location moved away", lambda: folder.rename(t.root / "followed.old"), [0, 0]),
        ("another one in its place", lambda: t.write(folder, "h", '{"id":4}\n'), [1, 4]),
        ("the first one again", lambda: (folder.rename(t.root / "followed.new"),
                                         (t.root / "followed.old").rename(folder)), [20, 20]),
        ("a table log", lambda: (t.write(folder, "_log/00000000000000000000.commit", (
            '{"commit":{"id":"x","timestamp":1,"operation":"CREATE"}}\n'
            '{"meta":{"format":"json","columns":[{"name":"id","type":"INTEGER"}]}}\n'
            '{"add":{"path":"f00","size":9,"rows":1,"modificationTime":1}}\n'))), [1, 1])]
    for what, change, want in steps:
        change()
        check(t.sql(query), [want], what)
        check(t.sql(query), [want], what + ", again")


def writing(t):
    t.sql("CREATE SCHEMA gold")
    check(t.sql("CREATE TABLE gold.top AS SELECT song, count(*) AS n, max(ts) AS last FROM lake.events GROUP BY song"), [[2]],
          "CREATE TABLE AS answers with its rows")
    check(t.sql("SELECT * FROM gold.top ORDER BY song"), [["a", 2, "2026-01-05 10:20:30.500"], ["b", 1, "2026-01-05 10:20:30.000"]],
          "what was written")
    check(t.sql("INSERT INTO gold.top SELECT 'c', 9, NULL"), [[1]], "INSERT … SELECT")
    check(t.sql("INSERT INTO gold.top (n, song) VALUES (1, 'd'), (2, 'e')"), [[2]], "INSERT … VALUES")
    check(t.sql("SELECT count(*), sum(n), count(last) FROM gold.top"), [[5, 15, 2]], "all rows")
    check("TYPE_MISMATCH" in t.error("INSERT INTO gold.top SELECT 1, 2, 3"), True, "types are checked")
    check("TABLE_ALREADY_EXISTS" in t.error("CREATE TABLE gold.top AS SELECT 1 AS a"), True, "exists")
    check(t.sql("CREATE TABLE IF NOT EXISTS gold.top AS SELECT 1 AS a"), [[0]], "if not exists")
    check("NOT_SUPPORTED" in t.error("INSERT INTO lake.events SELECT NULL, 'x', 'y', 1"), True, "foreign files")
    check("DIVISION_BY_ZERO" in t.error("CREATE TABLE gold.none AS SELECT 1 / (id - id) AS x FROM lake.changing"), True, "fails")
    check("TABLE_NOT_FOUND" in t.error("SELECT * FROM gold.none"), True, "a failed CREATE leaves no table")


def writing_partitions(t):
    """INSERT and CREATE TABLE AS into key=value folders; DROP TABLE takes tarn's own files along, and only those."""
    t.sql("CREATE TABLE gold.plays (song varchar, n bigint, dt date, country varchar) "
          "WITH (partitioned_by = ARRAY['dt', 'country'])")
    check(t.sql("INSERT INTO gold.plays VALUES ('a', 1, DATE '2026-01-01', 'PL'), ('b', 2, DATE '2026-01-01', 'a/b c'), "
                "('c', 3, DATE '2026-01-02', NULL), ('d', 4, NULL, 'PL'), ('e', 5, DATE '2026-01-01', 'PL')"), [[5]], "INSERT")
    check(t.sql("INSERT INTO gold.plays (dt, song, country) SELECT DATE '2026-01-02', 'f', 'ü'"), [[1]], "INSERT by name")
    check(t.sql("SELECT song, n, CAST(dt AS varchar), country FROM gold.plays ORDER BY song"),
          [["a", 1, "2026-01-01", "PL"], ["b", 2, "2026-01-01", "a/b c"], ["c", 3, "2026-01-02", None], ["d", 4, None, "PL"],
           ["e", 5, "2026-01-01", "PL"], ["f", None, "2026-01-02", "ü"]], "partitions written")
    check(t.sql("SELECT song FROM gold.plays WHERE dt = DATE '2026-01-01' AND country = 'PL' ORDER BY 1"), [["a"], ["e"]], "pruned")
    path = t.sql('SELECT "$path" FROM gold.plays LIMIT 1')[0][0]
    folder = pathlib.Path(path.removeprefix("file://").split("/dt=")[0])
    names = sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("*.json"))
    check(names, ["dt=2026-01-01/country=PL", "dt=2026-01-01/country=a%2Fb%20c",
                  "dt=2026-01-02/country=%C3%BC", "dt=2026-01-02/country=__HIVE_DEFAULT_PARTITION__",
                  "dt=__HIVE_DEFAULT_PARTITION__/country=PL"], "folders")
    check(t.sql("CREATE TABLE gold.byday WITH (partitioned_by = ARRAY['dt']) AS SELECT song, n, dt FROM gold.plays"),
          [[6]], "CREATE TABLE AS")
    check(t.sql('SELECT dt, count(*) FROM gold.byday GROUP BY dt ORDER BY 2, 1'),
          [[None, 1], ["2026-01-02", 2], ["2026-01-01", 3]], "its partitions")
    check("must be column" in t.error("CREATE TABLE gold.wrong WITH (partitioned_by = ARRAY['song']) AS SELECT song, n FROM gold.plays"),
          True, "partition columns come last")
    check("HIVE_TOO_MANY_OPEN_PARTITIONS" in t.error(
        "INSERT INTO gold.plays SELECT 'x', 1, NULL, CAST(a.n * 10 + b.n AS varchar) FROM (VALUES 1,2,3,4,5,6,7,8,9,10,11) a(n) "
        "CROSS JOIN (VALUES 1,2,3,4,5,6,7,8,9,10) b(n)"), True, "at most 100 partitions")
    check(t.sql("SELECT count(*) FROM gold.plays"), [[6]], "a failed INSERT leaves nothing")
    check(len(list(folder.rglob("*.json"))), 5, "and no files")
    t.sql("CREATE TABLE gold.bydouble (a int, d double) WITH (partitioned_by = ARRAY['d'])")
    check("NOT_SUPPORTED" in t.error("INSERT INTO gold.bydouble VALUES (1, 1e0)"), True, "partition of type double")
    (folder / "mine.txt").write_text("not tarn's")
    t.sql("DROP TABLE gold.plays")
    check([p.name for p in folder.rglob("*") if p.is_file()], ["mine.txt"], "DROP TABLE removes tarn's files and no others")
    (folder / "mine.txt").unlink()
    check(t.sql("CREATE TABLE gold.plays AS SELECT 'again' AS song"), [[1]], "the name is free again")
    check(t.sql("SELECT * FROM gold.plays"), [["again"]], "and holds the new rows only")
    other = t.folder("foreign")
    (other / "a.json").write_text('{"a":1}\n')
    t.sql(f"CREATE TABLE lake.foreign (a int) WITH (external_location = '{other}')")
    t.sql("DROP TABLE lake.foreign")
    check((other / "a.json").exists(), True, "external files stay")


def types(t):
    """A type is kept as declared, or refused by name: never another one in silence."""
    folder = t.folder("types")
    (folder / "a.json").write_text('{"id":1,"s":"abcdef"}\n{"id":2,"s":"äöüß"}\n{"id":3,"s":null}\n{"id":4,"s":"abc"}\n')
    t.sql(f"CREATE TABLE lake.cut (id int, s varchar(3)) WITH (external_location = '{folder}')")
    for _ in range(2):  # read, then remembered
        check(t.sql("SELECT s, length(s), typeof(s) FROM lake.cut ORDER BY id"),
              [["abc", 3, "varchar(3)"], ["äöü", 3, "varchar(3)"], [None, None, "varchar(3)"], ["abc", 3, "varchar(3)"]],
              "VARCHAR(n) is cut to n")
        check(t.sql("SELECT count(*) FROM lake.cut WHERE s = 'abc'"), [[2]], "filter on what is shown")
        check(t.sql("SELECT a.id FROM lake.cut a JOIN lake.cut b ON a.s = b.s ORDER BY 1"), [[1], [1], [2], [4], [4]], "joined")
    t.sql("CREATE TABLE gold.short (s varchar(3))")
    check("INVALID_CAST_ARGUMENT" in t.error("INSERT INTO gold.short VALUES ('abcd')"), True, "too long for VARCHAR(3)")
    check(t.sql("INSERT INTO gold.short VALUES ('abc  '), ('äöü')"), [[2]], "blanks at the end may go")
    check(t.sql("SELECT s FROM gold.short ORDER BY 1"), [["abc"], ["äöü"]], "VARCHAR(3) written")
    for name in ["TINYINT", "SMALLINT", "REAL", "CHAR", "CHAR(3)", "UUID", "IPADDRESS", "TIMESTAMP(9)",
                 "TIME WITH TIME ZONE", "ARRAY(SMALLINT)", "ROW(x REAL)", "ARRAY(VARCHAR(3))"]:
        error = t.error(f"CREATE TABLE gold.refused (a {name})")
        check("NOT_SUPPORTED" in error, True, f"column of type {name}: {error}")
    check("NOT_SUPPORTED" in t.error("CREATE TABLE gold.refused AS SELECT SMALLINT '1' AS a"), True, "AS SELECT of a SMALLINT")


def joins(t):
    check(t.sql("SELECT e.song, p.n FROM lake.events e JOIN default.plays_by_song p ON e.song = p.song ORDER BY e.ts LIMIT 1"),
          [["b", 1]], "files beside a KTable")
    check(t.sql("SELECT song, row_number() OVER (ORDER BY ms) FROM lake.events ORDER BY 2"), [["a", 1], ["b", 2], ["a", 3]],
          "window function over files")


def bad_input(t):
    for text, want in [
            ("CREATE SCHEMA x WITH (location='../etc')", "unknown kind of location"),
            ("CREATE SCHEMA x WITH (location='/data/../etc')", "'.' and '..' are not allowed"),
            ("CREATE SCHEMA x WITH (where='/data')", "no schema property"),
            ("CREATE TABLE lake.x (a int) WITH (external_location='http://h/x')", "unknown kind of location"),
            ("CREATE TABLE lake.x (a int) WITH (external_location='s3:///x')", "the bucket is missing"),
            ("CREATE TABLE lake.x (a int) WITH (format='AVRO')", "AVRO"),
            ("CREATE TABLE lake.x (a int) WITH (fromat='JSON')", "INVALID_TABLE_PROPERTY"),
            ("CREATE TABLE lake.\"../x\" (a int)", "cannot be the name of a folder"),
            ("CREATE TABLE lake.\"a/b\" (a int)", "cannot be the name of a folder"),
            ("CREATE TABLE lake.x (a int, A varchar)", "declared twice"),
            ("CREATE TABLE lake.x (a int, b int) WITH (partitioned_by = ARRAY['a'])", "must be column 2"),
            ("CREATE STREAM lake.x (a int) WITH (value_format='JSON')", "zone"),
            ("SELECT nosuch FROM lake.events", "COLUMN_NOT_FOUND"),
            ("SELECT \"$nosuch\" FROM lake.events", "COLUMN_NOT_FOUND")]:
        check(want in t.error(text), True, f"{text}: {t.error(text)}")


def latest(t):
    """A changelog as a sink leaves it: the last row of each key, without tombstones."""
    t.sql("CREATE SINK chart FROM plays_by_song INTO gold.chart WITH (format = 'json', rotate.records = 1)")
    for i in range(3):
        t.tarn.request("POST", "/streams/plays", b'{"song":"b"}\n{"song":"c"}\n')
        t.tarn.sql("SELECT * FROM plays_by_song")
    query, done = 'SELECT song, n FROM gold."chart$latest" ORDER BY song', []
    for _ in range(20000):  # the sink follows the changelog
        done = t.sql(query)
        if done == [["b", 4], ["c", 3]]:
            break
    check(done, [["b", 4], ["c", 3]], "$latest")
    check(t.sql("SELECT count(*) >= 2, max(n) FROM gold.chart"), [[True, 4]], "the changelog itself")
    check("has no $latest" in t.error('SELECT * FROM lake."events$latest"'), True, "no keys, no $latest")


def large(t):
    """Files of more than 2 MB that cannot be cut are read by several threads, in pieces: the same rows in the same order,
    remembered as any others, given up in the middle, and one that ends too early is named."""
    random_numbers = random.Random(5)
    packed, plain = t.folder("large"), t.folder("large_csv")
    t.sql(f"CREATE TABLE lake.large (n bigint, s varchar) WITH (external_location = '{packed}')")
    t.sql(f"CREATE TABLE lake.large_csv (n bigint, s varchar) WITH (format = 'CSV', external_location = '{plain}')")
    wanted = []
    for number in range(4):
        rows = [(random_numbers.getrandbits(60), f"{random_numbers.getrandbits(90):x}") for _ in range(80_000)]
        wanted += rows
        lines = "".join(f'{{"n":{n},"s":"{s}"}}\n' for n, s in rows)
        t.write(packed, f"f{number}.json.gz", gzip.compress(lines.encode(), 1))
        t.write(plain, f"f{number}.csv", "".join(f"{n},{s}\n" for n, s in rows))
    assert min(path.stat().st_size for path in [*packed.iterdir(), *plain.iterdir()]) > 2 << 20
    for table in ("lake.large", "lake.large_csv"):
        before = t.metric("tarn_zone_files_read_total")
        check([tuple(row) for row in t.sql(f"SELECT n, s FROM {table}")] == wanted, True, f"{table}: rows in order")
        check(t.metric("tarn_zone_files_read_total") - before, 4, f"{table}: files")
        check(t.sql(f"SELECT count(*), sum(n % 1000), max(s) FROM {table}"),
              [[len(wanted), sum(n % 1000 for n, _ in wanted), max(s for _, s in wanted)]], f"{table}: again")
        check(t.metric("tarn_zone_files_read_total") - before, 4, f"{table}: remembered")
    other = t.folder("large_other")
    t.sql(f"CREATE TABLE lake.large_other (n bigint, s varchar) WITH (external_location = '{other}')")
    for path in packed.iterdir():
        t.write(other, path.name, path.read_bytes())
    check(t.sql("SELECT n FROM lake.large_other LIMIT 3"), [[n] for n, _ in wanted[:3]], "given up in the middle")
    t.write(other, "f2.json.gz", (packed / "f2.json.gz").read_bytes()[:-70_000])
    check("f2.json.gz" in t.error("SELECT count(s) FROM lake.large_other"), True, "ends too early: named")


def restarted(t):
    check(t.sql("SELECT count(*) FROM songs.songs"), [[18]], "tables survive a restart")
    check(t.sql("SELECT count(*), sum(n) FROM gold.top"), [[5, 15]], "written ones too")
    t.sql("DROP TABLE lake.bad_null")
    check("TABLE_NOT_FOUND" in t.error("SELECT * FROM lake.bad_null"), True, "DROP TABLE")
    check(t.error("DROP SCHEMA lake").startswith("SCHEMA_NOT_EMPTY"), True, "DROP SCHEMA")


PIPELINE = """CREATE STREAM plays (song VARCHAR) WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE plays_by_song AS SELECT song, COUNT(*) AS n FROM plays GROUP BY song;
"""


def main():
    with tempfile.TemporaryDirectory() as temp:
        root = pathlib.Path(temp)
        (root / "pipeline.sql").write_text(PIPELINE)
        with Server(root / "pipeline.sql", root / "state") as tarn:
            tarn.request("POST", "/streams/plays", b'{"song":"b"}\n')
            tarn.sql("SELECT * FROM plays_by_song")
            t = Case(tarn, root)
            for part in [music_chart, grains, malformed, csv, partitions, changing, following, writing, writing_partitions, types, joins, bad_input, latest, large]:
                part(t)
        with Server(root / "pipeline.sql", root / "state") as tarn:
            restarted(Case(tarn, root))
    print(f"{checks} checks, {failures} failed")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())

"""libtarn_sqlite.so in the hosts people have: the sqlite3 shell, Python, isql over libsqliteodbc. Zone tables are read
without a server; tables of a running tarn come over its HTTP. The library links neither libsqlite3 nor RocksDB."""
import gzip
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import ROOT, Server  # noqa: E402

LIBRARY = pathlib.Path(os.environ.get("TARN_BUILD", ROOT / "build")) / "libtarn_sqlite.so"
checks = failures = 0


def check(got, want, what):
    global checks, failures
    checks += 1
    if got != want:
        failures += 1
        print(f"FAILED {what}\n  got  {got!r}\n  want {want!r}", file=sys.stderr)


def run(command, text="", env=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
    return (done.stdout + done.stderr).strip()


def make_files(root):
    (root / "songs" / "dt=2026-01-01").mkdir(parents=True)
    (root / "songs" / "dt=2026-01-02").mkdir(parents=True)
    (root / "songs/dt=2026-01-01/a.json").write_text('{"id":1,"SONG":"Believe","ts":"2026-01-01T10:00:00Z","ok":true,"x":1.5}\nbad\n')
    with gzip.open(root / "songs/dt=2026-01-02/b.json.gz", "wt") as file:
        file.write('{"id":2,"song":"Perfect"}\n{"id":3,"song":"Believe","ok":false}\n')


def declare(root):
    return (f"CREATE VIRTUAL TABLE songs USING tarn('id int', 'song varchar', 'ts timestamp', 'ok boolean', 'x double', "
            f"'dt date', location='{root}/songs', partition_columns=1, malformed='skip')")


def links():
    needed = run(["readelf", "-d", str(LIBRARY)])
    check("libsqlite3" in needed or "librocksdb" in needed, False, "links neither libsqlite3 nor RocksDB")
    symbols = run(["nm", "-D", "--undefined-only", str(LIBRARY)])
    check("sqlite3_" in symbols, False, "no symbol of libsqlite3 is asked for")


def shell(root):
    out = run(["sqlite3", str(root / "shell.db")], f".load {LIBRARY}\n{declare(root)};\n"
              "SELECT count(*) FROM songs;\nSELECT id, song, ts, ok, x, dt FROM songs WHERE id = 1;\n"
              "SELECT song, count(*) FROM songs GROUP BY song ORDER BY 2 DESC;\n"
              "SELECT group_concat(id) FROM songs WHERE dt >= '2026-01-02' AND song >= 'C';\n"
              "SELECT a.id, b.id FROM songs a JOIN songs b ON a.song = b.song AND a.id < b.id;\n")
    check(out.splitlines(), ["3", "1|Believe|2026-01-01 10:00:00.000|1|1.5|2026-01-01", "Believe|2", "Perfect|1", "2", "1|3"],
          "sqlite3 shell")
    again = run(["sqlite3", str(root / "shell.db")], f".load {LIBRARY}\nSELECT max(id) FROM songs;\n")
    check(again, "3", "a stored table at a later open")


def python(root):
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(str(LIBRARY))
    db.execute(declare(root))
    check(db.execute("SELECT id FROM songs WHERE song = ? ORDER BY id", ("Believe",)).fetchall(), [(1,), (3,)], "python")
    (root / "songs/dt=2026-01-02/c.json").write_text('{"id":4,"song":"New"}')
    check(db.execute("SELECT count(*), max(dt) FROM songs").fetchall(), [(4, "2026-01-02")], "a new file is in the next query")
    (root / "songs/dt=2026-01-02/c.json").unlink()
    check(db.execute("SELECT count(*) FROM songs").fetchall(), [(3,)], "and gone with it")
    for text, want in [("USING tarn('a int')", "needs columns and a location"),
                       ("USING tarn('a nosuch', location='/x')", "write 'name type'"),
                       ("USING tarn('a int', location='/x/../y')", "'.' and '..' are not allowed"),
                       ("USING tarn('a int', location='/x', formt='csv')", "no option 'formt'"),
                       ("USING tarn_table(state='/nowhere', table='t')", "tarn run")]:
        try:
            db.execute("CREATE VIRTUAL TABLE bad " + text)
            check("accepted", want, text)
        except sqlite3.OperationalError as error:
            check(want in str(error), True, f"{text}: {error}")
    db.close()


def isql(root, database, statement):
    driver = run(["find", "/usr/lib", "-name", "libsqlite3odbc.so"]).splitlines()
    check(len(driver) > 0, True, "libsqliteodbc is installed")
    (root / "odbc.ini").write_text(f"[tarn]\nDriver={driver[0]}\nDatabase={database}\nLoadExt={LIBRARY}\nBigInt=1\n")
    return run(["isql", "-b", "-d|", "tarn"], statement + "\n",
               {"ODBCINI": str(root / "odbc.ini"), "ODBCSYSINI": str(root)})


def odbc(root):
    out = isql(root, root / "shell.db", "SELECT id, song, ts FROM songs WHERE ok = 1")
    check("1|Believe|2026-01-01 10:00:00.000" in out, True, f"isql: {out}")


def live(root):
    (root / "pipeline.sql").write_text(
        "CREATE STREAM plays (song VARCHAR, ms INT) WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
        "CREATE TABLE plays_by_song AS SELECT song, COUNT(*) AS n, SUM(ms) AS ms FROM plays GROUP BY song;\n")
    db = sqlite3.connect(str(root / "live.db"))
    db.enable_load_extension(True)
    db.load_extension(str(LIBRARY))
    with Server(root / "pipeline.sql", root / "state") as tarn:
        tarn.request("POST", "/streams/plays", b'{"song":"It\'s","ms":5}\n{"song":"b","ms":7}\n{"song":"b"}\n')
        tarn.sql("SELECT * FROM plays_by_song")
        db.execute(f"CREATE VIRTUAL TABLE chart USING tarn_table(state='{root}/state', table='plays_by_song')")
        check(db.execute("SELECT * FROM chart ORDER BY song").fetchall(), [("It's", 1, 5), ("b", 2, 7)], "KTable")
        check(db.execute("SELECT n FROM chart WHERE song = ?", ("It's",)).fetchall(), [(1,)], "key look-up")
        check(db.execute("SELECT count(*) FROM chart WHERE n > 1").fetchall(), [(1,)], "range")
        check(db.execute(f"SELECT tarn_attach('{root}/state')").fetchall(), [(2,)], "tarn_attach")
        check(db.execute("SELECT n FROM plays_by_song WHERE song = 'b'").fetchall(), [(2,)], "an attached table")
        db.commit()
        out = run(["sqlite3", str(root / "live.db")], f".load {LIBRARY}\nSELECT song, n FROM chart ORDER BY song;\n")
        check(out.splitlines(), ["It's|1", "b|2"], "KTable in the sqlite3 shell")
        out = isql(root, root / "live.db", "SELECT song, n, ms FROM chart WHERE n = 2")
        check("b|2|7" in out, True, f"KTable in isql: {out}")
    try:
        db.execute("SELECT * FROM chart").fetchall()
        check("answered", "an error", "server gone")
    except sqlite3.OperationalError as error:
        check("tarn run" in str(error) or "connect" in str(error).lower(), True, f"server gone: {error}")
    db.close()


def main():
    if not hasattr(sqlite3.Connection, "enable_load_extension"):  # a Python built without it: Debian's has it
        os.execv("/usr/bin/python3", ["/usr/bin/python3", __file__])
    with tempfile.TemporaryDirectory() as temp:
        root = pathlib.Path(temp)
        make_files(root)
        links()
        shell(root)
        python(root)
        odbc(root)
        live(root)
    print(f"{checks} checks, {failures} failed")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())

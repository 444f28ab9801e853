#!/usr/bin/env python3
"""Real clients, unchanged, against tarn: Python's trino (DB-API and SQLAlchemy), PyHive under X-Presto headers, the Trino
CLI, and the JDBC driver with the metadata calls of DBeaver (Probe.java). `bin/setup bi` installs them.

With --inside it is the part that runs in the clients' virtual environment.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BI = HERE.parents[1] / "build" / "bi"


# ---- inside the virtual environment ----

def check_dbapi(host, port):
    import datetime
    import decimal
    import trino
    connection = trino.dbapi.connect(host=host, port=port, user="py", catalog="hive", schema="default", source="bi test")
    cursor = connection.cursor()

    def rows(sql, params=None):
        cursor.execute(sql, params)
        return cursor.fetchall()

    assert rows("SELECT 1") == [[1]]
    assert rows("SELECT count(*) FROM events WHERE country = ? AND n < ?", ("FR", 5))[0][0] > 0
    values = rows("SELECT ?, ?, ?, ?, ?, ?, ?", (None, True, 12, 1.5, "it's", decimal.Decimal("1.50"), b"\x00\xff"))
    assert values == [[None, True, 12, 1.5, "it's", decimal.Decimal("1.50"), b"\x00\xff"]], values
    times = rows("SELECT DATE '2024-01-02', TIMESTAMP '2024-01-02 03:04:05.678', TIME '03:04:05', INTERVAL '1' DAY")
    assert times[0][:2] == [datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5, 678000)], times
    nested = rows("SELECT ARRAY[1,2], MAP(ARRAY['a'],ARRAY[1]), CAST(ROW(1,'x') AS ROW(a bigint, b varchar)), ARRAY[]")
    assert nested[0][0] == [1, 2] and nested[0][1] == {"a": 1} and tuple(nested[0][2]) == (1, "x") and nested[0][3] == []
    assert len(rows("SELECT a.id FROM events a CROSS JOIN events b CROSS JOIN (VALUES 1, 2, 3) v(x)")) == 120000
    for sql, name in (("SELECT * FROM nosuch", "TABLE_NOT_FOUND"), ("SELECT 1 FRM x", "SYNTAX_ERROR"),
                      ("SELECT 1/0", "DIVISION_BY_ZERO"), ("SELECT nosuch(1)", "FUNCTION_NOT_FOUND")):
        try:
            rows(sql)
            raise AssertionError(f"{sql}: no error")
        except trino.exceptions.TrinoUserError as error:
            assert error.error_name == name, error
    cursor.execute("SELECT a.id FROM events a CROSS JOIN events b CROSS JOIN events c")
    cursor.fetchone()
    cursor.cancel()
    cursor = connection.cursor()
    rows("USE songs")
    assert rows("SELECT count(*) FROM songs") == [[3]]
    rows("SET SESSION query_max_run_time = '3s'")
    assert ["query_max_run_time", "3.00s"] in [row[:2] for row in rows("SHOW SESSION")]
    legacy = trino.dbapi.connect(host=host, port=port, user="py", catalog="hive", schema="default",
                                 legacy_prepared_statements=True).cursor()
    legacy.execute("SELECT count(*) FROM events WHERE id < ?", (5,))
    assert legacy.fetchall() == [[5]]
    with trino.dbapi.connect(host=host, port=port, user="py", catalog="hive", schema="default",
                             isolation_level=trino.transaction.IsolationLevel.READ_COMMITTED) as transaction:
        inside = transaction.cursor()
        inside.execute("SELECT 1")
        assert inside.fetchall() == [[1]]
    cursor.execute("INSERT INTO default.plays (song, play) VALUES ('Inserted', 'x'), ('Inserted', 'y')")
    assert cursor.fetchall() == [[2]] and cursor.rowcount == 2


def check_sqlalchemy(url, schemas):
    import sqlalchemy
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        inspector = sqlalchemy.inspect(engine)
        assert schemas <= set(inspector.get_schema_names()), inspector.get_schema_names()
        assert {"events", "songs_chart"} <= set(inspector.get_table_names("default"))
        assert not url.startswith("trino") or inspector.get_view_names("default") == []
        columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("events", "default")}
        shown = [columns[name].split("(")[0].upper() for name in ("amount", "country", "ts")]
        assert shown[0] in ("DOUBLE", "FLOAT") and shown[1:] == ["VARCHAR", "TIMESTAMP"], columns
        table = sqlalchemy.Table("events", sqlalchemy.MetaData(schema="default"), autoload_with=engine)
        count = sqlalchemy.func.count()
        query = (sqlalchemy.select([table.c.country, count.label("c")]).where(table.c.n < 5)
                 .group_by(table.c.country).order_by(sqlalchemy.desc("c")).limit(2))
        assert len(connection.execute(query).fetchall()) == 2
        assert not inspector.has_table("nosuch", "default")


def check_pyhive(host, port):
    from pyhive import presto
    cursor = presto.connect(host=host, port=port, username="hive", catalog="hive", schema="default", poll_interval=0.05).cursor()
    cursor.execute("SELECT songName, count FROM songs_chart ORDER BY 2 DESC LIMIT 2 OFFSET 0")
    assert cursor.fetchall()[0][1] == 11
    cursor.execute("SHOW COLUMNS FROM events")
    assert cursor.fetchall()[0][0] == "id"
    try:
        cursor.execute("SELECT * FROM nosuch")
        cursor.fetchall()
        raise AssertionError("no error")
    except presto.DatabaseError as error:
        assert "Table 'hive.default.nosuch' does not exist" in str(error), error


def inside(address):
    host, port = address.split(":")
    check_dbapi(host, int(port))
    check_sqlalchemy(f"trino://py@{address}/hive/default", {"default", "songs", "information_schema"})
    check_pyhive(host, int(port))
    check_sqlalchemy(f"presto://py@{address}/hive/default", {"default", "songs"})
    print("ok python: trino, its SQLAlchemy dialect, PyHive and its dialect")


# ---- outside ----

def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def check_cli(address, folder):
    def cli(sql, *options):
        return run("java", "-jar", str(BI / "jars/trino-cli.jar"), "--server", f"http://{address}", "--catalog", "hive",
                   "--schema", "default", *options, "--execute", sql)

    script = pathlib.Path(folder) / "cli.sql"
    script.write_text("SHOW CATALOGS; USE songs; SELECT songName, count FROM songs ORDER BY 2 DESC LIMIT 1; "
                      "PREPARE p FROM SELECT ? + 1; EXECUTE p USING 41; SET TIME ZONE 'Europe/Paris';"
                      "SELECT count(*) FROM default.events;")
    out = run("java", "-jar", str(BI / "jars/trino-cli.jar"), "--server", f"http://{address}", "--catalog", "hive",
              "--schema", "default", "--output-format", "CSV_UNQUOTED", "--file", str(script)).split("\n")
    assert out[:3] == ["hive", "system", "tarn"] and "Believe,3" in out and "42" in out and "200" in out, out
    table = cli("SELECT name, n, ts FROM events ORDER BY id LIMIT 2", "--output-format", "ALIGNED")
    assert "2024-01-01 01:01:00.000" in table, table
    failed = subprocess.run(["java", "-jar", str(BI / "jars/trino-cli.jar"), "--server", f"http://{address}", "--execute",
                             "SELECT nosuch FROM hive.default.events"], capture_output=True, text=True, timeout=120)
    assert failed.returncode != 0 and "Column 'nosuch' cannot be resolved" in failed.stderr, failed.stderr
    print("ok Trino CLI")


def check_readme(folder):
    """The README's pipeline and its commands for clients, as written."""
    sys.path.insert(0, str(HERE.parent / "docs"))
    import readme
    from tarn_server import Server
    found = readme.blocks()
    folder = pathlib.Path(folder) / "readme"
    folder.mkdir()
    (folder / "pipeline.sql").write_text(found["pipeline.sql"])
    with Server(folder / "pipeline.sql", folder / "state") as tarn:
        readme.shell(found["post"].replace("curl ", "curl -sS --fail-with-body "), tarn.address, folder)
        readme.shell(found["query"], tarn.address, folder)  # waits until the events are counted
        text = found["trino-cli"].replace("build/bi", str(BI))
        assert readme.shell(text, tarn.address, folder) == "Believe,2\nPerfect,1\n"
        port = tarn.address.split(":")[1]
        assert run(BI / "venv/bin/python", "-c", found["trino-python"].replace("8090", port)) == "[[2]]\n"
    print("ok README")


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
        return
    from world import World
    assert (BI / "venv").exists(), "run bin/setup bi first"
    with tempfile.TemporaryDirectory(prefix="tarn-bi-") as folder, World(folder) as world:
        print(run(BI / "venv/bin/python", __file__, "--inside", world.address).strip())
        print("ok JDBC:", run("java", "-cp", str(BI / "jars/trino-jdbc.jar"), str(HERE / "Probe.java"), world.address).strip())
        check_cli(world.address, folder)
        check_readme(folder)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()

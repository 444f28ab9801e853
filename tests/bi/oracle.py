#!/usr/bin/env python3
"""Development tool, no test: the statements of oracle.txt on a real Trino 476 and on tarn, over the same two tables; prints
where column names, types, rows, their order, or names and places of errors differ. What differs on purpose is in
sql/README.md; what was mended is in tests/slt/rules_query.slt.

    oracle.py [FILE…]     statements parted by empty lines; needs Maven and a Java of at least 24 (JAVA=… names it)

Trino is fetched into build/trino (230 MB) and ends with this program.
"""
import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile

import loop
from world import ROOT, World, events

HOME = ROOT / "build" / "trino"
PARTS = ("trino-server-core:476:tar.gz", "trino-memory:476:zip")
CONFIG = """coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
node.internal-address=127.0.0.1
node.bind-ip=127.0.0.1
catalog.management=static
query.max-memory=1GB
"""
TABLE = """CREATE TABLE hive.z.t AS SELECT * FROM (VALUES
 (1, BIGINT '10', 1.5e0, DECIMAL '12.34', 'abc', true, DATE '2024-01-31', TIMESTAMP '2024-01-31 10:11:12.345'),
 (2, BIGINT '-20', -2.5e0, DECIMAL '-0.05', 'Äbc', false, DATE '2023-02-28', TIMESTAMP '2023-02-28 23:59:59.999'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (4, BIGINT '9223372036854775807', 1e308, DECIMAL '99999999.99', '', true, DATE '1969-12-31', TIMESTAMP '1969-12-31 23:59:59.001'),
 (5, BIGINT '0', 0e0, DECIMAL '0.00', 'a%b_c', false, DATE '2024-02-29', TIMESTAMP '2024-02-29 00:00:00.000'),
 (6, BIGINT '10', 3.5e0, DECIMAL '12.34', 'ABC', NULL, DATE '2024-12-31', TIMESTAMP '2024-12-31 12:30:45.678')
 ) AS v(k, b, d, m, s, f, dt, ts)"""


class Lenient(loop.Loop):
    """Trino needs more requests than tarn, and its documents have members that tarn leaves out."""

    def document(self, method, uri, body=None, headers=None):
        answer, data = self.request(method, uri, body, headers)
        assert answer.status == 200, (answer.status, data[:300])
        return loop.parse(data.decode())[0], answer, data


def fetch():
    plugin = HOME / "trino-server-core-476" / "plugin" / "memory"
    if plugin.exists():
        return
    for part in PARTS:
        subprocess.run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact=io.trino:{part}", f"-DoutputDirectory={HOME}"],
                       check=True)
    shutil.unpack_archive(HOME / "trino-server-core-476.tar.gz", HOME)
    zipfile.ZipFile(HOME / "trino-memory-476.zip").extractall(HOME)  # shutil leaves names with dots out
    shutil.move(HOME / "trino-memory-476", plugin)


def start_trino(folder):
    """(process, address) once it says that it has started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "catalog").mkdir(parents=True)
    (folder / "catalog" / "hive.properties").write_text("connector.name=memory\n")
    (folder / "config.properties").write_text(CONFIG.format(port=port))
    server = HOME / "trino-server-core-476"
    command = [os.environ.get("JAVA", "java"), "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
               "-Dnode.environment=test", "-Dnode.id=n1", f"-Dnode.data-dir={folder}/data",
               f"-Dconfig={folder}/config.properties", f"-Dcatalog.config-dir={folder}/catalog",
               f"-Dplugin.dir={server}/plugin", "--add-modules=jdk.incubator.vector",
               "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
               "-cp", f"{server}/lib/*", "io.trino.server.TrinoServer"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
    text = b""
    while b"SERVER STARTED" not in text:
        ready, _, _ = select.select([process.stdout], [], [], 120)
        chunk = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        if not chunk:
            process.kill()
            raise SystemExit("Trino did not start:\n" + text.decode(errors="replace")[-3000:])
        text += chunk
    subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)  # so that its log never blocks it
    return process, f"127.0.0.1:{port}"


def fill(trino):
    rows = ", ".join(
        "({id}, from_unixtime({at}), '{country}', {amount}e0, {n}, {user_id}, {flag}, {text})".format(
            **row, at=row["ts"] / 1000, text="NULL" if row["name"] is None else f"'{row['name']}'") for row in events())
    trino.run("CREATE TABLE events AS SELECT CAST(id AS bigint) id, CAST(ts AS timestamp(3)) ts, CAST(country AS varchar) "
              "country, amount, n, CAST(user_id AS bigint) user_id, flag, CAST(name AS varchar) name "
              f"FROM (VALUES {rows}) v(id, ts, country, amount, n, user_id, flag, name)")
    trino.run("CREATE SCHEMA hive.z")
    trino.run(TABLE)


def number(cell):
    return repr(float(cell)) if isinstance(cell, loop.Token) and re.search(r"[.eE]", cell) else cell


def answer(client, statement):
    """(outcome, what is compared, what is shown)"""
    try:
        result = client.run(statement)
    except loop.Failed as failed:
        where = failed.error.get("errorLocation") or {}
        place = f"{where.get('lineNumber')}:{where.get('columnNumber')}"
        return {"error": failed.name, "place": place}, f"{failed.name} {place} {failed.error['message'][:200]}"
    columns = [(c["name"], re.sub(r"varchar\(\d+\)", "varchar", c["type"])) for c in result.columns]
    rows = [[number(cell) for cell in row] for row in result.rows]
    if "ORDER BY" not in statement.upper():
        rows.sort(key=json.dumps)
    shown = f"{columns} {str(rows[:8])[:600]}"
    return {"names": [c[0] for c in columns], "types": [c[1] for c in columns], "rows": rows,
            "update": result.update_type}, shown


def compare(trino, tarn, statement):
    (a, shown_a), (b, shown_b) = answer(trino, statement), answer(tarn, statement)
    if a.get("place") == "None:None":  # Trino's run-time errors have none
        b.pop("place", None), a.pop("place")
    different = [key for key in a if key not in b or a[key] != b[key]] or ["outcome"] * (len(a) != len(b))
    if not different:
        return False
    is_refused = b.get("error") == "NOT_SUPPORTED"
    print(f"\n### {'refused' if is_refused else ', '.join(different)}: {statement}\n  trino {shown_a}\n  tarn  {shown_b}")
    return True


def main():
    paths = sys.argv[1:] or [pathlib.Path(__file__).with_name("oracle.txt")]
    fetch()
    with tempfile.TemporaryDirectory(prefix="tarn-oracle-") as folder, World(folder) as world:
        process, address = start_trino(pathlib.Path(folder) / "trino")
        try:
            trino, tarn = Lenient(address), loop.Loop(world.address)
            fill(trino)
            tarn.run(f"CREATE SCHEMA hive.z WITH (location='file://{folder}/z/')")
            tarn.run(TABLE)
            statements = [s.strip() for path in paths for s in re.split(r"\n\s*\n", pathlib.Path(path).read_text()) if s.strip()]
            count = sum(compare(trino, tarn, statement) for statement in statements)
            print(f"\n{len(statements)} statements, {count} differ")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()

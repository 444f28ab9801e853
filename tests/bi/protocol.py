#!/usr/bin/env python3
"""The Trino protocol byte by byte: documents, tokens and their replay, pages, sessions, prepared statements, cancel, time
limits, both families of headers, compression; and every statement of statements.txt, answered or refused by name.

    protocol.py           runs all
    protocol.py --write   writes the answers of statements.txt anew; read the difference before keeping it
"""
import http.client
import pathlib
import re
import sys
import tempfile
import threading
import time

import loop
from world import World

STATEMENTS = pathlib.Path(__file__).with_name("statements.txt")
LONG = "SELECT count(*) FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d"


def raises(name, run):
    try:
        run()
    except loop.Failed as failed:
        assert failed.name == name, (failed.name, name)
        return failed.error
    raise AssertionError(f"no {name}")


def path_of(document):
    return document["nextUri"].split("/", 3)[3].join(["/", ""])


# ---- statements.txt ----

def answer_of(client, statement):
    """The block that statements.txt holds for a statement."""
    try:
        result = client.run(statement)
    except loop.Failed as failed:
        where = failed.error.get("errorLocation")
        place = f"{where['lineNumber']}:{where['columnNumber']} " if where else ""
        return [f"! {failed.name} {failed.error['errorCode']} {failed.error['errorType']} {place}{failed.error['message']}"]
    lines = ["= " + " | ".join(f"{c['name']} {c['type']}" for c in result.columns) if result.columns else "="]
    if result.update_type:
        lines.append(f"+ {result.update_type}" + (f" {result.update_count}" if result.update_count else ""))
    lines += [f"+ {key}: {value}" for key, value in result.headers.items() if key != "started-transaction-id"]
    rows = [" | ".join("NULL" if v is None else str(v).replace("\n", "\\n") for v in row) for row in result.rows]
    if "ORDER BY" not in statement and not statement.startswith("DESCRIBE"):
        rows.sort()
    return lines + ["- " + row for row in rows[:6]] + ([f"- … {len(rows)} rows"] if len(rows) > 6 else [])


def blocks():
    """Sections of `# header` lines, then statements (may span lines) closed by their answer lines."""
    statement, answer = [], []
    for line in STATEMENTS.read_text(encoding="utf-8").split("\n") + [""]:
        is_answer = line[:2] in ("= ", "! ", "+ ", "- ") or line == "="
        if statement and answer and not is_answer:
            yield "\n".join(statement), answer
            statement, answer = [], []
        if line.startswith("#"):
            yield line, None
        elif is_answer:
            answer.append(line)
        elif statement or line:
            statement.append(line)
    if statement and "".join(statement).strip():
        yield "\n".join(statement).rstrip(), []


def stable(line, world):
    line = line.replace(str(world.folder), "FOLDER").replace(world.address, "ADDRESS")
    line = re.sub(r"\b20\d{6}_\d{6}_\d{5}_\w{5}\b", "QUERY", line)
    return re.sub(r"tarn-\w+-lake", "LAKE", line)


def check_statements(world, is_write):
    client = loop.Loop(world.address, X_Trino_Transaction_Id="NONE")
    out, wrong = [], []
    for statement, answer in blocks():
        if answer is None:
            out.append(statement)
            if statement.startswith("# session"):
                client = loop.Loop(world.address, X_Trino_Transaction_Id="NONE")
            continue
        got = [stable(line, world) for line in answer_of(client, statement)]
        out.append("\n".join([statement, *got, ""]))
        if got != answer:
            wrong.append("\n".join([statement, *("  want " + l for l in answer), *("  got  " + l for l in got)]))
    if is_write:
        STATEMENTS.write_text("\n".join(out), encoding="utf-8")
        return
    assert not wrong, "\n\n".join(wrong)
    print(f"{len(out)} statements")


# ---- documents and tokens ----

def check_cycle(world):
    client = loop.Loop(world.address)
    posted = client.post("SELECT 1")
    assert re.fullmatch(r"\d{8}_\d{6}_\d{5}_\w{5}", posted["id"]), posted["id"]
    path = path_of(posted)
    assert path.startswith(f"/v1/statement/executing/{posted['id']}/") and path.endswith("/0")
    document, answer, first = client.document("GET", path)
    assert "nextUri" not in document and document["data"] == [["1"]], "two requests a statement"
    again, _, second = client.document("GET", path)
    assert first == second, "a repeated GET gets the same bytes"
    assert client.document("GET", path.replace("/executing/", "/queued/"))[2] == first
    for wrong in (path[:-1] + "1", path[:-1] + "x", path.replace(posted["id"], "20000101_000000_00001_aaaaa"),
                  re.sub(r"/[^/]+/0$", "/slug/0", path)):
        assert client.request("GET", wrong)[0].status == 404, wrong
    assert client.request("DELETE", path)[0].status == 204 and client.request("DELETE", path)[0].status == 204
    assert client.request("HEAD", path)[0].status == 200
    info, _ = client.request("GET", posted["infoUri"].split(world.address)[1])
    assert info.status == 200 and info.getheader("Content-Type").startswith("text/html")
    query = loop.parse(client.request("GET", "/v1/query/" + posted["id"])[1].decode())[0]
    assert query["queryId"] == posted["id"] and query["state"] == "FINISHED" and query["query"] == "SELECT 1"
    assert client.request("GET", "/v1/query/nosuch")[0].status == 410
    assert client.request("DELETE", "/v1/query/nosuch")[0].status == 204
    assert posted["id"] in client.request("GET", "/v1/query")[1].decode()


def check_requests(world):
    client = loop.Loop(world.address)
    user = {"X-Trino-User": "u"}
    assert client.request("POST", "/v1/statement", b"", user)[0].status == 400
    assert client.request("POST", "/v1/statement", b"SELECT 1")[0].status == 401, "no user"
    assert client.request("POST", "/v1/statement", b"SELECT 1", {**user, "X-Presto-User": "u"})[0].status == 401
    assert client.request("POST", "/v1/statement", b"SELECT 1", {**user, "X-Trino-Session": "x"})[0].status == 400
    assert client.request("POST", "/v1/statement", b"SELECT 1", {"Authorization": "Basic dTo="})[0].status == 200
    assert client.request("HEAD", "/v1/statement")[0].status == 200
    assert client.request("GET", "/v1/statement")[0].status == 405
    assert client.request("GET", "/v1/info/state")[1] == b'"ACTIVE"'
    assert client.request("GET", "/v1/node")[1] == b"[]"
    assert client.request("GET", "/v1/cluster")[0].status == 404
    absolute = client.request("POST", f"http://{world.address}/v1/statement", b"SELECT 1", user)
    assert absolute[0].status == 200, "absolute request lines"
    raises("SYNTAX_ERROR", lambda: client.run(" \n "))
    raises("NOT_SUPPORTED", lambda: client.run("SELECT 1", {"X-Trino-Time-Zone": "No/Such"}))
    raises("INVALID_SESSION_PROPERTY", lambda: client.run("SELECT 1", {"X-Trino-Session": "nosuch=1"}))
    raises("QUERY_TEXT_TOO_LARGE", lambda: client.run("SELECT '" + "x" * 1000001 + "'"))
    many = client.run("SELECT count(*) FROM events WHERE id IN (" + ", ".join(str(i) for i in range(100000, 120000)) + ", 3)")
    assert many.rows == [["1"]], "statements of more than 64 KiB"
    raises("NOT_SUPPORTED", lambda: client.run("SELECT * FROM songs_chart EMIT CHANGES"))
    error = raises("TABLE_NOT_FOUND", lambda: client.run("SELECT *\n FROM x"))
    assert error["errorLocation"] == {"lineNumber": "2", "columnNumber": "7"}, error
    assert error["failureInfo"]["errorLocation"] == error["errorLocation"] and error["errorType"] == "USER_ERROR"


# ---- pages ----

PAGED = "SELECT a.id, a.name, b.country, 'some text to fill the page' t FROM events a CROSS JOIN events b"
BIG = PAGED + " CROSS JOIN (VALUES 1, 2, 3, 4, 5, 6) v(x)"


def check_pages(world):
    client = loop.Loop(world.address)
    result = client.run(PAGED)
    assert len(result.rows) == 40000 and 2 <= result.pages <= 5, (len(result.rows), result.pages)
    small = client.run(PAGED, get_headers={"Accept-Encoding": "gzip"})
    assert len(small.rows) == 40000
    document = client.post(BIG)
    path = path_of(document)
    first = client.document("GET", path)
    assert "nextUri" in first[0]
    second = client.document("GET", path_of(first[0]))
    assert client.document("GET", path_of(first[0]))[2] == second[2]
    assert client.request("GET", path)[0].status == 410, "older than the last"
    assert client.request("DELETE", path_of(second[0]))[0].status == 204
    ended = client.document("GET", path_of(second[0]))[0]
    assert ended["error"]["errorName"] == "USER_CANCELED", ended


def check_slow_readers(world):
    """More clients with unread pages than statement threads: others still run."""
    clients = [loop.Loop(world.address) for _ in range(12)]
    paths = []
    for client in clients:
        first = client.document("GET", path_of(client.post(BIG)))[0]
        paths.append(path_of(first))
    assert loop.Loop(world.address).run("SELECT count(*) FROM songs_chart").rows == [["3"]]
    for client, path in zip(clients, paths):
        assert client.request("DELETE", path)[0].status == 204


def check_gzip(world):
    client = loop.Loop(world.address)
    document = client.post("SELECT name, country FROM events")
    answer, data = client.request("GET", path_of(document), headers={"Accept-Encoding": "gzip"})
    assert answer.getheader("Content-Encoding") == "gzip" and "Accept-Encoding" in answer.getheader("Vary")
    plain = client.request("GET", path_of(document), headers={"Accept-Encoding": "identity"})
    assert plain[0].getheader("Content-Encoding") is None and plain[1] == data


# ---- cancel, limits ----

def check_cancel(world):
    client = loop.Loop(world.address)
    document = client.post(LONG)
    waiting, _, _ = client.document("GET", path_of(document))  # about a second
    assert "nextUri" in waiting and "data" not in waiting
    assert waiting["nextUri"] != document["nextUri"], "a timed-out wait has a new token"
    other = loop.Loop(world.address)
    killed = other.run(f"CALL system.runtime.kill_query(query_id => '{document['id']}', message => 'enough')")
    assert killed.update_type == "CALL"
    error = client.document("GET", path_of(waiting))[0]["error"]
    assert (error["errorName"], error["errorCode"]) == ("ADMINISTRATIVELY_KILLED", "38"), error
    assert error["message"] == "Query killed. Message: enough"
    document = client.post(LONG)
    assert client.request("DELETE", path_of(document).replace("executing", "queued"))[0].status == 204
    error = client.document("GET", path_of(document))[0]["error"]
    assert error["errorName"] == "USER_CANCELED"
    document = client.post(LONG)
    assert client.request("DELETE", "/v1/query/" + document["id"])[0].status == 204
    assert client.document("GET", path_of(document))[0]["error"]["errorName"] == "USER_CANCELED"
    error = raises("EXCEEDED_TIME_LIMIT", lambda: client.run(LONG, {"X-Trino-Session": "query_max_run_time=300.00ms"}))
    assert error["message"] == "Query exceeded maximum time limit of 0.30s" and error["errorCode"] == "131075"


def check_overlap(world):
    """Two GETs of one token, both before there is anything, get one page."""
    client = loop.Loop(world.address)
    document = client.post(PAGED)
    got = []
    threads = [threading.Thread(target=lambda: got.append(loop.Loop(world.address).document("GET", path_of(document))[2]))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2 and got[0] == got[1]
    client.request("DELETE", "/v1/query/" + document["id"])


# ---- sessions ----

def check_session(world):
    client = loop.Loop(world.address, X_Trino_Transaction_Id="NONE")
    client.run("PREPARE p FROM SELECT name FROM events WHERE id = ? AND country IN (?, 'DE')")
    assert client.run("EXECUTE p USING 2, 'FR'").rows == [["name"]]
    raises("INVALID_PARAMETER_USAGE", lambda: client.run("EXECUTE p USING 2"))
    client.run("DEALLOCATE PREPARE p")
    assert not client.prepared
    raises("NOT_FOUND", lambda: client.run("EXECUTE p"))
    error = raises("COLUMN_NOT_FOUND", lambda: client.run("EXECUTE IMMEDIATE 'SELECT nosuch FROM events'"))
    assert error["errorLocation"] == {"lineNumber": "1", "columnNumber": "27"}, error
    client.run("START TRANSACTION READ ONLY")
    assert client.run("SELECT 1").rows == [["1"]]
    raises("TABLE_NOT_FOUND", lambda: client.run("SELECT * FROM nosuch"))
    raises("TRANSACTION_ALREADY_ABORTED", lambda: client.run("SELECT 1"))
    client.run("ROLLBACK")
    assert client.run("SELECT 1").rows == [["1"]]
    bare = loop.Loop(world.address)
    raises("INCOMPATIBLE_CLIENT", lambda: bare.run("START TRANSACTION"))
    presto = loop.Loop(world.address, family="X-Presto", datetime=False)
    shown = presto.run("SELECT ts FROM events ORDER BY id OFFSET 0 LIMIT 1")
    assert shown.columns[0]["type"] == "timestamp" and shown.rows == [["2024-01-01 00:00:00.000"]], shown.columns
    assert presto.run("USE songs").rows == [[True]] and presto.headers["X-Presto-Schema"] == "songs"


ZONED = """SELECT TIMESTAMP '2024-01-01 00:00:00 Europe/Paris', TIMESTAMP '2024-06-01 00:00:00 +02:00', current_timezone(),
TIMESTAMP '2024-06-01 00:00:00' AT TIME ZONE 'America/New_York', with_timezone(TIMESTAMP '2024-01-01 00:00:00', 'Asia/Tokyo'),
from_iso8601_timestamp('2024-01-01T00:00:00+01:00'), from_unixtime(0),
CAST(TIMESTAMP '2024-01-01 00:00:00 Europe/Paris' AS TIMESTAMP),
CAST(TIMESTAMP '2024-01-01 00:00:00' AS TIMESTAMP WITH TIME ZONE),
date_trunc('day', TIMESTAMP '2024-01-01 00:30:00 Europe/Paris'), hour(TIMESTAMP '2024-01-01 00:30:00 Europe/Paris'),
CAST(TIMESTAMP '2024-01-01 00:30:00 Europe/Paris' AS DATE), hour(from_unixtime(0)), timezone_hour(from_unixtime(0)),
date_format(from_unixtime(0), '%H'), CAST(from_unixtime(0) AS VARCHAR), ARRAY[from_unixtime(0)]"""


def check_zones(world):
    """As Trino 476 answers in a session of Europe/Paris."""
    paris = loop.Loop(world.address, X_Trino_Time_Zone="Europe/Paris")
    want = ["2024-01-01 00:00:00.000 Europe/Paris", "2024-06-01 00:00:00.000 +02:00", "Europe/Paris",
            "2024-05-31 18:00:00.000 America/New_York", "2024-01-01 00:00:00.000 Asia/Tokyo", "2024-01-01 00:00:00.000 +01:00",
            "1970-01-01 01:00:00.000 Europe/Paris", "2024-01-01 00:00:00.000", "2024-01-01 00:00:00.000 Europe/Paris",
            "2024-01-01 00:00:00.000 Europe/Paris", "0", "2024-01-01", "1", "1", "01", "1970-01-01 01:00:00.000 Europe/Paris",
            ["1970-01-01 01:00:00.000 Europe/Paris"]]
    assert paris.run(ZONED).rows == [want], paris.run(ZONED).rows
    columns = "SELECT from_unixtime(n) t, max(from_unixtime(n)) OVER () FROM events ORDER BY id LIMIT 1"
    assert paris.run(columns).rows == [["1970-01-01 01:00:00.000 Europe/Paris", "1970-01-01 01:00:09.000 Europe/Paris"]]
    count = "SELECT count(*) FROM events WHERE CAST(ts AS TIMESTAMP WITH TIME ZONE) >= TIMESTAMP '2024-01-01 05:00:00 UTC'"
    assert paris.run(count).rows == [["146"]] and loop.Loop(world.address).run(count).rows == [["155"]]
    client = loop.Loop(world.address)
    client.run("SET TIME ZONE 'Europe/Paris'")
    assert client.run("SELECT current_timezone()").rows == [["Europe/Paris"]]
    client.run("SET TIME ZONE LOCAL")
    assert client.run("SELECT current_timezone()").rows == [["UTC"]]
    raises("INVALID_FUNCTION_ARGUMENT", lambda: client.run("SELECT now() AT TIME ZONE 'No/Such'"))


def main():
    is_write = sys.argv[1:] == ["--write"]
    with tempfile.TemporaryDirectory(prefix="tarn-bi-") as folder, World(folder) as world:
        check_statements(world, is_write)
        if is_write:
            return
        for check in (check_cycle, check_requests, check_pages, check_slow_readers, check_gzip, check_cancel, check_overlap,
                      check_session, check_zones):
            check(world)
            print("ok", check.__name__[6:])


if __name__ == "__main__":
    main()

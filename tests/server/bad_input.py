#!/usr/bin/env python3
"""Bad input to a running tarn: each gets a clear error that names the thing and the fix, nothing is lost or half done,
what cannot be processed is in the dead letters, every drop is a counter. One function per kind; all run."""
import base64
import json
import pathlib
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import BINARY, Server  # noqa: E402

PIPELINE = """
CREATE TABLE songs (id INT PRIMARY KEY, name VARCHAR)
  WITH (KAFKA_TOPIC='songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=2, GLOBAL=true,
        INGEST_PATH='/songs', INGEST_STATUS=201);
CREATE STREAM plays (id INT KEY, play VARCHAR)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='KAFKA', PARTITIONS=2);
CREATE STREAM plays_raw (k BYTES KEY, v BYTES)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='RAW', VALUE_FORMAT='RAW', PARTITIONS=2);
CREATE TABLE chart WITH (VALUE_FORMAT='JSON') AS
  SELECT p.id AS id, COUNT(*) AS n FROM plays p JOIN songs s ON p.id = s.id GROUP BY p.id;
CREATE STREAM typed (k VARCHAR, n INT) WITH (KAFKA_TOPIC='typed', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE by_k AS SELECT k, SUM(n) AS s FROM typed GROUP BY k;
"""


def post(tarn, path, body, want, **headers):
    status, answer = tarn.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    assert status == want, f"POST {path} {body[:80]!r}: {status} {answer[:300]!r}, want {want}"
    return answer


def records(tarn, topic):
    return tarn.sql(f"SELECT count(*) FROM {topic}")[0][0]


def error_of(answer):
    return json.loads(answer)["error"]


def metric(tarn, name, **labels):
    _, text = tarn.request("GET", "/metrics")
    total = 0
    for line in text.decode().splitlines():
        if line.startswith(name) and all(f'"{v}"' in line for v in labels.values()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def bodies_that_do_not_parse(tarn):
    for body in [b'{"k":"a","n":1', b'{"k":"a","n":1}{', b"[{}", b'{"k":"\xff"}', b'{"k":01}', b"\xef\xbb\xbf{}",
                 b"[" * 600 + b"]" * 600, b'{"a":1}\n{"b":']:
        error = error_of(post(tarn, "/streams/typed", body, 400))
        assert error["message"], body
    assert records(tarn, "typed") == 0, "a refused body left something behind"
    post(tarn, "/streams/nosuch", b"{}", 404)
    assert "typed" in error_of(post(tarn, "/streams/typde", b"{}", 404))["hint"]


def body_too_large_or_truncated(tarn):
    post(tarn, "/streams/typed", b'{"k":"' + b"x" * (17 << 20) + b'"}', 413)
    host, port = tarn.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"POST /streams/typed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"k\":\"cut\",\"n\":1}")
    assert records(tarn, "typed") == 0, "a truncated body left something behind"


def records_that_do_not_fit(tarn):
    good, bad = b'{"k":"a","n":1}', b'{"k":"a","n":{"x":1}}'
    post(tarn, "/streams/typed", good + b"\n" + bad + b"\n" + good, 200)
    assert tarn.sql("SELECT s FROM by_k WHERE k = 'a'") == [[2]]
    rows = tarn.sql("SELECT * FROM system.dead_letters WHERE topic = 'typed'")
    assert len(rows) == 1, rows
    text = json.dumps(rows[0])
    assert "number" in text, f"no reason in {text}"
    assert base64.b64encode(bad).decode() in text or json.dumps(bad.decode())[1:-1] in text, f"no raw bytes in {text}"


def wrong_key_length(tarn):
    before = len(tarn.sql("SELECT topic FROM system.dead_letters WHERE topic = 'plays'"))
    error = error_of(post(tarn, "/streams/plays", b"now;Alex", 400, Content_Type="application/octet-stream", X_Tarn_Key="abc"))
    assert "abc" in error["message"], error
    # a producer that knows nothing of the stream writes what it likes
    post(tarn, "/streams/plays_raw", b"now;Alex", 200, Content_Type="application/octet-stream", X_Tarn_Key="YWJj")
    tarn.sql("SELECT * FROM chart")
    rows = tarn.sql("SELECT topic FROM system.dead_letters WHERE topic = 'plays'")
    assert len(rows) == before + 1, rows


def unknown_song_and_nulls(tarn):
    post(tarn, "/songs", b'{"id":1,"name":"Believe"}', 201)
    post(tarn, "/streams/plays", b'{"id":1,"play":"t;u"}\n{"id":99,"play":"t;u"}\n{"id":1,"play":null}\n{"play":"t;u"}', 200)
    rows = tarn.sql("SELECT id, n FROM chart")
    assert rows == [[1, 1]], rows
    assert metric(tarn, "tarn_") > 0


def sql_errors(tarn):
    for text, line, column, words in [
            ("SELECT *\nFORM plays", 2, 1, "FROM"), ("SELECT nosuch FROM by_k", 1, 8, "nosuch"),
            ("SELECT * FROM by_kk", 1, 15, "by_kk"), ("SELECT k + 1 FROM by_k", 1, None, ""),
            ("CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMT='JSON')", 1, None, "VALUE_FORMAT")]:
        error = error_of(post(tarn, "/sql", text.encode(), 400))
        assert error["line"] == line and (column is None or error["column"] == column), f"{text}: {error}"
        assert words in error["message"] + (error.get("hint") or ""), f"{text}: {error}"


def foreign_pages(tarn):
    for headers in [{"Origin": "http://evil.example"}, {"Host": "evil.example"}]:
        status, _ = tarn.request("POST", "/sql", b"SELECT 1", headers)
        assert status == 403, f"{headers}: {status}"


def refused(*words, **kwargs):
    done = subprocess.run([str(BINARY), *map(str, words)], capture_output=True, text=True, timeout=120, **kwargs)
    assert done.returncode == 2, f"{words}: exit {done.returncode}\n{done.stderr}"
    lines = [line for line in done.stderr.splitlines() if line.startswith("tarn: ")]
    assert len(lines) == 1, f"one error line wanted, got {done.stderr!r}"
    return lines[0]


def starts_that_are_refused(tarn, folder):
    file = folder / "p.sql"
    line = refused("run", file, "--state", tarn.state, "--listen", "127.0.0.1:0", "--set", "application.id=bad")
    assert "in use" in line and str(tarn.process.pid) in line, line
    line = refused("run", file, "--state", folder / "other", "--listen", tarn.address, "--set", "application.id=bad")
    assert "in use" in line and tarn.address in line, line
    broken = folder / "broken.sql"
    broken.write_text("CREATE STREAM a (x INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
                      "CREATE TABLE b AS SELECT y, COUNT(*) AS n FROM a GROUP BY y;")
    line = refused("run", broken, "--state", folder / "third", "--listen", "127.0.0.1:0")
    assert "line 2:" in line and "y" in line, line


def other_application(folder):
    line = refused("run", folder / "p.sql", "--state", folder / "state", "--listen", "127.0.0.1:0",
                   "--set", "application.id=another")
    assert "another" in line and "bad" in line, line


def changed_file(folder):
    changed = folder / "changed.sql"
    changed.write_text(PIPELINE.replace("SUM(n) AS s", "MAX(n) AS s"))
    line = refused("run", changed, "--state", folder / "state", "--listen", "127.0.0.1:0", "--set", "application.id=bad")
    assert "line 1" in line and "sum" in line, line


def full_disk(folder):
    """A reserve larger than the disk: ingest answers 503 with Retry-After, queries and processing go on."""
    with Server(folder / "p.sql", folder / "state", {"application.id": "bad", "store.reserve.bytes": str(1 << 60)}) as tarn:
        status, answer = tarn.request("POST", "/streams/typed", b'{"k":"a","n":5}')
        assert status == 503, f"{status} {answer!r}"
        assert tarn.sql("SELECT s FROM by_k WHERE k = 'a'", fresh=False) == [[2]]
    with Server(folder / "p.sql", folder / "state", {"application.id": "bad"}) as tarn:
        post(tarn, "/streams/typed", b'{"k":"a","n":5}', 200)
        assert tarn.sql("SELECT s FROM by_k WHERE k = 'a'") == [[7]]


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tarn-bad-") as tmp:
        folder = pathlib.Path(tmp)
        (folder / "p.sql").write_text(PIPELINE)
        with Server(folder / "p.sql", folder / "state", {"application.id": "bad"}) as tarn:
            for check in [bodies_that_do_not_parse, body_too_large_or_truncated, records_that_do_not_fit, wrong_key_length,
                          unknown_song_and_nulls, sql_errors, foreign_pages, starts_that_are_refused]:
                failed += attempt(check, tarn, *([folder] if check is starts_that_are_refused else []))
        for check in [other_application, changed_file, full_disk]:
            failed += attempt(check, folder)
        if failed:
            print((folder / "state.log").read_text()[-3000:])
    print(f"{failed} kinds failed")
    return 1 if failed else 0


def attempt(check, *args):
    try:
        check(*args)
        print(f"ok    {check.__name__}")
        return 0
    except Exception as error:  # every kind is tried, then all failures are reported
        print(f"FAIL  {check.__name__}: {type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())

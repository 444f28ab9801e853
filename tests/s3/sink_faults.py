#!/usr/bin/env python3
"""A whole tarn whose sink writes to S3 while the store goes away, while its credentials end, while a policy
refuses it and while clocks differ: queries go on, memory of the process does not grow with the backlog, the sink says
what is wrong, then catches up; every change is in exactly one object and nothing is lost.
"""
import json
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import fault_proxy as fault  # noqa: E402
from fault_proxy import FaultProxy, status  # noqa: E402
from radosgw import ACCESS_KEY, S3, SECRET_KEY, Radosgw  # noqa: E402
from tarn_server import Server  # noqa: E402

PIPELINE = """
CREATE STREAM changes (id INT KEY, count INT) WITH (KAFKA_TOPIC='changes', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE SINK small FROM changes INTO exported.changes TO 's3://lake/small'
  WITH (object_key='o/${date:now:yyyyMMdd-HHmmssSSS}-${exchangeId}', retry.backoff='20ms', retry.backoff.max='100ms');
"""
PATIENCE_SECONDS = 90  # an end of waiting, not a measure


def post(tarn, first, count):
    body = "".join(f'{{"id":{i},"count":{i}}}\n' for i in range(first, first + count))
    answer = tarn.request("POST", "/streams/changes", body.encode(), {"Content-Type": "application/x-ndjson"})
    assert answer[0] == 200, answer


def sink_row(tarn):
    return dict(zip(("state", "rows", "error"), tarn.sql("SELECT state, rows, error FROM system.sinks", fresh=False)[0]))


def wait(tarn, what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(sink_row(tarn)):
        assert time.monotonic() < deadline, (what, sink_row(tarn))
        time.sleep(0.02)


def check_objects(s3, count):
    """Every change is in exactly one object."""
    bodies = [json.loads(s3.get("lake", key))["count"] for key in s3.keys("lake", "small/o/")]
    assert sorted(bodies) == list(range(count)), (len(bodies), count, sorted(set(range(count)) - set(bodies))[:5])


def resident_bytes(tarn):
    line = pathlib.Path(f"/proc/{tarn.process.pid}/statm").read_text()
    return int(line.split()[1]) * os.sysconf("SC_PAGESIZE")


def test_away(store, proxy, tarn):
    """503, then nothing but hanging connections and resets; queries and ingest go on."""
    before = tarn.sql("SELECT count(*) FROM changes")[0][0]
    proxy.spoil(status(503, "SlowDown"), times=40)
    proxy.spoil(fault.reset_after, method="PUT", times=10)
    proxy.spoil(fault.hang_before, times=4)
    proxy.spoil(status(500, "InternalError"), times=-1)
    post(tarn, before, 50)
    wait(tarn, "trouble is told", lambda row: row["state"] == "RETRYING" and "bucket 'lake'" in (row["error"] or ""))
    small = resident_bytes(tarn)
    for number in range(1, 20):
        post(tarn, before + number * 50, 50)
        assert tarn.sql("SELECT count(*) FROM changes")[0][0] == before + (number + 1) * 50
    grown = resident_bytes(tarn) - small
    assert grown < 64 << 20, f"grew by {grown} bytes while the store was away"
    assert sink_row(tarn)["rows"] < before + 1000
    proxy.clear()
    wait(tarn, "caught up", lambda row: row["rows"] == before + 1000 and row["state"] == "RUNNING")
    check_objects(store.s3, before + 1000)


def test_expired(store, proxy, tarn, credentials):
    """The store does not take the keys any more; later the file is renewed, the process is not restarted."""
    before = tarn.sql("SELECT count(*) FROM changes")[0][0]
    store.user("next", "NEXTKEY", "next+secret")
    put_policy(store)

    def expired(exchange):
        is_old = ACCESS_KEY.encode() in exchange.head
        return is_old and status(400, "ExpiredToken")(exchange)
    proxy.spoil(expired, times=-1)
    post(tarn, before, 100)
    wait(tarn, "expiry is told", lambda row: "have expired" in (row["error"] or ""))
    assert SECRET_KEY not in sink_row(tarn)["error"]
    assert tarn.sql("SELECT count(*) FROM changes")[0][0] == before + 100
    credentials.write_text("[default]\naws_access_key_id=NEXTKEY\naws_secret_access_key=next+secret\n")
    wait(tarn, "goes on with the new keys", lambda row: row["rows"] == before + 100 and row["state"] == "RUNNING")


def put_policy(store, *more):
    allow = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/next"]}, "Action": ["s3:*"],
             "Resource": ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"]}
    body = json.dumps({"Version": "2012-10-17", "Statement": [allow, *({**allow, **one} for one in more)]})
    assert store.s3.request("PUT", "/lake", [("policy", "")], body.encode())[0] in (200, 204)


def test_refused(store, proxy, tarn):
    """The bucket's policy refuses writing; then the store's clock is years away. Each is told, and goes on when mended."""
    proxy.clear()
    before = tarn.sql("SELECT count(*) FROM changes")[0][0]
    put_policy(store, {"Effect": "Deny", "Action": ["s3:PutObject"]})
    post(tarn, before, 50)
    wait(tarn, "the policy is told", lambda row: "AccessDenied" in (row["error"] or "") and "'lake'" in row["error"])
    put_policy(store)
    wait(tarn, "allowed again", lambda row: row["rows"] == before + 50 and row["state"] == "RUNNING")
    proxy.spoil(status(403, "RequestTimeTooSkewed", "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"), times=-1)
    post(tarn, before + 50, 50)
    wait(tarn, "the clock is told", lambda row: "clock" in (row["error"] or ""))
    proxy.clear()
    wait(tarn, "the clock is right again", lambda row: row["rows"] == before + 100 and row["state"] == "RUNNING")
    check_objects(S3(store.host, "NEXTKEY", "next+secret"), before + 100)  # the new objects are its own


def main():
    with Radosgw() as store, FaultProxy(store.host) as proxy, tempfile.TemporaryDirectory() as folder:
        store.bucket("lake")
        credentials, pipeline = pathlib.Path(folder, "credentials"), pathlib.Path(folder, "p.sql")
        credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
        pipeline.write_text(PIPELINE)
        env = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
               "AWS_PROFILE": ""}
        settings = {"s3.endpoint": proxy.url, "s3.timeout.ms": "500ms", "s3.stall.timeout.ms": "200ms",
                    "s3.retry.backoff.ms": "5", "s3.retry.backoff.max.ms": "50"}
        with Server(pipeline, pathlib.Path(folder, "state"), settings, env) as tarn:
            post(tarn, 0, 50)
            wait(tarn, "first objects", lambda row: row["rows"] == 50)
            test_away(store, proxy, tarn)
            test_expired(store, proxy, tarn, credentials)
            test_refused(store, proxy, tarn)
    print("the store was away and the credentials ended; nothing is lost, nothing doubled")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Two stages of a lake with a webhook of the test's own: the webhook is tried again with back-off, hears of each entry of
the table log only once that exists, under one Idempotency-Key however often it is called; a store that stops in the
middle, a kill in the middle of the notices and a replay from the first record leave each event once in each zone."""
import http.server
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from sinks import Case, post, settle, sinks, wait  # noqa: E402

PIPELINE = """
CREATE STREAM raw (a INT) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM staged (a INT) WITH (KAFKA_TOPIC='staged', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE SINK bronze FROM raw INTO bronze.s TO '{lake}/bronze'
  WITH (layout='raw', rotate.idle='100ms', notify_topic='staged', notify='records');
CREATE SINK silver FROM staged INTO silver.s TO '{lake}/silver'
  WITH (rotate.idle='100ms', notify_url='HOOK', notify='commit', notify_retries=1000, retry.backoff='5ms',
        retry.backoff.max='20ms');
"""


class Hook:
    """A receiver: answers `refuse` calls with 503, notes the others; looks whether the entry is there."""

    def __init__(self, log):
        self.log, self.refuse, self.refused, self.heard, self.early = log, 0, 0, {}, []
        self.lock = threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(hook.call(self.headers["Idempotency-Key"], json.loads(body)))
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever).start()

    def call(self, key, notice):
        entries = "".join(path.read_text() for path in self.log.glob("*.commit"))
        with self.lock:
            if notice["commit"] not in entries or key != notice["commit"]:
                self.early.append((key, notice))
            if self.refuse:
                self.refuse, self.refused = self.refuse - 1, self.refused + 1
                return 503
            assert self.heard.setdefault(key, notice) == notice, "one key, two notices"
            return 200

    def rows(self):
        with self.lock:
            return sum(notice["rows"] for notice in self.heard.values())


def add(tarn, first, count):
    post(tarn, "/streams/raw", "\n".join(f'{{"a":{a}}}' for a in range(first, first + count)), "application/x-ndjson")


def check(tarn, case, hook, count):
    """Each event once in both zones; the webhook heard of each entry that has rows."""
    settle(tarn)
    bronze = sorted(json.loads(row[0])["a"] for row in tarn.sql("SELECT _value FROM bronze.s"))
    silver = sorted(row[0] for row in tarn.sql("SELECT a FROM silver.s"))
    staged = tarn.sql("SELECT count(*), count(DISTINCT a) FROM staged")
    assert bronze == silver == list(range(count)), (bronze, silver)
    assert staged == [[count, count]], staged
    table = case.table("silver")
    table.check()
    with_rows = {file["version"] for file in table.files}
    assert not hook.early, f"called before the entry: {hook.early}"
    assert len(hook.heard) == len(with_rows) and hook.rows() == count, (len(hook.heard), with_rows, hook.rows(), count)
    assert tarn.sql("SELECT count(*) FROM system.dead_letters", fresh=False) == [[0]]


def run(case, hook):
    with case.server() as tarn:
        hook.refuse = 3
        add(tarn, 0, 10)
        wait("silver", tarn, lambda s: s["silver"]["rows"] == 10)
        check(tarn, case, hook, 10)
        assert hook.refused == 3
    # the store of the second stage stops in the middle; the first goes on
    silver, kept = case.lake / "silver", case.root / "kept"
    silver.rename(kept)
    silver.write_text("not a folder")
    with case.server() as tarn:
        add(tarn, 10, 10)
        wait("silver is away", tarn, lambda s: s["bronze"]["rows"] == 10 and s["silver"]["state"] == "RETRYING")
        assert hook.rows() == 10, "a notice before its entry"
        silver.unlink()
        kept.rename(silver)
        wait("silver again", tarn, lambda s: s["silver"]["rows"] == 10)
        check(tarn, case, hook, 20)
    for number, point in enumerate(("sink-in-notices", "sink-after-complete", "sink-before-record")):
        case.env = {"TARN_CRASH_POINT": point}
        with case.server() as tarn:
            try:
                add(tarn, 20 + 10 * number, 10)
            except Exception as error:  # it may die before it answers: what was acknowledged is durable
                print("while posting:", error)
            assert tarn.process.wait(timeout=120) != 0, point
        case.env = None
        with case.server() as tarn:
            wait(point, tarn, lambda s: s["bronze"]["state"] == s["silver"]["state"] == "RUNNING")
            wait(point, tarn, lambda s: hook.rows() == 30 + 10 * number)
            check(tarn, case, hook, 30 + 10 * number)
    with case.server() as tarn:  # replay: each stage is made again and reads its source from the first record
        text = (case.root / "p.sql").read_text()
        for name in ("bronze", "silver"):
            tarn.sql(f"DROP SINK {name}")
            tarn.sql("CREATE SINK " + text.split("CREATE SINK ")[1 if name == "bronze" else 2].strip().rstrip(";"))
        wait("replay", tarn, lambda s: all(one["state"] == "RUNNING" and one["epoch"] == 2 for one in s.values()))
        check(tarn, case, hook, 50)
        add(tarn, 50, 10)
        wait("after the replay", tarn, lambda s: s["silver"]["rows"] == 10)
        check(tarn, case, hook, 60)


def main():
    case = Case("stages", "")
    hook = Hook(case.lake / "silver" / "_log")
    case.write(PIPELINE.replace("HOOK", hook.url))
    try:
        run(case, hook)
    finally:
        hook.server.shutdown()
    case.done()
    print(f"stages: {len(hook.heard)} notices heard once each, 60 events once in each zone")


if __name__ == "__main__":
    main()

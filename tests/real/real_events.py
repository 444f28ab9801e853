#!/usr/bin/env python3
"""Real event files through a whole tarn, with kill -9 in the middle; answers compared with an independent recount here.

Usage: real_events.py plays FOLDER | clicks FOLDER   [--kills N]
  plays   FOLDER/*-events.json (eventsim logs, one JSON object per line): counts by title (changelog without coalescing in
          file order, final table), plays per user and hour, sessions per user (gap 30 minutes)
  clicks  FOLDER/clickstream.json.gz ({userid, url, event_time} per line): clicks per page and minute, per user

Prints the figures and the sha256 of the changelog (`title TAB count LF` in file order) and of the final table.
The data is not part of this project; any folder of that form will do.
"""
import argparse
import collections
import datetime
import gzip
import hashlib
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import Server, verify  # noqa: E402

PLAYS = """
CREATE STREAM log (page VARCHAR, song VARCHAR, userId VARCHAR, ts BIGINT)
  WITH (KAFKA_TOPIC='log', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='ts');
CREATE TABLE titles WITH (EMIT='update') AS
  SELECT song, COUNT(*) AS n FROM log WHERE page = 'NextSong' GROUP BY song;
CREATE TABLE titles_merged AS SELECT song, COUNT(*) AS n FROM log WHERE page = 'NextSong' GROUP BY song;
CREATE TABLE hours AS SELECT userId, COUNT(*) AS n FROM log WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 60 DAYS)
  WHERE page = 'NextSong' GROUP BY userId;
CREATE TABLE sessions AS SELECT userId, COUNT(*) AS n FROM log WINDOW SESSION (30 MINUTES, GRACE PERIOD 60 DAYS)
  WHERE page = 'NextSong' GROUP BY userId;
CREATE STREAM titles_log (song VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='TITLES', VALUE_FORMAT='JSON');
"""
CLICKS = """
CREATE STREAM clicks (userid VARCHAR, url VARCHAR, ts BIGINT)
  WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='ts');
CREATE TABLE per_minute AS SELECT url, COUNT(*) AS n FROM clicks WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY url;
CREATE TABLE per_user AS SELECT userid, COUNT(*) AS n FROM clicks GROUP BY userid;
"""


def run(pipeline, lines, path, kills, check):
    """Post the lines in chunks with kills spread over them; then check(server)."""
    with tempfile.TemporaryDirectory(prefix="tarn-real-") as tmp:
        folder = pathlib.Path(tmp)
        (folder / "p.sql").write_text(pipeline)
        server = Server(folder / "p.sql", folder / "state", {"application.id": "real"})
        assert server.start(), (folder / "state.log").read_text()[-3000:]
        chunks = [lines[i:i + 100] for i in range(0, len(lines), 100)]
        every = max(1, len(chunks) // (kills + 1))
        killed = 0
        for number, chunk in enumerate(chunks):
            status, answer = server.request("POST", path, "\n".join(chunk).encode(),
                                            {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"c{number}"})
            assert status == 200, answer
            if number % every == every - 1 and killed < kills:
                server.kill()
                assert server.start()
                # the same chunk again: it was acknowledged, so it must not count twice
                server.request("POST", path, "\n".join(chunk).encode(),
                               {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"c{number}"})
                killed += 1
        check(server)
        assert server.stop() == 0
        print(f"{len(lines)} events, {killed} kills; " + verify(folder / "state", "real").strip().splitlines()[-1])


def sha(rows):
    return hashlib.sha256("".join(f"{a}\t{b}\n" for a, b in rows).encode()).hexdigest()


def check_plays(server, events):
    plays = [e for e in events if e["page"] == "NextSong"]
    counts, changes = collections.Counter(), []
    for play in plays:
        counts[play["song"]] += 1
        changes.append((play["song"], counts[play["song"]]))
    got = [tuple(r) for r in server.sql("SELECT song, n FROM titles_log ORDER BY ROWOFFSET")]
    assert got == changes, f"changelog differs: {len(got)} of {len(changes)} records"
    for table in ("titles", "titles_merged"):
        final = sorted(((r[0], r[1]) for r in server.sql(f"SELECT song, n FROM {table}")), key=lambda r: r[0].encode())
        assert final == sorted(counts.items(), key=lambda r: r[0].encode()), f"{table} differs"
    hours = collections.Counter((p["userId"], p["ts"] // 3600000 * 3600000) for p in plays)
    got = {(r[0], r[1]): r[2] for r in server.sql("SELECT userId, WINDOWSTART, n FROM hours")}
    assert got == dict(hours), f"hours differ: {len(got)} rows, want {len(hours)}"
    sessions = {}
    by_user = collections.defaultdict(list)
    for play in plays:
        by_user[play["userId"]].append(play["ts"])
    for user, times in by_user.items():
        times.sort()
        start = last = times[0]
        count = 0
        for at in times:
            if at - last > 1800000:
                sessions[user, start, last] = count
                start, count = at, 0
            last, count = at, count + 1
        sessions[user, start, last] = count
    got = {(r[0], r[1], r[2]): r[3] for r in server.sql("SELECT userId, WINDOWSTART, WINDOWEND, n FROM sessions")}
    assert got == sessions, f"sessions differ: {len(got)} rows, want {len(sessions)}"
    print(f"plays {len(plays)}, titles {len(counts)}, user hours {len(hours)}, sessions {len(sessions)} "
          f"(largest {max(sessions.values())}), top {counts.most_common(2)}")
    print(f"changelog sha256 {sha(changes)}\nfinal     sha256 {sha(final)}")


def check_clicks(server, events):
    minutes = collections.Counter((e["url"], e["ts"] // 60000 * 60000) for e in events)
    got = {(r[0], r[1]): r[2] for r in server.sql("SELECT url, WINDOWSTART, n FROM per_minute")}
    assert got == dict(minutes), f"per_minute differs: {len(got)} rows, want {len(minutes)}"
    users = collections.Counter(str(e["userid"]) for e in events)
    got = {r[0]: r[1] for r in server.sql("SELECT userid, n FROM per_user")}
    assert got == dict(users), "per_user differs"
    pages = collections.Counter(e["url"] for e in events)
    print(f"page minutes {len(minutes)}, users {len(users)}, pages {len(pages)}, top pages "
          f"{[n for _, n in pages.most_common(5)]}, top users {[n for _, n in users.most_common(2)]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["plays", "clicks"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    if options.kind == "plays":
        lines = [line for file in sorted(options.folder.glob("*-events.json"))
                 for line in file.read_text(encoding="utf-8").split("\n") if line]
        events = [json.loads(line) for line in lines]
        run(PLAYS, lines, "/streams/log", options.kills, lambda server: check_plays(server, events))
    else:
        with gzip.open(options.folder / "clickstream.json.gz", "rt", encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.strip()]
        for event in events:
            at = event["event_time"] if isinstance(event["event_time"], str) else str(event["event_time"])
            at = datetime.datetime.fromisoformat(at.replace("Z", "+00:00"))
            event["ts"] = int(at.replace(tzinfo=at.tzinfo or datetime.timezone.utc).timestamp() * 1000)
        lines = [json.dumps(e, separators=(",", ":"), ensure_ascii=False) for e in events]
        run(CLICKS, lines, "/streams/clicks", options.kills, lambda server: check_clicks(server, events))


if __name__ == "__main__":
    main()

"""Zone tables over a real S3 (Ceph radosgw): the music chart's statements unchanged (s3a://), objects that come, change and
go between queries, gzip, partitions, writing by statement, unknown bucket, wrong key. Folders: test_zones.py."""
import gzip
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from radosgw import Radosgw  # noqa: E402
from tarn_server import Server  # noqa: E402
import test_zones as zones  # noqa: E402
from test_zones import CHART, OBJECTS, Case, check  # noqa: E402

BUCKET = "music-chart-songs-store-changelog"
PREFIX = "music-chart-songs-store-changelog.json"


def put(store, key, body):
    status = store.s3.request("PUT", f"/{BUCKET}/{key}", body=body if isinstance(body, bytes) else body.encode())[0]
    assert status == 200, status


def music_chart(t, store):
    t.sql(f"CREATE SCHEMA hive.songs WITH (location='s3a://{BUCKET}/{PREFIX}/')")
    t.sql("CREATE TABLE hive.songs.songs (count int, songName varchar) WITH (format = 'json', "
          f"external_location = 's3a://{BUCKET}/{PREFIX}/')")
    check(t.sql("select * from songs.songs"), [], "empty prefix")
    for i, (count, song) in enumerate(OBJECTS):
        put(store, f"{PREFIX}/20210203-162842{i:03d}-3F0A1B2C4D5E6F7-{i:016X}", '{"count":%d,"songName":"%s"}' % (count, song))
    rows = t.sql(CHART)
    check([r[1] for r in rows], [3, 3, 3, 2, 2, 2, 1], "chart query")
    before = t.metric("tarn_zone_files_read_total")
    put(store, f"{PREFIX}/new", gzip.compress(b'{"count":9,"songName":"New"}\n'))
    check(t.sql("SELECT count(*), max(count) FROM songs.songs"), [[17, 9]], "a new object is in the next query")
    put(store, f"{PREFIX}/new", gzip.compress(b'{"count":8,"songName":"New"}\n'))
    check(t.sql("SELECT max(count) FROM songs.songs"), [[8]], "a changed object")
    store.s3.request("DELETE", f"/{BUCKET}/{PREFIX}/new")
    check(t.sql("SELECT count(*), max(count) FROM songs.songs"), [[16, 5]], "an object that went")
    check(t.metric("tarn_zone_files_read_total") - before < 16 + 6, True, "unchanged objects are not read again")
    check(t.sql('SELECT count(DISTINCT "$path"), min("$path") FROM songs.songs'),
          [[16, f"s3://{BUCKET}/{PREFIX}/20210203-162842000-3F0A1B2C4D5E6F7-0000000000000000"]], "$path")


def many(t, store):
    """More objects than one page of a listing, read by several threads; one large object."""
    for i in range(1100):
        put(store, f"many/dt=2026-01-{i % 9 + 1:02d}/x{i:05d}.json", '{"id":%d}\n' % i)
    put(store, "many/dt=2026-02-01/large.json", "".join('{"id":%d,"text":"%s"}\n' % (i, "x" * 90) for i in range(100000)))
    t.sql(f"CREATE TABLE songs.many (id int, dt date) WITH (external_location = 's3://{BUCKET}/many', partitioned_by = ARRAY['dt'])")
    check(t.sql("SELECT count(*), sum(id) FROM songs.many WHERE dt < DATE '2026-02-01'"), [[1100, sum(range(1100))]], "1,100 objects")
    check(t.sql("SELECT count(*), sum(id), max(dt) FROM songs.many"), [[101100, sum(range(1100)) + sum(range(100000)), "2026-02-01"]],
          "and a large one")


def writing(t, store):
    t.sql(f"CREATE SCHEMA gold WITH (location = 's3://{BUCKET}/gold/')")
    check(t.sql("CREATE TABLE gold.top AS SELECT songname, max(count) AS n FROM songs.songs GROUP BY songname"), [[7]], "CREATE TABLE AS")
    check(t.sql("INSERT INTO gold.top VALUES ('x', 1)"), [[1]], "INSERT")
    check(t.sql("SELECT count(*), sum(n) FROM gold.top"), [[8, 24]], "what was written")
    check(len([k for k in store.s3.keys(BUCKET, "gold/top/_log/")]), 2, "two entries of the table log")


def folders(t, store):
    """CREATE TABLE AS and INSERT into partition folders; DROP TABLE takes tarn's own files along, and nothing else."""
    check(t.sql("CREATE TABLE gold.by_song WITH (partitioned_by = ARRAY['song'], format = 'csv') AS "
                "SELECT count AS n, songname AS song FROM songs.songs"), [[16]], "CREATE TABLE AS into folders")
    check(t.sql("INSERT INTO gold.by_song VALUES (7, 'a/b=c d'), (8, NULL)"), [[2]], "INSERT into folders")
    names = {key.split("/")[2] for key in store.s3.keys(BUCKET, "gold/by_song/song")}
    check(len(names), 9, f"a folder a song: {names}")
    check(t.sql("SELECT song, sum(n) FROM gold.by_song GROUP BY 1 ORDER BY 1 NULLS FIRST LIMIT 2"),
          [[None, 8], ["Believe", 7]], "read by folder")
    check(t.sql("SELECT n FROM gold.by_song WHERE song = 'a/b=c d'"), [[7]], "a value that needs escapes")
    put(store, "gold/by_song-neighbour/kept", "not tarn's")
    t.sql("DROP TABLE gold.by_song")
    check(store.s3.keys(BUCKET, "gold/by_song"), ["gold/by_song-neighbour/kept"], "DROP TABLE removes its files only")
    check("by_song" in t.error("SELECT * FROM gold.by_song"), True, "it is gone")
    check(t.sql("CREATE TABLE gold.by_song AS SELECT 1 AS one"), [[1]], "the place can be used again")
    check(t.sql("SELECT * FROM gold.by_song"), [[1]], "with its new rows only")
    t.sql("DROP TABLE songs.many")
    check(len(store.s3.keys(BUCKET, "many/")), 1101, "files of a foreign prefix stay")


def refused(t):
    t.sql("CREATE TABLE songs.nowhere (a int) WITH (external_location = 's3://no-such-bucket/x/')")
    check("no-such-bucket" in t.error("SELECT * FROM songs.nowhere"), True, t.error("SELECT * FROM songs.nowhere"))


def main():
    with tempfile.TemporaryDirectory() as temp, Radosgw() as store:
        root = pathlib.Path(temp)
        (root / "pipeline.sql").write_text("CREATE SCHEMA unused;")
        store.bucket(BUCKET)
        settings = {"s3.endpoint": store.url}
        with Server(root / "pipeline.sql", root / "state", settings, env=store.env) as tarn:
            t = Case(tarn, root)
            music_chart(t, store)
            many(t, store)
            writing(t, store)
            folders(t, store)
            refused(t)
        wrong = {**store.env, "AWS_SECRET_ACCESS_KEY": "wrong"}
        with Server(root / "pipeline.sql", root / "state", settings, env=wrong) as tarn:
            t = Case(tarn, root)
            check("select" if not t.error("SELECT count(*) FROM songs.songs") else "refused", "refused", "wrong key")
            check("wrong" in t.error("SELECT count(*) FROM songs.songs"), False, "no secret in the message")
        with Server(root / "pipeline.sql", root / "state", settings, env=store.env) as tarn:
            check(Case(tarn, root).sql("SELECT count(*) FROM gold.top"), [[8]], "after a restart")
    print(f"{zones.checks} checks, {zones.failures} failed")
    return 1 if zones.failures or not zones.checks else 0


if __name__ == "__main__":
    sys.exit(main())

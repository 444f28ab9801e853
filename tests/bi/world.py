"""The tarn that the tests of Trino's clients talk to: two hundred events with every column a chart needs, a live table
counted over them, and a zone table over a folder."""
import json
import pathlib
import random
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from tarn_server import Server  # noqa: E402

PIPELINE = """
CREATE STREAM events (id BIGINT KEY, ts TIMESTAMP, country VARCHAR, amount DOUBLE, n INT, user_id BIGINT,
  flag BOOLEAN, name VARCHAR) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM plays (song VARCHAR KEY, play VARCHAR) WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE songs_chart WITH (VALUE_FORMAT='JSON') AS
  SELECT song AS songName, COUNT(*) AS count FROM plays GROUP BY song EMIT CHANGES;
"""


def events():
    generator = random.Random(1)
    for i in range(200):
        yield {"id": i, "ts": 1704067200000 + i % 24 * 3600000 + i % 60 * 60000,
               "country": generator.choice(["FR", "DE", "US"]), "amount": round(generator.random() * 100, 2), "n": i % 10,
               "user_id": i % 7, "flag": i % 2 == 0, "name": generator.choice(["name", "x", None])}


def plays(count=23):
    songs = ["Believe", "Perfect", "Crazy"]
    return [{"song": songs[i % 3 if i < 18 else 0], "play": "x"} for i in range(count)]


class World:
    def __init__(self, folder, *args):
        self.folder = pathlib.Path(folder)
        (self.folder / "pipeline.sql").write_text(PIPELINE)
        self.server = Server(self.folder / "pipeline.sql", self.folder / "state", *args)

    def __enter__(self):
        self.server.__enter__()
        self.address = self.server.address
        self.produce("events", events())
        self.produce("plays", plays())
        lake = self.folder / "lake" / "songs"
        lake.mkdir(parents=True)
        (lake / "1.json").write_text("".join(f'{{"count":{i},"songName":"Believe"}}\n' for i in range(1, 4)))
        self.sql(f"CREATE SCHEMA hive.songs WITH (location='file://{self.folder}/lake/')")
        self.sql("CREATE TABLE hive.songs.songs (count int, songName varchar) "
                 f"WITH (format = 'json', external_location = 'file://{lake}/')")
        self.sql("SELECT count(*) FROM songs_chart", fresh=True)
        return self

    def __exit__(self, *exc):
        status = self.server.stop() if self.server.process.poll() is None else self.server.process.returncode
        if status != 0 and exc[0] is None:  # a sanitizer's report, too
            log = pathlib.Path(f"{self.server.state}.log").read_text(errors="replace")
            raise AssertionError(f"tarn ended with status {status}:\n{log[-8000:]}")

    def produce(self, stream, rows):
        body = "\n".join(json.dumps(row) for row in rows).encode()
        request = urllib.request.Request(f"http://{self.address}/streams/{stream}", data=body,
                                         headers={"Content-Type": "application/x-ndjson"})
        urllib.request.urlopen(request, timeout=60).read()

    def sql(self, text, fresh=False):
        request = urllib.request.Request(f"http://{self.address}/sql{'?fresh=1' if fresh else ''}", data=text.encode(),
                                         headers={"Accept": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))["rows"]

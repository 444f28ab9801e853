-- The music chart: plays joined with the song list, counted by song.
CREATE TABLE songs (id INT PRIMARY KEY, author VARCHAR, name VARCHAR, op VARCHAR)
  WITH (KAFKA_TOPIC='songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=12, GLOBAL=true,
        INGEST_PATH='/songs', INGEST_STATUS=201, INGEST_DEFAULTS='{"op":"ADD"}',
        INGEST_EVENT='Song {id} processed');

CREATE STREAM played_songs (id INT KEY, play VARCHAR)
  WITH (KAFKA_TOPIC='played-songs', KEY_FORMAT='KAFKA', VALUE_FORMAT='KAFKA', PARTITIONS=12);

CREATE TABLE songs_chart
  WITH (STORE='songs-store', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON') AS
  SELECT p.id AS id, COUNT(*) AS count, LATEST_BY_OFFSET(s.name) AS songName
  FROM played_songs p JOIN songs s ON p.id = s.id
  WHERE s.name IS NOT NULL
  GROUP BY p.id
  EMIT CHANGES;

-- Click events: any JSON object; a new event type is one more statement.
CREATE STREAM clicks (type VARCHAR, mousebutton VARCHAR, isnew BOOLEAN)
  WITH (KAFKA_TOPIC='clickevent.ingest', VALUE_FORMAT='JSON', PARTITIONS=4,
        INGEST_PATH='/function/clickevent-ingest', INGEST_TEXT='Message Handled');

-- A lake of click events in three zones. Each stage stores first and hands on then: the topic of the next stage gets the
-- events of a file once the table log has the file (notify_topic), each event once, also after a crash.
--   tarn run dashboards/demo/click_lake.sql
--   curl -d '{"type":"clickevent","mousebutton":"left","isnew":true}' -H 'Content-Type: application/json' \
--        http://127.0.0.1:8090/function/clickevent-ingest
--   curl -d 'SELECT * FROM gold.clicks' http://127.0.0.1:8090/sql

-- ingest: the answer comes when the event is durable
CREATE STREAM clickevent_ingest (type VARCHAR, mousebutton VARCHAR, isnew BOOLEAN)
  WITH (KAFKA_TOPIC='clickevent.ingest', VALUE_FORMAT='JSON', PARTITIONS=1,
        INGEST_PATH='/function/clickevent-ingest', INGEST_TEXT='Message Handled');

-- Bronze: the bytes as they came
CREATE SINK clickevent_rawdata FROM clickevent_ingest INTO bronze.events
  WITH (layout='raw', rotate.idle='200ms', notify_topic='clickevent.rawdata');
CREATE STREAM clickevent_rawdata (type VARCHAR, mousebutton VARCHAR, isnew BOOLEAN)
  WITH (KAFKA_TOPIC='clickevent.rawdata', VALUE_FORMAT='JSON', PARTITIONS=1);

-- Silver: typed rows, a folder per event type; what does not fit becomes a dead letter
CREATE SINK clickevent_stagingdata FROM clickevent_rawdata INTO silver.events
  WITH (partition_by='type', rotate.idle='200ms', notify_topic='clickevent.stagingdata');
CREATE STREAM clickevent_stagingdata (type VARCHAR, mousebutton VARCHAR, isnew BOOLEAN)
  WITH (KAFKA_TOPIC='clickevent.stagingdata', VALUE_FORMAT='JSON', PARTITIONS=1);

-- Gold: the events as they are for those who process them, and counts that follow live
CREATE SINK clickevent_processeddata FROM clickevent_stagingdata INTO gold.events
  WITH (layout='value', rotate.idle='200ms');
CREATE TABLE clicks AS SELECT mousebutton, COUNT(*) AS clicks FROM clickevent_stagingdata
  WHERE type = 'clickevent' GROUP BY mousebutton;
CREATE SINK clicks FROM clicks INTO gold.clicks WITH (rotate.idle='200ms');

-- A new type of event needs one more statement, nothing else changes:
-- CREATE TABLE purchases AS SELECT mousebutton, COUNT(*) AS purchases FROM clickevent_stagingdata
--   WHERE type = 'purchase' GROUP BY mousebutton;

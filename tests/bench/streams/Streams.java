// The peer of the Kafka benchmarks: tarn's statement as a Kafka Streams topology. Exactly-once v2, RocksDB store with its
// defaults, JSON parsed whole by Jackson's streaming parser. One JVM runs several commands, so that the measured ones run
// warm. Usage: Streams BOOTSTRAP THREADS, then commands on standard input:
//   count APP TOPIC EVENTS STATE COMMIT_MS        SELECT song, COUNT(*) … WHERE ms >= 0 GROUP BY song; changelog only
//   wide APP TOPIC EVENTS STATE COMMIT_MS         the same; then closed, opened again, all keys read
//   restore APP TOPIC STATE                       opened without local state
//   serve APP TOPIC OUT STATE COMMIT_MS KIND      until `stop`; KIND = song (by record key) or ms (with a key change)
// Each answers one line of NAME=VALUE; cpu is the process's CPU seconds for that command.
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.QueryableStoreTypes;

public class Streams {
    static final JsonFactory JSON = new JsonFactory();
    static String bootstrap, threads;
    static KafkaStreams streams;
    static LongAdder seen = new LongAdder(), restored = new LongAdder();

    /** The member ms; every byte of the value is checked. −1: not there, or not a number. */
    static long ms(byte[] value) {
        long found = -1;
        try (JsonParser parser = JSON.createParser(value)) {
            int depth = 0;
            for (JsonToken token; (token = parser.nextToken()) != null;) {
                if (token.isStructStart())
                    depth++;
                else if (token.isStructEnd())
                    depth--;
                else if (depth == 1 && token == JsonToken.VALUE_NUMBER_INT && parser.currentName().equals("ms"))
                    found = parser.getLongValue();
            }
            return found;
        } catch (IOException bad) {
            return -1;
        } finally {
            seen.increment();
        }
    }

    static void open(String app, String topic, String out, String state, String commitMs, String kind) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> events = builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()));
        KGroupedStream<String, ?> groups = kind.equals("ms")
            ? events.map((key, value) -> new KeyValue<>(Long.toString(ms(value)), key))
                  .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
            : events.filter((key, value) -> ms(value) >= 0).groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()));
        var counts = groups.count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<
            org.apache.kafka.common.utils.Bytes, byte[]>>as("counts").withKeySerde(Serdes.String())
            .withValueSerde(Serdes.Long()));
        if (out != null)
            counts.toStream().to(out, Produced.with(Serdes.String(), Serdes.Long()));
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, app);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, state);
        properties.put("auto.offset.reset", "earliest");
        CountDownLatch running = new CountDownLatch(1);
        streams = new KafkaStreams(builder.build(), properties);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING)
                running.countDown();
        });
        streams.setGlobalStateRestoreListener(new StateRestoreListener() {
            @Override public void onRestoreStart(TopicPartition p, String store, long from, long to) {
            }
            @Override public void onBatchRestored(TopicPartition p, String store, long at, long count) {
                restored.add(count);
            }
            @Override public void onRestoreEnd(TopicPartition p, String store, long count) {
            }
        });
        streams.start();
        if (!running.await(300, TimeUnit.SECONDS))
            throw new IllegalStateException("not running after 300 s");
    }

    static long readAll() {
        long keys = 0;
        var store = streams.store(StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.keyValueStore()));
        try (var all = store.all()) {
            for (; all.hasNext(); all.next())
                keys++;
        }
        return keys;
    }

    static void process(String app, String topic, long events, String state, String commitMs) throws Exception {
        seen.reset();
        open(app, topic, null, state, commitMs, "song");
        while (seen.sum() < events)
            Thread.sleep(20);
        Thread.sleep(2 * Long.parseLong(commitMs)); // the last commit
    }

    static void command(String[] word) throws Exception {
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime(), wall = System.nanoTime(), keys = 0;
        restored.reset();
        switch (word[0]) {
            case "count" -> process(word[1], word[2], Long.parseLong(word[3]), word[4], word[5]);
            case "wide" -> {
                process(word[1], word[2], Long.parseLong(word[3]), word[4], word[5]);
                streams.close();
                open(word[1], word[2], null, word[4], word[5], "song");
                keys = readAll();
            }
            case "restore" -> open(word[1], word[2], null, word[3], "100", "song");
            case "serve" -> open(word[1], word[2], word[3], word[4], word[5], word[6]);
            case "stop" -> { }
            default -> throw new IllegalArgumentException(word[0]);
        }
        cpu = system.getProcessCpuTime() - cpu;
        wall = System.nanoTime() - wall;
        if (!word[0].equals("serve") && streams != null)
            streams.close();
        System.out.printf("cpu=%.3f wall=%.3f keys=%d restored=%d%n", cpu / 1e9, wall / 1e9, keys, restored.sum());
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        threads = args[1];
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;)
            command(line.split(" "));
        System.exit(0);
    }
}

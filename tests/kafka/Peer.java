// A Java client beside tarn, with default settings.
//   Peer produce BOOTSTRAP: lines "TOPIC<TAB>KEY<TAB>VALUE[<TAB>TIMESTAMP]" on standard input, partitioner of the client; an
//     empty line waits for what was sent and prints how many that were
//   Peer consume BOOTSTRAP TOPIC: everything committed, as "PARTITION<TAB>OFFSET<TAB>TIMESTAMP<TAB>KEY<TAB>VALUE"
//   Peer partitions COUNT: lines of keys, the partition of each
// Keys and values are hex; "-" is null.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Utils;

public class Peer {
    static byte[] bytes(String hex) {
        return hex.equals("-") ? null : HexFormat.of().parseHex(hex);
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }

    static void produce(String bootstrap, BufferedReader in) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        if (System.getProperty("delivery.ms") != null) { // brokers that are away for longer than the defaults
            properties.put("delivery.timeout.ms", System.getProperty("delivery.ms"));
            properties.put("max.block.ms", System.getProperty("delivery.ms"));
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line; (line = in.readLine()) != null;) {
                if (line.isEmpty()) {
                    producer.flush();
                    for (var one : sent)
                        one.get();
                    System.out.println(sent.size());
                    sent.clear();
                    continue;
                }
                String[] part = line.split("\t");
                Long timestamp = part.length > 3 ? Long.valueOf(part[3]) : null;
                sent.add(producer.send(new ProducerRecord<>(part[0], null, timestamp, bytes(part[1]), bytes(part[2]))));
            }
        }
    }

    /** Records in transactions: a line "commit" or "abort" ends the open one. Prints how many records were committed. */
    static void transact(String bootstrap, String id, BufferedReader in) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("transactional.id", id);
        long committed = 0, open = 0;
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            for (String line; (line = in.readLine()) != null;) {
                if (line.equals("commit") || line.equals("abort")) {
                    if (open > 0 && line.equals("commit"))
                        producer.commitTransaction();
                    else if (open > 0)
                        producer.abortTransaction();
                    committed += line.equals("commit") ? open : 0;
                    open = 0;
                    continue;
                }
                if (open++ == 0)
                    producer.beginTransaction();
                String[] part = line.split("\t");
                producer.send(new ProducerRecord<>(part[0], null, null, bytes(part[1]), bytes(part[2])));
                if (open % 64 == 0)
                    producer.flush(); // so that aborted records are really written
            }
        }
        System.out.println(committed);
    }

    /** Ends including transactions that are not decided, or whose marker is not written yet. */
    static Map<TopicPartition, Long> writtenEnds(String bootstrap, List<TopicPartition> partitions) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            return consumer.endOffsets(partitions);
        }
    }

    static void consume(String bootstrap, String topic) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = writtenEnds(bootstrap, partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p)))
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200)))
                    System.out.println(record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t"
                        + hex(record.key()) + "\t" + hex(record.value()));
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        switch (args[0]) {
            case "produce" -> produce(args[1], in);
            case "transact" -> transact(args[1], args[2], in);
            case "consume" -> consume(args[1], args[2]);
            case "partitions" -> {
                for (String line; (line = in.readLine()) != null;)
                    System.out.println(Utils.toPositive(Utils.murmur2(bytes(line))) % Integer.parseInt(args[1]));
            }
            default -> System.exit(2);
        }
    }
}

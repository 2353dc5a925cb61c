import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads a compacted topic from its start to its end: {@code Table.java BOOTSTRAP TOPIC RECORDS KEYS}; see compaction.py. */
public class Table {
    public static void main(String[] arguments) {
        var partition = new TopicPartition(arguments[1], 0);
        long records = Long.parseLong(arguments[2]);
        long keys = Long.parseLong(arguments[3]);
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0]);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            require(end == records, "the log ends at " + end);
            var table = new HashMap<String, String>();
            long read = 0;
            long deadline = System.nanoTime() + Duration.ofMinutes(2).toNanos();
            while (consumer.position(partition) < end) {
                require(System.nanoTime() < deadline, "stuck at " + consumer.position(partition));
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    table.put(record.key(), record.value());
                    read++;
                }
            }
            require(read == keys, read + " records are left");
            for (long key = 0; key < keys; key++) {
                String value = table.get(Long.toString(key));
                require(Long.toString(records - keys + key).equals(value), "key " + key + " has value " + value);
            }
            System.out.println("java reads " + read + " records, the newest of each key, and reaches " + end);
        }
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) throw new IllegalStateException(otherwise);
    }
}

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a number of records from the start of a topic, without a group: {@code Consume.java BOOTSTRAP TOPIC PARTITIONS COUNT}.
 * Prints the bytes of their values and the seconds it took.
 */
public class Consume {
    public static void main(String[] arguments) {
        List<TopicPartition> partitions = IntStream.range(0, Integer.parseInt(arguments[2]))
            .mapToObj(p -> new TopicPartition(arguments[1], p)).toList();
        long missing = Long.parseLong(arguments[3]);
        long bytes = 0;
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0]);
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long begin = System.nanoTime();
            while (missing > 0) {
                var read = consumer.poll(Duration.ofSeconds(30));
                if (read.isEmpty()) throw new IllegalStateException(missing + " records are missing");
                missing -= read.count();
                for (var record : read) bytes += record.value().length;
            }
            System.out.println(bytes + " " + (System.nanoTime() - begin) / 1e9);
        }
    }
}

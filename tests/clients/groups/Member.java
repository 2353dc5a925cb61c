import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a group: {@code java Member.java BOOTSTRAP GROUP NAME ASSIGNOR}. Reads the topic that is named like its
 * group, until SIGTERM.
 */
public class Member {
    static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);
    static String name;

    public static void main(String[] arguments) throws InterruptedException {
        name = arguments[2];
        var configs = new HashMap<String, Object>(Map.of("bootstrap.servers", arguments[0], "group.id", arguments[1],
            "auto.offset.reset", "earliest"));
        if (arguments[3].equals("consumer")) configs.put("group.protocol", "consumer");
        else configs.putAll(Map.of("partition.assignment.strategy", ASSIGNORS.get(arguments[3]),
            "heartbeat.interval.ms", 300, "session.timeout.ms", 6000));
        var consumer = new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Thread reader = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                reader.join();
            } catch (InterruptedException ignored) {
                // The process ends anyway.
            }
            // A process that a signal has ended says so in its exit code.
            Runtime.getRuntime().halt(0);
        }));
        consumer.subscribe(List.of(arguments[1]), new Listener());
        try {
            while (true) {
                var numbers = new ArrayList<Long>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    numbers.add((long) record.partition());
                    numbers.add(record.offset());
                }
                for (int i = 0; i < numbers.size(); i += 200)
                    tell("read", numbers.subList(i, Math.min(i + 200, numbers.size())));
            }
        } catch (WakeupException stop) {
            consumer.close();
        }
    }

    static class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            tell("assigned", partitions.stream().map(TopicPartition::partition).toList());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            tell("revoked", partitions.stream().map(TopicPartition::partition).toList());
        }
    }

    static void tell(String what, List<? extends Number> numbers) {
        String line = numbers.stream().map(Object::toString).collect(Collectors.joining(" ", name + " " + what + " ", "\n"));
        try {
            OUT.write(line.getBytes(StandardCharsets.US_ASCII));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The Apache Java client against a broker: {@code java Client.java BOOTSTRAP RECORDS PREFIX}. */
public class Client {
    static final int PARTITIONS = 12;
    static final Duration DEADLINE = Duration.ofSeconds(30);
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static final List<Map<String, Object>> MODES = List.of(
        Map.of("acks", "all", "enable.idempotence", true),
        Map.of("acks", "all", "enable.idempotence", false),
        Map.of("acks", "1", "enable.idempotence", false),
        Map.of("acks", "0", "enable.idempotence", false));

    static String bootstrap;
    static String prefix;
    static List<Entry> records;
    static Admin admin;
    static int passed;
    static int failed;

    /** A record of records.py; byte arrays as base64, so that they compare and print. */
    record Entry(int partition, String key, String value, List<String> headers, long timestamp) {
        static Entry of(JsonNode node) {
            List<String> headers = new ArrayList<>();
            node.get("headers").forEach(pair -> headers.add(pair.get(0).asText() + "=" + pair.get(1).asText(null)));
            return new Entry(node.get("partition").asInt(), node.get("key").asText(null), node.get("value").asText(null), headers,
                node.get("timestamp").asLong());
        }

        static Entry of(ConsumerRecord<byte[], byte[]> read) {
            List<String> headers = new ArrayList<>();
            for (Header header : read.headers()) headers.add(header.key() + "=" + text(header.value()));
            return new Entry(read.partition(), text(read.key()), text(read.value()), headers, read.timestamp());
        }

        static Entry numbered(int i, long start) {
            return new Entry(0, null, text(String.valueOf(i).getBytes()), List.of(), start + 1000L * i);
        }

        ProducerRecord<byte[], byte[]> to(String topic) {
            var made = new ProducerRecord<>(topic, partition, timestamp, bytes(key), bytes(value));
            for (String header : headers) {
                int at = header.indexOf('=');
                String content = header.substring(at + 1);
                made.headers().add(header.substring(0, at), content.equals("null") ? null : bytes(content));
            }
            return made;
        }

        static String text(byte[] bytes) {
            return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
        }

        static byte[] bytes(String text) {
            return text == null ? null : Base64.getDecoder().decode(text);
        }
    }

    interface Scenario {
        void run() throws Exception;
    }

    static void equal(String what, Object got, Object expected) {
        if (!Objects.equals(got, expected)) throw new AssertionError(what + ": got " + brief(got) + ", expected " + brief(expected));
        passed++;
    }

    static void records(String what, List<Entry> got, List<Entry> expected) {
        var left = got.stream().collect(Collectors.groupingBy(Entry::partition));
        var right = expected.stream().collect(Collectors.groupingBy(Entry::partition));
        for (int partition : right.keySet()) {
            List<Entry> found = left.getOrDefault(partition, List.of());
            List<Entry> wanted = right.get(partition);
            for (int i = 0; i < Math.min(found.size(), wanted.size()); i++) {
                if (!found.get(i).equals(wanted.get(i))) equal(what + ": record " + i, found.get(i), wanted.get(i));
            }
            if (found.size() != wanted.size()) equal(what + ": records in partition " + partition, found.size(), wanted.size());
        }
        equal(what + ": partitions", left.keySet(), right.keySet());
    }

    static String brief(Object thing) {
        String text = String.valueOf(thing);
        return text.length() <= 300 ? text : text.substring(0, 300) + "… (" + text.length() + " characters)";
    }

    static void scenario(String name, Scenario scenario) {
        long begin = System.nanoTime();
        try {
            scenario.run();
        } catch (Throwable error) {
            failed++;
            System.out.println("java: " + name + ": " + error);
        }
        System.err.printf("java: %s took %.1f s%n", name, (System.nanoTime() - begin) / 1e9);
    }

    /** The type of the error that a call must end with. */
    static Class<?> errorOf(Callable<?> call) throws Exception {
        try {
            call.call();
            return null;
        } catch (ExecutionException error) {
            return error.getCause().getClass();
        } catch (RuntimeException error) {
            return error.getClass();
        }
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > end) throw new AssertionError("still not: " + what);
            TimeUnit.MILLISECONDS.sleep(50);
        }
    }

    static Map<String, Object> with(Map<String, Object> config, Map<String, Object> more) {
        Map<String, Object> all = new HashMap<>(config);
        all.putAll(more);
        return all;
    }

    static String create(String name, int partitions, Map<String, String> configs) throws Exception {
        String topic = prefix + "-java-" + name;
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        return topic;
    }

    static List<RecordMetadata> produce(String topic, List<Entry> entries, Map<String, Object> config) throws Exception {
        var base = Map.<String, Object>of("bootstrap.servers", bootstrap, "linger.ms", 50, "max.request.size", 2_000_000);
        List<RecordMetadata> answers = new ArrayList<>();
        try (var producer = new KafkaProducer<>(with(base, config), new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (Entry entry : entries) sent.add(producer.send(entry.to(topic)));
            for (var future : sent) answers.add(future.get(DEADLINE.toSeconds(), TimeUnit.SECONDS));
        }
        return answers;
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<TopicPartition, Long> positions, Map<String, Object> config) {
        var base = Map.<String, Object>of("bootstrap.servers", bootstrap, "auto.offset.reset", "none");
        var made = new KafkaConsumer<>(with(base, config), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        made.assign(positions.keySet());
        positions.forEach(made::seek);
        return made;
    }

    static List<Entry> poll(KafkaConsumer<byte[], byte[]> consumer, Duration wait) {
        List<Entry> found = new ArrayList<>();
        consumer.poll(wait).forEach(read -> found.add(Entry.of(read)));
        return found;
    }

    static List<Entry> read(Map<TopicPartition, Long> positions, int count, Map<String, Object> config) {
        List<Entry> found = new ArrayList<>();
        long end = System.nanoTime() + DEADLINE.toNanos();
        try (var consumer = consumer(positions, config)) {
            while (found.size() < count && System.nanoTime() < end) found.addAll(poll(consumer, Duration.ofMillis(200)));
        }
        return found;
    }

    static Map<TopicPartition, Long> starts(String topic, int partitions) {
        Map<TopicPartition, Long> positions = new LinkedHashMap<>();
        for (int p = 0; p < partitions; p++) positions.put(new TopicPartition(topic, p), 0L);
        return positions;
    }

    static List<Entry> numbered(int count) {
        return IntStream.range(0, count).mapToObj(i -> Entry.numbered(i, records.get(0).timestamp())).toList();
    }

    static void codec(String name) throws Exception {
        String topic = create(name, PARTITIONS, Map.of());
        List<Entry> expected = new ArrayList<>();
        for (var mode : MODES) {
            produce(topic, records, with(mode, Map.of("compression.type", name)));
            expected.addAll(records);
        }
        records("records written with " + name, read(starts(topic, PARTITIONS), expected.size(), Map.of()), expected);
        var committed = Map.<String, Object>of("isolation.level", "read_committed");
        records("read committed", read(starts(topic, PARTITIONS), expected.size(), committed), expected);
    }

    static long listed(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    static void offsets() throws Exception {
        String topic = create("offsets", 2, Map.of());
        var partition = new TopicPartition(topic, 0);
        var empty = new TopicPartition(topic, 1);
        List<Entry> entries = numbered(50);
        List<Long> told = produce(topic, entries, Map.of()).stream().map(RecordMetadata::offset).toList();
        equal("offsets told to the producer", told, IntStream.range(0, 50).mapToObj(Long::valueOf).toList());
        equal("earliest", listed(partition, OffsetSpec.earliest()), 0L);
        equal("latest", listed(partition, OffsetSpec.latest()), 50L);
        equal("largest timestamp", listed(partition, OffsetSpec.maxTimestamp()), 49L);
        equal("earliest local", listed(partition, OffsetSpec.earliestLocal()), 0L);
        equal("latest tiered", listed(partition, OffsetSpec.latestTiered()), -1L);
        equal("an exact time", listed(partition, OffsetSpec.forTimestamp(entries.get(20).timestamp())), 20L);
        equal("between two times", listed(partition, OffsetSpec.forTimestamp(entries.get(20).timestamp() + 1)), 21L);
        equal("after all times", listed(partition, OffsetSpec.forTimestamp(entries.get(49).timestamp() + 1)), -1L);
        try (var consumer = consumer(Map.of(partition, 0L), Map.of())) {
            var both = List.of(partition, empty);
            equal("beginnings", consumer.beginningOffsets(both), Map.of(partition, 0L, empty, 0L));
            equal("ends", consumer.endOffsets(both), Map.of(partition, 50L, empty, 0L));
            equal("partitions", consumer.partitionsFor(topic).size(), 2);
            equal("the topic is listed", consumer.listTopics().containsKey(topic), true);
        }
        records("a read that starts inside a batch", read(Map.of(partition, 33L), 17, Map.of()), entries.subList(33, 50));
        equal("a fetch beyond the end", errorOf(() -> read(Map.of(partition, 99L), 1, Map.of())), OffsetOutOfRangeException.class);
    }

    /** Partitions come, go and pause while sessions stay open on one connection. */
    static void fetchSessions() throws Exception {
        List<TopicPartition> all = new ArrayList<>();
        for (String name : List.of("session-a", "session-b", "session-c")) all.addAll(starts(create(name, 4, Map.of()), 4).keySet());
        try (var consumer = consumer(all.stream().collect(Collectors.toMap(p -> p, p -> 0L)), Map.of("fetch.max.wait.ms", 200))) {
            exchange(consumer, all);
            consumer.pause(all.subList(0, 5));
            exchange(consumer, all.subList(5, 12));
            consumer.resume(all.subList(0, 5));
            exchange(consumer, all.subList(0, 6));
            var positions = all.subList(3, 9).stream().collect(Collectors.toMap(p -> p, consumer::position));
            consumer.assign(positions.keySet());
            positions.forEach(consumer::seek);
            exchange(consumer, all.subList(3, 9));
            exchange(consumer, all.subList(4, 5));
        }
    }

    static void exchange(KafkaConsumer<byte[], byte[]> consumer, Collection<TopicPartition> partitions) throws Exception {
        Set<TopicPartition> missing = new HashSet<>(partitions);
        for (var p : partitions) {
            produce(p.topic(), List.of(new Entry(p.partition(), null, "", List.of(), records.get(0).timestamp())), Map.of());
        }
        until("every record is read", () -> {
            consumer.poll(Duration.ofMillis(100)).forEach(read -> {
                var from = new TopicPartition(read.topic(), read.partition());
                if (!missing.remove(from)) throw new AssertionError("an unexpected record in " + from);
            });
            return missing.isEmpty();
        });
        passed++;
    }

    static void smallFetches() throws Exception {
        String topic = create("small-fetches", PARTITIONS, Map.of());
        produce(topic, records, Map.of());
        var limits = Map.<String, Object>of("fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000);
        records("the first batch comes whatever the limits", read(starts(topic, PARTITIONS), records.size(), limits), records);
    }

    static void longPoll() throws Exception {
        String topic = create("long-poll", 1, Map.of());
        try (var consumer = consumer(starts(topic, 1), Map.of("fetch.max.wait.ms", 5000))) {
            equal("an empty partition yields nothing", poll(consumer, Duration.ofSeconds(1)).size(), 0);
            produce(topic, numbered(1), Map.of("linger.ms", 0));
            long begin = System.nanoTime();
            equal("the record that ends a long poll", poll(consumer, DEADLINE), numbered(1));
            equal("a long poll ends when a record comes", System.nanoTime() - begin < 3e9, true);
        }
    }

    static void topics() throws Exception {
        String topic = create("topics", PARTITIONS, Map.of());
        equal("a topic that exists", errorOf(() -> create("topics", 1, Map.of())), TopicExistsException.class);
        equal("a bad name", errorOf(() -> create("bad/name", 1, Map.of())), InvalidTopicException.class);
        equal("no partitions", errorOf(() -> create("no-partitions", 0, Map.of())), InvalidPartitionsException.class);
        equal("a bad value", errorOf(() -> create("bad", 1, Map.of("retention.ms", "soon"))), InvalidConfigurationException.class);
        var nine = List.of(new NewTopic(topic + "-nine", 1, (short) 9));
        equal("nine replicas", errorOf(() -> admin.createTopics(nine).all().get()), InvalidReplicationFactorException.class);
        var made = admin.createTopics(List.of(new NewTopic(topic + "-made", 3, (short) 1).configs(Map.of("retention.ms", "7200000"))));
        equal("a new topic's partitions", made.numPartitions(topic + "-made").get(), 3);
        equal("a new topic's configuration", made.config(topic + "-made").get().get("retention.ms").value(), "7200000");

        var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        equal("partitions", described.partitions().size(), PARTITIONS);
        equal("not internal", described.isInternal(), false);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(PARTITIONS + 1))).all().get();
        until("more partitions", () -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size()
            == PARTITIONS + 1);
        admin.deleteTopics(List.of(topic)).all().get();
        until("the topic is gone", () -> !admin.listTopics().names().get().contains(topic));
        equal("gone", errorOf(() -> admin.deleteTopics(List.of(topic)).all().get()), UnknownTopicOrPartitionException.class);
    }

    static void configurations() throws Exception {
        String topic = create("configs", 1, Map.of("retention.ms", "3600000"));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        alter(resource, "max.message.bytes", "10000", AlterConfigOp.OpType.SET);
        var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        equal("a value that was altered", config.get("max.message.bytes").value(), "10000");
        equal("its source", config.get("max.message.bytes").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        equal("the others stay", config.get("retention.ms").value(), "3600000");
        equal("a default's source", config.get("segment.bytes").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
        var large = List.of(new Entry(0, null, Entry.text(new byte[11000]), List.of(), records.get(0).timestamp()));
        equal("a batch over it", errorOf(() -> produce(topic, large, Map.of())), RecordTooLargeException.class);
        alter(resource, "max.message.bytes", null, AlterConfigOp.OpType.DELETE);
        until("the limit is gone", () -> errorOf(() -> produce(topic, large, Map.of())) == null);
        equal("an unknown key", errorOf(() -> alter(resource, "no.such.key", "1", AlterConfigOp.OpType.SET)),
            InvalidConfigurationException.class);
        var broker = new ConfigResource(ConfigResource.Type.BROKER, admin.describeCluster().nodes().get().iterator().next().idString());
        equal("a broker has a configuration", admin.describeConfigs(List.of(broker)).all().get().get(broker).entries().isEmpty(), false);
    }

    static Void alter(ConfigResource resource, String key, String value, AlterConfigOp.OpType operation) throws Exception {
        var change = new AlterConfigOp(new ConfigEntry(key, value), operation);
        return admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    }

    static void deletedRecords() throws Exception {
        String topic = create("deleted", 1, Map.of());
        var partition = new TopicPartition(topic, 0);
        produce(topic, numbered(20), Map.of());
        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(12))).lowWatermarks().get(partition).get();
        equal("the low watermark", deleted.lowWatermark(), 12L);
        equal("the beginning", listed(partition, OffsetSpec.earliest()), 12L);
        var left = read(Map.of(partition, 3L), 8, Map.of("auto.offset.reset", "earliest"));
        records("what is left", left, numbered(20).subList(12, 20));
    }

    static void cluster() throws Exception {
        var described = admin.describeCluster();
        equal("a cluster id", described.clusterId().get().isEmpty(), false);
        var nodes = described.nodes().get().stream().map(node -> node.id()).toList();
        equal("the controller is a broker", nodes.contains(described.controller().get().id()), true);
        for (var directories : admin.describeLogDirs(nodes).allDescriptions().get().values()) {
            for (var directory : directories.values()) equal("a healthy log directory", directory.error(), null);
        }
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        prefix = arguments[2];
        records = new ArrayList<>();
        new ObjectMapper().readTree(new File(arguments[1])).forEach(node -> records.add(Entry.of(node)));
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        for (String name : CODECS) scenario("codec " + name, () -> codec(name));
        scenario("offsets", Client::offsets);
        scenario("fetch sessions", Client::fetchSessions);
        scenario("small fetches", Client::smallFetches);
        scenario("long poll", Client::longPoll);
        scenario("topics", Client::topics);
        scenario("configurations", Client::configurations);
        scenario("deleted records", Client::deletedRecords);
        scenario("cluster", Client::cluster);
        admin.close();
        System.out.printf("java %s: %d checks passed%s%n", AppInfoParser.getVersion(), passed, failed > 0 ? ", " + failed + " FAILED" : "");
        System.exit(failed > 0 ? 1 : 0);
    }
}

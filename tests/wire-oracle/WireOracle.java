import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.CompactArrayOf;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Kafka's side of the oracle: its own message classes judge our bytes, its own schemas make bytes for us.
 *
 * "check" reads what `oracle write` (in core/wire/examples) writes and fails unless Kafka agrees with every line.
 * "make COUNT KEY:FIRST-LAST... NAME:FIRST-LAST..." writes COUNT random messages of every version and direction, and
 * COUNT random structs of every version, each as the bytes that the schema allows and as those that the message class
 * writes after reading them, which differ in needless tagged fields.
 */
public class WireOracle {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws IOException {
        switch (arguments[0]) {
            case "check" -> System.exit(new Checker().run() ? 0 : 1);
            case "make" -> new Maker(Integer.parseInt(arguments[1])).run(arguments);
            default -> throw new IllegalArgumentException("check, or make COUNT KEY|NAME:FIRST-LAST...");
        }
    }

    static ApiMessage empty(ApiMessageType api, String direction) {
        return direction.equals("request") ? api.newRequest() : api.newResponse();
    }

    /** A key or a value of __consumer_offsets, or what consumers put into a classic group. */
    static Class<?> classOf(String name) {
        String prefix = name.startsWith("ConsumerProtocol") ? "common.message." : "coordinator.group.generated.";
        try {
            return Class.forName("org.apache.kafka." + prefix + name);
        } catch (ClassNotFoundException e) {
            throw new IllegalArgumentException(e);
        }
    }

    static Message empty(Class<?> struct) {
        try {
            return (Message) struct.getConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalArgumentException(e);
        }
    }

    static String encoded(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return HEX.formatHex(bytes);
    }

    static class Checker {
        final Map<Short, int[]> compared = new TreeMap<>();
        final Map<String, int[]> structs = new TreeMap<>();
        final Map<Short, String> ranges = new TreeMap<>();
        final Set<Short> errors = new HashSet<>();
        int different;

        boolean run() throws IOException {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ", -1);
                switch (words[0]) {
                    case "error" -> checkError(Short.parseShort(words[1]), words[2], Boolean.parseBoolean(words[3]));
                    case "api" -> checkApi(Short.parseShort(words[1]), Short.parseShort(words[2]),
                        Short.parseShort(words[3]), Short.parseShort(words[4]));
                    case "message" -> checkMessage(Short.parseShort(words[1]), Short.parseShort(words[2]), words[3], words[4]);
                    case "struct" -> checkStruct(words[1], Short.parseShort(words[2]), words[3]);
                    default -> differs("not a line of ours: " + line);
                }
            }
            for (Errors error : Errors.values())
                if (!errors.contains(error.code())) differs("we lack the error " + error);
            int total = 0;
            for (Map.Entry<Short, int[]> entry : compared.entrySet()) {
                int count = entry.getValue()[0];
                total += count;
                System.out.printf("made by us, read by Kafka: %-24s %-5s %6d compared%n",
                    ApiMessageType.fromApiKey(entry.getKey()).name, ranges.get(entry.getKey()), count);
            }
            for (Map.Entry<String, int[]> entry : structs.entrySet()) {
                int count = entry.getValue()[0];
                total += count;
                Message message = empty(classOf(entry.getKey()));
                if (message.lowestSupportedVersion() != 0 || message.highestSupportedVersion() != entry.getValue()[1])
                    differs(entry.getKey() + ": Kafka has versions up to " + message.highestSupportedVersion());
                System.out.printf("made by us, read by Kafka: %-44s %6d compared%n", entry.getKey(), count);
            }
            System.out.printf("%d messages of %d APIs, %d structs and %d error codes, %d differ%n",
                total, compared.size(), structs.size(), errors.size(), different);
            return different == 0 && total > 0 && compared.keySet().equals(ranges.keySet());
        }

        void checkError(short code, String name, boolean retriable) {
            errors.add(code);
            Errors theirs = Errors.forCode(code);
            if (!theirs.name().equals(name) || theirs.exception() instanceof RetriableException != retriable)
                differs("error " + code + " is " + theirs + ", not " + name + ", retriable " + retriable);
        }

        /** Kafka serves what we do, up to the last stable version, and is flexible from the same version on. */
        void checkApi(short key, short first, short last, short flexibleFrom) {
            ApiMessageType api = ApiMessageType.fromApiKey(key);
            ranges.put(key, first + "-" + last);
            if (api.lowestSupportedVersion() != first || api.highestSupportedVersion(false) != last)
                differs(api + ": Kafka has " + api.lowestSupportedVersion() + "-" + api.highestSupportedVersion(false));
            for (short version = first; version <= last; version++) {
                boolean flexible = version >= flexibleFrom;
                int response = flexible && api != ApiMessageType.API_VERSIONS ? 1 : 0;
                if (api.requestHeaderVersion(version) != (flexible ? 2 : 1) || api.responseHeaderVersion(version) != response)
                    differs(api + " version " + version + " has other headers in Kafka");
            }
        }

        void checkMessage(short key, short version, String direction, String bytes) {
            ApiMessageType api = ApiMessageType.fromApiKey(key);
            compared.computeIfAbsent(key, unused -> new int[1])[0]++;
            checkBytes(api + " version " + version + " " + direction, empty(api, direction), version, bytes);
        }

        void checkStruct(String name, short version, String bytes) {
            int[] counts = structs.computeIfAbsent(name, unused -> new int[2]);
            counts[0]++;
            counts[1] = Math.max(counts[1], version);
            checkBytes(name + " version " + version, empty(classOf(name)), version, bytes);
        }

        /** A copy of a message has lost what Kafka did not understand, so that an unknown tag shows. */
        void checkBytes(String what, Message message, short version, String bytes) {
            String again;
            try {
                ByteBufferAccessor input = new ByteBufferAccessor(ByteBuffer.wrap(HEX.parseHex(bytes)));
                message.read(input, version);
                again = input.remaining() > 0 ? input.remaining() + " bytes left over" : encoded(message.duplicate(), version);
            } catch (RuntimeException e) {
                again = e.toString();
            }
            if (!again.equals(bytes))
                differs(what + ": we sent " + bytes + "\n  Kafka    " + again + "\n  " + message);
        }

        void differs(String how) {
            different++;
            System.out.println(how);
        }
    }

    static class Maker {
        final int count;
        final Random random = new Random(1);

        Maker(int count) {
            this.count = count;
        }

        void run(String[] arguments) {
            PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.US_ASCII)));
            for (int i = 2; i < arguments.length; i++) {
                String[] words = arguments[i].split("[:-]");
                short last = Short.parseShort(words[2]);
                for (short version = Short.parseShort(words[1]); version <= last; version++) {
                    if (Character.isDigit(words[0].charAt(0))) makeMessages(out, Short.parseShort(words[0]), version);
                    else makeStructs(out, words[0], version);
                }
            }
            out.flush();
        }

        void makeMessages(PrintWriter out, short key, short version) {
            ApiMessageType api = ApiMessageType.fromApiKey(key);
            for (int n = 0; n < count; n++) {
                make(out, "message " + key + " " + version + " request", api.newRequest(), version, api.requestSchemas()[version]);
                make(out, "message " + key + " " + version + " response", api.newResponse(), version, api.responseSchemas()[version]);
            }
        }

        void makeStructs(PrintWriter out, String name, short version) {
            Schema[] schemas;
            try {
                schemas = (Schema[]) classOf(name).getField("SCHEMAS").get(null);
            } catch (ReflectiveOperationException e) {
                throw new IllegalArgumentException(e);
            }
            for (int n = 0; n < count; n++)
                make(out, "struct " + name + " " + version, empty(classOf(name)), version, schemas[version]);
        }

        void make(PrintWriter out, String head, Message message, short version, Schema schema) {
            Struct struct = (Struct) value(schema, null);
            ByteBuffer buffer = ByteBuffer.allocate(struct.sizeOf());
            struct.writeTo(buffer);
            buffer.flip();
            String bytes = HEX.formatHex(buffer.array());
            message.read(new ByteBufferAccessor(buffer), version);
            out.println(head + " " + bytes + " " + encoded(message, version));
        }

        Object value(Type type, Field field) {
            if (type.isNullable() && random.nextInt(4) == 0) return null;
            if (field != null && field.hasDefaultValue && field.defaultValue != null && random.nextInt(4) == 0)
                return field.defaultValue;
            if (type instanceof TaggedFields tagged) return taggedFields(tagged);
            if (type instanceof Schema schema) return struct(schema);
            if (type.isArray()) return array(type.arrayElementType().orElseThrow());
            return primitive(type);
        }

        /** Kafka's schemas write the null of a tagged struct in a form that its classes do not read: there is none here. */
        Map<Integer, Object> taggedFields(TaggedFields tagged) {
            Map<Integer, Object> values = new TreeMap<>();
            tagged.fields().forEach((tag, field) -> {
                Object value = value(field.type, field);
                if (random.nextBoolean() && (value != null || !(field.type instanceof Schema))) values.put(tag, value);
            });
            return values;
        }

        Struct struct(Schema schema) {
            Struct struct = new Struct(schema);
            for (BoundField field : schema.fields()) struct.set(field, value(field.def.type, field.def));
            return struct;
        }

        Object[] array(Type element) {
            Object[] values = new Object[random.nextInt(4)];
            for (int i = 0; i < values.length; i++) values[i] = value(element, null);
            return values;
        }

        Object primitive(Type type) {
            return switch (type.toString()) {
                case "BOOLEAN" -> random.nextBoolean();
                case "INT8" -> (byte) number();
                case "INT16" -> (short) number();
                case "UINT16" -> (int) number() & 0xffff;
                case "INT32" -> (int) number();
                case "UINT32" -> number() & 0xffffffffL;
                case "INT64" -> number();
                case "FLOAT64" -> number() / 8.0;
                case "UUID" -> random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
                case "STRING", "COMPACT_STRING", "NULLABLE_STRING", "COMPACT_NULLABLE_STRING" -> string();
                case "BYTES", "COMPACT_BYTES", "NULLABLE_BYTES", "COMPACT_NULLABLE_BYTES" -> bytes();
                case "RECORDS", "COMPACT_RECORDS", "NULLABLE_RECORDS", "COMPACT_NULLABLE_RECORDS" -> MemoryRecords.readableRecords(bytes());
                default -> throw new IllegalStateException("no values of type " + type);
            };
        }

        /** Often a value at which something changes. */
        long number() {
            return switch (random.nextInt(6)) {
                case 0 -> -1;
                case 1 -> 0;
                case 2 -> random.nextBoolean() ? Long.MAX_VALUE : Integer.MIN_VALUE;
                default -> random.nextLong();
            };
        }

        String string() {
            String[] characters = {"a", "Z", "0", ".", "é", "水", "🌊"};
            StringBuilder text = new StringBuilder();
            for (int left = random.nextInt(32) == 0 ? 200 : random.nextInt(6); left > 0; left--)
                text.append(characters[random.nextInt(characters.length)]);
            return text.toString();
        }

        ByteBuffer bytes() {
            byte[] bytes = new byte[random.nextInt(16) == 0 ? 300 : random.nextInt(6)];
            random.nextBytes(bytes);
            return ByteBuffer.wrap(bytes);
        }
    }
}

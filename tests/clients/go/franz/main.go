// franz-go, which asks for the newest versions, against a broker: franz BOOTSTRAP RECORDS PREFIX.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	. "highwater/clients/matrix"
)

var (
	bootstrap, records, prefix = Arguments()
	check                      = New("franz-go", "github.com/twmb/franz-go")
	ctx                        = context.Background()
	codecs                     = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	modes = [][]kgo.Opt{
		{kgo.RequiredAcks(kgo.AllISRAcks())},
		{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite()},
		{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()},
	}
)

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(100 * time.Millisecond)}, options...)...)
	Must(err)
	return made
}

func create(name string, partitions int32, configs map[string]*string) string {
	topic := prefix + "-franz-" + name
	admin := kadm.NewClient(client())
	defer admin.Close()
	_, err := admin.CreateTopic(ctx, partitions, 1, configs, topic)
	Must(err)
	return topic
}

func produce(topic string, list []Record, options ...kgo.Opt) (delivered kgo.ProduceResults) {
	options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
	producer := client(options...)
	defer producer.Close()
	var batch []*kgo.Record
	for _, r := range list {
		made := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		batch = append(batch, made)
	}
	limited, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	return producer.ProduceSync(limited, batch...)
}

func positions(topic string, partitions int, offset int64) kgo.Opt {
	at := map[int32]kgo.Offset{}
	for p := range partitions {
		at[int32(p)] = kgo.NewOffset().At(offset)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
}

// poll returns what one poll brings, or nothing after the wait.
func poll(consumer *kgo.Client, wait time.Duration) (found []Record) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	fetches := consumer.PollFetches(limited)
	for _, failure := range fetches.Errors() {
		if !errors.Is(failure.Err, context.DeadlineExceeded) {
			panic(failure.Err)
		}
	}
	for _, r := range fetches.Records() {
		made := Record{Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp.UnixMilli()}
		for _, h := range r.Headers {
			made.Headers = append(made.Headers, Header{Name: h.Key, Value: h.Value})
		}
		found = append(found, made)
	}
	return found
}

func read(count int, options ...kgo.Opt) (found []Record) {
	consumer := client(append(options, kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	defer consumer.Close()
	for end := time.Now().Add(Deadline); len(found) < count && time.Now().Before(end); {
		found = append(found, poll(consumer, time.Second)...)
	}
	return found
}

// refused is the broker's error that a scenario must end with.
func refused(run func()) (err error) {
	defer func() {
		var known *kerr.Error
		if failure, is := recover().(error); is && errors.As(failure, &known) {
			err = known
		}
	}()
	run()
	return nil
}

func codec(name string) {
	topic := create(name, Partitions, nil)
	for _, mode := range modes {
		Must(produce(topic, records, append(mode, kgo.ProducerBatchCompression(codecs[name]))...).FirstErr())
	}
	expected := Times(records, len(modes))
	check.Records("records written with "+name, read(len(expected), positions(topic, Partitions, 0)), expected)
}

func offsets() {
	topic := create("offsets", 2, nil)
	list := Numbered(50, records[0].Timestamp)
	for i, result := range produce(topic, list) {
		Must(result.Err)
		check.Equal("the offset told to the producer", result.Record.Offset, int64(i))
	}
	admin := kadm.NewClient(client())
	defer admin.Close()
	at := func(listed kadm.ListedOffsets, err error) int64 {
		Must(err)
		Must(listed.Error())
		found, _ := listed.Lookup(topic, 0)
		return found.Offset
	}
	after := func(timestamp int64) int64 { return at(admin.ListOffsetsAfterMilli(ctx, timestamp, topic)) }
	check.Equal("start", at(admin.ListStartOffsets(ctx, topic)), int64(0))
	check.Equal("end", at(admin.ListEndOffsets(ctx, topic)), int64(50))
	check.Equal("committed end", at(admin.ListCommittedOffsets(ctx, topic)), int64(50))
	check.Equal("largest timestamp", at(admin.ListMaxTimestampOffsets(ctx, topic)), int64(49))
	check.Equal("an exact time", after(list[20].Timestamp), int64(20))
	check.Equal("between two times", after(list[20].Timestamp+1), int64(21))
	check.Equal("after all times", after(list[49].Timestamp+1), int64(50))
	check.Records("a read that starts inside a batch", read(17, positions(topic, 1, 33)), list[33:])
	found := read(30, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AfterMilli(list[20].Timestamp)}}))
	check.Records("a read that starts at a time", found, list[20:])
}

func smallFetches() {
	topic := create("small-fetches", Partitions, nil)
	Must(produce(topic, records).FirstErr())
	got := read(len(records), positions(topic, Partitions, 0), kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000))
	check.Records("the first batch comes whatever the limits", got, records)
}

func longPoll() {
	topic := create("long-poll", 1, nil)
	consumer := client(positions(topic, 1, 0), kgo.FetchMaxWait(10*time.Second))
	defer consumer.Close()
	check.Equal("an empty partition yields nothing", len(poll(consumer, time.Second)), 0)
	Must(produce(topic, Numbered(1, records[0].Timestamp)).FirstErr())
	begin := time.Now()
	check.Equal("the record that ends a long poll", len(poll(consumer, Deadline)), 1)
	check.True("a long poll ends when a record comes", time.Since(begin) < 5*time.Second)
}

// Partitions come, go and pause while one fetch session stays open.
func fetchSession() {
	topics := []string{create("session-a", 4, nil), create("session-b", 4, nil)}
	consumer := client(positions(topics[0], 4, 0), kgo.FetchMaxWait(500*time.Millisecond))
	defer consumer.Close()
	got, expected := 0, 0
	write := func(topic string, partitions ...int32) {
		for _, p := range partitions {
			Must(produce(topic, []Record{{Partition: p, Value: []byte("v"), Timestamp: records[0].Timestamp}}).FirstErr())
			expected++
		}
		for end := time.Now().Add(Deadline); got < expected && time.Now().Before(end); {
			got += len(poll(consumer, time.Second))
		}
		check.Equal("records read in the session", got, expected)
	}
	write(topics[0], 0, 1, 2, 3)
	consumer.PauseFetchPartitions(map[string][]int32{topics[0]: {0, 1}})
	write(topics[0], 2, 3)
	consumer.ResumeFetchPartitions(map[string][]int32{topics[0]: {0, 1}})
	write(topics[0], 0, 3)
	start := kgo.NewOffset().AtStart()
	consumer.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics[1]: {0: start, 1: start, 2: start, 3: start}})
	write(topics[1], 3, 2, 1, 0)
	consumer.RemoveConsumePartitions(map[string][]int32{topics[0]: {0, 1, 2, 3}})
	write(topics[1], 0, 2)
}

// A topic is deleted and made again under its name, with another id, while a producer and a consumer know the old one.
func topicMadeAgain() {
	topic := create("again", 1, nil)
	both := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(topic))
	defer both.Close()
	Must(both.ProduceSync(ctx, kgo.StringRecord("first life")).FirstErr())
	check.Equal("records of the first life", len(poll(both, Deadline)), 1)
	admin := kadm.NewClient(client())
	defer admin.Close()
	_, err := admin.DeleteTopic(ctx, topic)
	Must(err)
	check.Equal("the topic is made again", create("again", 1, nil), topic)
	Must(produce(topic, Numbered(1, records[0].Timestamp)).FirstErr())
	check.Equal("records of the second life", len(read(1, positions(topic, 1, 0))), 1)
}

func topics() {
	topic := create("topics", Partitions, nil)
	check.Equal("a topic that exists", refused(func() { create("topics", 1, nil) }), error(kerr.TopicAlreadyExists))
	soon := "soon"
	bad := refused(func() { create("bad", 1, map[string]*string{"retention.ms": &soon}) })
	check.Equal("a bad configuration", bad, error(kerr.InvalidConfig))
	check.Equal("a bad name", refused(func() { create("bad/name", 1, nil) }), error(kerr.InvalidTopicException))
	check.Equal("a replication factor of 9", refused(func() {
		admin := kadm.NewClient(client())
		defer admin.Close()
		_, err := admin.CreateTopic(ctx, 1, 9, nil, topic+"-nine")
		Must(err)
	}), error(kerr.InvalidReplicationFactor))

	admin := kadm.NewClient(client())
	defer admin.Close()
	listed, err := admin.ListTopics(ctx, topic)
	Must(err)
	check.Equal("partitions", len(listed[topic].Partitions), Partitions)
	check.True("a topic id", listed[topic].ID != kadm.TopicID{})
	updated, err := admin.UpdatePartitions(ctx, Partitions+1, topic)
	Must(err)
	Must(updated.Error())
	Until("more partitions", func() bool {
		listed, err = admin.ListTopics(ctx, topic)
		return err == nil && len(listed[topic].Partitions) == Partitions+1
	})
	Must(produce(topic, []Record{{Partition: Partitions, Value: []byte("v"), Timestamp: records[0].Timestamp}}).FirstErr())
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {Partitions: {Topic: topic, Partition: Partitions, At: 1}}})
	Must(err)
	Must(deleted.Error())
	result, _ := deleted.Lookup(topic, Partitions)
	check.Equal("the low watermark after a deletion", result.LowWatermark, int64(1))
	epochs, err := admin.OffsetForLeaderEpoch(ctx, epochRequest(topic))
	Must(err)
	check.Equal("the end of the leader epoch", epochs[topic][Partitions].EndOffset, int64(1))
	metadata, err := admin.BrokerMetadata(ctx)
	Must(err)
	check.True("a cluster id", metadata.Cluster != "")
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	Must(err)
	check.True("a log directory", len(dirs) > 0)
	_, err = admin.DeleteTopic(ctx, topic)
	Must(err)
	_, err = admin.DeleteTopic(ctx, topic)
	check.True("a topic that is gone", errors.Is(err, kerr.UnknownTopicOrPartition))
}

func epochRequest(topic string) (request kadm.OffsetForLeaderEpochRequest) {
	request.Add(topic, Partitions, 0)
	return request
}

func refusals() {
	limit := "10000"
	topic := create("refusals", 1, map[string]*string{"max.message.bytes": &limit})
	err := produce(topic, []Record{{Value: make([]byte, 11000), Timestamp: records[0].Timestamp}},
		kgo.ProducerBatchCompression(kgo.NoCompression())).FirstErr()
	check.True("a batch over max.message.bytes", errors.Is(err, kerr.MessageTooLarge))
	beyond := refused(func() { read(1, positions(topic, 1, 99)) })
	check.Equal("a fetch beyond the end", beyond, error(kerr.OffsetOutOfRange))
}

func main() {
	for _, name := range Codecs {
		check.Scenario("codec "+name, func() { codec(name) })
	}
	check.Scenario("offsets", offsets)
	check.Scenario("small fetches", smallFetches)
	check.Scenario("long poll", longPoll)
	check.Scenario("fetch session", fetchSession)
	check.Scenario("topic made again", topicMadeAgain)
	check.Scenario("topics", topics)
	check.Scenario("refusals", refusals)
	check.Report()
}

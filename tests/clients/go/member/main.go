// A member of a group, with franz-go: member BOOTSTRAP GROUP NAME ASSIGNOR. Reads the topic that is named like its
// group, until SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	. "highwater/clients/matrix"
)

var assignors = map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer()}

func main() {
	bootstrap, group, name, assignor := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	tell := func(what string, numbers []int64) {
		words := strings.Trim(fmt.Sprint(numbers), "[]")
		_, err := os.Stdout.WriteString(name + " " + what + " " + words + "\n")
		Must(err)
	}
	tellPartitions := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			var numbers []int64
			for _, partition := range topics[group] {
				numbers = append(numbers, int64(partition))
			}
			tell(what, numbers)
		}
	}
	revoked := func(ctx context.Context, client *kgo.Client, topics map[string][]int32) {
		// Who listens commits by himself.
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		tellPartitions("revoked")(ctx, client, topics)
	}
	options := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(tellPartitions("assigned")), kgo.OnPartitionsRevoked(revoked),
		kgo.OnPartitionsLost(tellPartitions("revoked"))}
	if balancer, classic := assignors[assignor]; classic {
		options = append(options, kgo.Balancers(balancer), kgo.HeartbeatInterval(300*time.Millisecond), kgo.SessionTimeout(6*time.Second))
	} else {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()))
	}
	client, err := kgo.NewClient(options...)
	Must(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		var numbers []int64
		client.PollRecords(ctx, 100).EachRecord(func(record *kgo.Record) {
			numbers = append(numbers, int64(record.Partition), record.Offset)
		})
		if len(numbers) > 0 {
			tell("read", numbers)
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

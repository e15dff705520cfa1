package natsbus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long a test waits for the next sign of progress. It bounds a silence, not the work: a busy machine
// takes its time.
const patience = 30 * time.Second

// arrived waits until n messages have come to a bus's keeper, for as long as ever more come. url is where the test
// looks, if they do not, for what the stream holds.
func arrived(t *testing.T, b *Bus, k *keeper, url string, n int) {
	t.Helper()
	have, last := 0, time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		now := k.count()
		switch {
		case now >= n:
			return
		case now > have:
			have, last = now, time.Now()
		case t.Context().Err() != nil || time.Since(last) > patience:
			t.Fatalf("%d of %d messages have come, and none for %v\n%s", now, n, time.Since(last).Round(time.Second), account(b, k, url, n))
		}
	}
}

// account says what the stream of events holds, what of it came, and where the lanes stand. It closes the bus.
func account(b *Bus, k *keeper, url string, n int) string {
	var out strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Fprintf(&out, "status: %+v\n", b.Status())
	if err := reread(ctx, &out, url, n); err != nil {
		fmt.Fprintf(&out, "stream: %v\n", err)
	}
	came := map[string]int{}
	for _, m := range k.messages() {
		came[m.Event.ID]++
	}
	fmt.Fprintf(&out, "came: %s; %d gaps\n", tally(came, n), k.gapCount())
	if err := b.Close(ctx); err != nil { // lanes belong to their goroutines
		fmt.Fprintf(&out, "close: %v\n", err)
		return out.String()
	}
	for key, l := range b.lanes {
		fmt.Fprintf(&out, "lane %v: known %v at %d of epoch %x, then pending %d; the stream was %d..%d of epoch %x\n",
			key, l.known, l.at.seq, l.at.epoch, l.pending, l.view.first, l.view.last, l.view.epoch)
	}
	return out.String()
}

// reread reads the stream of events from its beginning.
func reread(ctx context.Context, out *strings.Builder, url string, n int) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "fraiseql")
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	fmt.Fprintf(out, "stream: %d messages, %d..%d, %d deleted, cluster %+v\n", info.State.Msgs, info.State.FirstSeq, info.State.LastSeq, info.State.NumDeleted, info.Cluster)
	list := stream.ListConsumers(ctx)
	for c := range list.Info() {
		fmt.Fprintf(out, "consumer %s on %+v: delivered %+v, %d pending, %d pulls wait\n", c.Name, c.Cluster, c.Delivered, c.NumPending, c.NumWaiting)
	}
	held := map[string]int{}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			fmt.Fprintf(out, "stream: message %d: %v\n", seq, err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		id, _, _ := strings.Cut(m.Header.Get("Nats-Msg-Id"), "@")
		held[id]++
	}
	fmt.Fprintf(out, "stream: %s\n", tally(held, n))
	return list.Err()
}

// tally says which of the ids from 0 to n-1 are there not exactly once.
func tally(have map[string]int, n int) string {
	var none, more []int
	for i := range n {
		switch have[fmt.Sprint(i)] {
		case 0:
			none = append(none, i)
		case 1:
		default:
			more = append(more, i)
		}
	}
	return fmt.Sprintf("%d ids, missing %s, more than once %s", len(have), spans(none), spans(more))
}

// spans writes sorted numbers as ranges.
func spans(list []int) string {
	var out []string
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n] == list[0]+n {
			n++
		}
		out = append(out, fmt.Sprintf("%d-%d", list[0], list[n-1]))
		list = slices.Clone(list[n:])
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

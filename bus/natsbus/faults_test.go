package natsbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// keeper is a Handler that keeps what it is told.
type keeper struct {
	mu     sync.Mutex
	got    []bus.Message
	gaps   []int // how many messages had come when a gap was told
	heads  []event.Position
	before func(*bus.Message) // called first, outside the lock
}

func (k *keeper) Deliver(m *bus.Message) int {
	if k.before != nil {
		k.before(m)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, *m)
	return 1
}

func (k *keeper) Gap(_ string, head event.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gaps, k.heads = append(k.gaps, len(k.got)), append(k.heads, head)
}

func (k *keeper) messages() []bus.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]bus.Message(nil), k.got...)
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.got)
}

func (k *keeper) gapCount() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.gaps)
}

// attach attaches a keeper that wants a channel.
func attach(t *testing.T, b *Bus, channel string) *keeper {
	t.Helper()
	k := &keeper{}
	attachTo(t, b, channel, k)
	return k
}

func attachTo(t *testing.T, b *Bus, channel string, k *keeper) {
	t.Helper()
	if err := b.Attach(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	b.Interest(channel, true)
	if err := b.Established(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
}

func numbered(channel string, from, n int) []bus.Message {
	list := make([]bus.Message, n)
	for i := range list {
		list[i].Event = event.Event{
			Channel: channel, Type: "t", ID: fmt.Sprint(from + i), Timestamp: time.Unix(1, 0).UTC(), Data: []byte(fmt.Sprintf(`{"n":%d}`, from+i)),
		}
	}
	return list
}

// publishAll publishes as a careful program does: what is not acknowledged, again, with the same ids.
func publishAll(t *testing.T, b *Bus, batch []bus.Message) {
	for len(batch) > 0 && t.Context().Err() == nil {
		r, err := b.Publish(t.Context(), batch)
		if err != nil && !errors.Is(err, bus.ErrUnavailable) && t.Context().Err() == nil {
			t.Errorf("publish: %v", err)
			return
		}
		batch = batch[r.Accepted:]
	}
}

// wantAll fails unless the events from 0 to n-1 came in order, each once but for repetitions at the same position.
func wantAll(t *testing.T, k *keeper, n int) {
	t.Helper()
	list := k.messages()
	next := 0
	var last event.Position
	for _, m := range list {
		if next > 0 && m.Position.SameRun(last) && m.Position.Compare(last) <= 0 {
			t.Fatalf("position %v after %v: the adapter leaves these out", m.Position, last)
		}
		if m.Event.ID != fmt.Sprint(next) {
			t.Fatalf("event %s, want %d", m.Event.ID, next)
		}
		next, last = next+1, m.Position
	}
	if next != n || k.gapCount() > 0 {
		t.Fatalf("%d of %d events, %d gaps", next, n, k.gapCount())
	}
}

// TestTheServerIsKilled kills nats-server three times while events are published and delivered.
func TestTheServerIsKilled(t *testing.T) {
	const batches, each = 60, 50
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	published := make(chan int)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		defer close(published)
		for i := range batches {
			publishAll(t, b, numbered("c", i*each, each))
			published <- i
		}
	})
	for i := range published {
		if i%20 == 10 {
			server.Kill()
			server.Start()
		}
	}
	arrived(t, b, k, server.URL(""), batches*each)
	wantAll(t, k, batches*each)
	if s := b.Status(); s.Reconnects < 3 {
		t.Errorf("%+v", s)
	}
}

// TestTheNetworkIsCut resets the connections of publisher and reader again and again.
func TestTheNetworkIsCut(t *testing.T) {
	const batches, each = 100, 40
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	other := testkit.NewProxy(t, server.Addr)
	from, to := open(t, "nats://"+proxy.Addr, bus.Options{}), open(t, "nats://"+other.Addr, bus.Options{})
	attach(t, from, "unrelated")
	k := attach(t, to, "c")
	for i := range batches {
		done := make(chan struct{})
		go func() {
			defer close(done)
			publishAll(t, from, numbered("c", i*each, each))
		}()
		switch i % 10 {
		case 3:
			proxy.Drop()
		case 7:
			other.Drop()
		}
		<-done
	}
	arrived(t, to, k, server.URL(""), batches*each)
	wantAll(t, k, batches*each)
}

// TestASlowNodeIsToldOfAPurge empties the stream while a handler holds its lane up.
func TestASlowNodeIsToldOfAPurge(t *testing.T) {
	const n = 5000 // more than is on its way to a lane
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	k := &keeper{before: func(*bus.Message) { once.Do(func() { close(entered); <-leave }) }}
	attachTo(t, b, "c", k)
	other := "" // a channel of another partition makes the numbers jump, as they do in practice
	for i := 0; other == "" || keyOf(other, other) == keyOf("c", "c"); i++ {
		other = fmt.Sprint("other", i)
	}
	var batch []bus.Message
	for i := range n {
		batch = append(batch, numbered("c", i, 1)[0], numbered(other, i, 1)[0])
	}
	publishAll(t, b, batch)
	<-entered
	_, js := plain(t, server.Addr)
	stream, err := js.Stream(t.Context(), "fraiseql")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(leave)
	publishAll(t, b, numbered("c", n, 1))
	await(t, "the event behind the hole has come", func() bool {
		list := k.messages()
		return len(list) > 0 && list[len(list)-1].Event.ID == fmt.Sprint(n)
	})
	if len(k.messages()) >= n {
		t.Fatalf("%d events came: nothing was purged", len(k.messages()))
	}
	await(t, "a gap is told", func() bool { return k.gapCount() > 0 })
	if b.Status().Gaps == 0 {
		t.Error("no gap is counted")
	}
}

// TestTheStreamIsDeleted deletes the stream: another is made, with another epoch, and what is published there comes
// behind a gap.
func TestTheStreamIsDeleted(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 10))
	await(t, "the first have come", func() bool { return len(k.messages()) == 10 })
	_, js := plain(t, server.Addr)
	if err := js.DeleteStream(t.Context(), "fraiseql"); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, numbered("c", 10, 10))
	await(t, "the others have come", func() bool { return len(k.messages()) == 20 })
	list := k.messages()
	before, after := list[9].Position, list[10].Position
	if before.Epoch == after.Epoch {
		t.Errorf("positions %v and %v", before, after)
	}
	if k.gapCount() == 0 || k.gaps[0] != 10 || k.heads[0].Epoch != after.Epoch || k.heads[0].Compare(after) >= 0 {
		t.Errorf("gaps after %v events, heads %v, then %v", k.gaps, k.heads, after)
	}
	if page, err := b.History(t.Context(), "c", before, 100); err != nil || page.Complete || page.Head != list[19].Position {
		t.Errorf("history after a position of before: %+v, %v", page, err)
	}
}

// TestTheServerLosesItsNewestEvents puts an older state of the store back, as a machine that lost power may come up
// with: sequence numbers are used again, under another epoch.
func TestTheServerLosesItsNewestEvents(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 10))
	await(t, "the first have come", func() bool { return len(k.messages()) == 10 })
	server.Kill()
	old := t.TempDir()
	copyTree(t, server.Store, old)
	server.Start()
	publishAll(t, b, numbered("c", 10, 5))
	await(t, "the next have come", func() bool { return len(k.messages()) == 15 })
	server.Kill()
	if err := os.RemoveAll(server.Store); err != nil {
		t.Fatal(err)
	}
	copyTree(t, old, server.Store)
	server.Start()
	publishAll(t, b, numbered("c", 15, 10))
	await(t, "the last have come", func() bool { return len(k.messages()) == 25 })
	list := k.messages()
	if list[14].Position.SameRun(list[15].Position) {
		t.Errorf("event 15 has position %v after %v", list[15].Position, list[14].Position)
	}
	if k.gapCount() == 0 || k.gaps[0] != 15 {
		t.Errorf("gaps after %v events", k.gaps)
	}
	if page, err := b.History(t.Context(), "c", list[12].Position, 100); err != nil || page.Complete {
		t.Errorf("history after a position that is lost: %+v, %v", page, err)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

// TestDeletedMessagesAreAGap deletes one message inside the stream.
func TestDeletedMessagesAreAGap(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 10))
	await(t, "all have come", func() bool { return len(k.messages()) == 10 })
	_, js := plain(t, server.Addr)
	stream, err := js.Stream(t.Context(), "fraiseql")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	for i, m := range k.messages() {
		page, err := b.History(t.Context(), "c", m.Position, 100)
		if err != nil || page.Complete != (i >= 4) {
			t.Errorf("after event %d: complete %v, %v", i, page.Complete, err)
		}
	}
}

// TestJetStreamGoesAway is of what Status says when the server answers, but JetStream does not.
func TestJetStreamGoesAway(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{PublishTimeout: time.Second})
	attach(t, b, "c")
	_, js := plain(t, server.Addr)
	// Somebody makes another stream of the subject, so that ours cannot come back.
	if err := js.DeleteStream(t.Context(), "fraiseql"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for made := false; !made && ctx.Err() == nil; {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "squatter", Subjects: []string{"fraiseql.*"}})
		if made = err == nil; !made { // ours was faster
			_ = js.DeleteStream(ctx, "fraiseql")
		}
	}
	await(t, "the status tells", func() bool { s := b.Status(); return s.Problem != "" && s.Connected })
	if err := js.DeleteStream(t.Context(), "squatter"); err != nil {
		t.Fatal(err)
	}
	await(t, "all is well again", func() bool { return b.Status().Problem == "" })
	publishAll(t, b, numbered("c", 0, 1))
}

// TestTheNetworkStalls keeps everything that is sent, so that connections look alive: publishing is refused in bounded
// time, the status tells, and when the network is back nothing is missing.
func TestTheNetworkStalls(t *testing.T) {
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "nats://"+proxy.Addr, bus.Options{PublishTimeout: time.Second})
	k := attach(t, b, "c")
	proxy.Delay(2 * time.Millisecond)
	publishAll(t, b, numbered("c", 0, 50))
	proxy.Hold()
	if r, err := b.Publish(t.Context(), numbered("c", 50, 50)); !errors.Is(err, bus.ErrUnavailable) || r.Accepted != 0 {
		t.Errorf("published %d over a network that stalls: %v", r.Accepted, err)
	}
	await(t, "the status tells", func() bool { return b.Status().Problem != "" })
	proxy.Release()
	publishAll(t, b, numbered("c", 50, 50))
	arrived(t, b, k, server.URL(""), 100)
	wantAll(t, k, 100)
}

// TestAConsumerLags stops a consumer that goes on with its heartbeats, as one does on a server that is behind the leader:
// the lane makes another.
func TestAConsumerLags(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 10))
	arrived(t, b, k, server.URL(""), 10)
	_, js := plain(t, server.Addr)
	stream, err := js.Stream(t.Context(), "fraiseql")
	if err != nil {
		t.Fatal(err)
	}
	paused := 0
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if _, err := stream.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		paused++
	}
	if paused != 1 {
		t.Fatalf("%d consumers", paused)
	}
	publishAll(t, b, numbered("c", 10, 10))
	arrived(t, b, k, server.URL(""), 20)
	wantAll(t, k, 20)
}

// TestTLS connects with a certificate that only tls_ca makes known.
func TestTLS(t *testing.T) {
	c := testkit.NewCertificate(t, t.TempDir(), 1)
	server := testkit.StartNATS(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q }", c.CertFile, c.KeyFile))
	b := open(t, "tls://"+server.Addr+"?tls_ca="+url.QueryEscape(c.CertFile), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 1))
	await(t, "the event has come", func() bool { return len(k.messages()) == 1 })
	stranger := open(t, "tls://"+server.Addr, bus.Options{})
	if err := stranger.Attach(t.Context(), &keeper{}); err != nil {
		t.Fatal(err)
	}
	await(t, "a certificate that nobody knows is refused", func() bool { return strings.Contains(stranger.Status().Problem, "certificate") })
}

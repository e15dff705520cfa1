package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/natsbus"
	"github.com/fraiseql/fraiseql-go/event"
)

// window is how many events may be without an acknowledgement, in both.
const window = 512

// ours is the bus, on one node that publishes and another that reads.
func ours(mode string) func(ctx context.Context, url, prefix string, arrived func([]byte)) (pipe, error) {
	return func(ctx context.Context, url, prefix string, arrived func([]byte)) (pipe, error) {
		url += "?mode=" + mode + "&prefix=" + prefix
		from, err := natsbus.Open(url, bus.Options{})
		if err != nil {
			return nil, err
		}
		to, err := natsbus.Open(url, bus.Options{})
		if err != nil {
			return nil, err
		}
		p := &ourPipe{from: from, to: to}
		var mu sync.Mutex // lanes deliver concurrently
		if err := to.Attach(ctx, handler(func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			arrived(data)
		})); err != nil {
			return nil, err
		}
		for i := range *channels {
			to.Interest(channelOf(i), true)
		}
		for i := range *channels {
			if err := to.Established(ctx, channelOf(i)); err != nil {
				return nil, err
			}
		}
		return p, from.Attach(ctx, handler(func([]byte) {}))
	}
}

type handler func(data []byte)

func (h handler) Deliver(m *bus.Message) int {
	h(m.Event.Data)
	return 1
}

type ourPipe struct{ from, to *natsbus.Bus }

func (p *ourPipe) publish(ctx context.Context, from, n int) error {
	batch := make([]bus.Message, n)
	now := time.Now()
	for i := range batch {
		batch[i].Event = event.Event{Channel: channelOf(from + i), Type: "created", UID: event.NewID(), Timestamp: now, Data: dataOf(from + i)}
	}
	_, err := p.from.Publish(ctx, batch)
	return err
}

func (p *ourPipe) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	check(p.from.Close(ctx))
	check(p.to.Close(ctx))
}

// bare is nats.go as its documentation shows it: asynchronous publishes with 512 pending, and one ordered consumer; or
// publishes with a flush behind each batch, and a subscription. With headers it does by hand what the bus does: messages
// carry the same headers, and JetStream is read by as many consumers.
func bare(mode string, headers bool) func(ctx context.Context, url, prefix string, arrived func([]byte)) (pipe, error) {
	return func(ctx context.Context, url, prefix string, arrived func([]byte)) (pipe, error) {
		p := &barePipe{prefix: prefix, headers: headers}
		var mu sync.Mutex // consumers deliver concurrently
		var err error
		if p.from, err = nats.Connect(url); err != nil {
			return nil, err
		}
		if p.to, err = nats.Connect(url); err != nil {
			return nil, err
		}
		if mode == "core" {
			sub, err := p.to.Subscribe(prefix+".*", func(m *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				arrived(m.Data)
			})
			if err != nil {
				return nil, err
			}
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				return nil, err
			}
			return p, p.to.Flush()
		}
		if p.js, err = jetstream.New(p.from, jetstream.WithPublishAsyncMaxPending(window)); err != nil {
			return nil, err
		}
		if _, err := p.js.CreateStream(ctx, jetstream.StreamConfig{Name: prefix, Subjects: []string{prefix + ".>"}, MaxBytes: 1 << 30}); err != nil {
			return nil, err
		}
		reader, err := jetstream.New(p.to)
		if err != nil {
			return nil, err
		}
		if !headers {
			return p, p.read(ctx, reader, prefix+".>", arrived)
		}
		locked := func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			arrived(data)
		}
		for i := range min(*channels, consumers) {
			if err := p.read(ctx, reader, fmt.Sprintf("%s.%d.*", prefix, i), locked); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
}

// consumers is how many partitions the bus reads; bare with headers does so, too.
const consumers = 8

// read starts an ordered consumer.
func (p *barePipe) read(ctx context.Context, js jetstream.JetStream, subject string, arrived func([]byte)) error {
	consumer, err := js.OrderedConsumer(ctx, p.prefix, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return err
	}
	c, err := consumer.Consume(func(m jetstream.Msg) { arrived(m.Data()) })
	p.consume = append(p.consume, c)
	return err
}

type barePipe struct {
	prefix   string
	headers  bool
	from, to *nats.Conn
	js       jetstream.JetStream
	consume  []jetstream.ConsumeContext
}

func (p *barePipe) message(n int) *nats.Msg {
	m := &nats.Msg{Subject: p.prefix + "." + channelOf(n), Data: dataOf(n)}
	if p.headers {
		if p.js != nil {
			m.Subject = fmt.Sprintf("%s.%d.%s", p.prefix, n%*channels%consumers, channelOf(n))
		}
		id := event.NewID().String()
		m.Header = nats.Header{
			"Nats-Msg-Id": {id}, "Fraiseql-Type": {"created"}, "Fraiseql-Time": {time.Now().Format(time.RFC3339Nano)},
		}
	}
	return m
}

func (p *barePipe) publish(ctx context.Context, from, n int) error {
	if p.js == nil {
		for i := from; i < from+n; i++ {
			if err := p.from.PublishMsg(p.message(i)); err != nil {
				return err
			}
		}
		return p.from.FlushWithContext(ctx)
	}
	futures := make([]jetstream.PubAckFuture, 0, n)
	for i := from; i < from+n; i++ {
		f, err := p.js.PublishMsgAsync(p.message(i), jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return fmt.Errorf("not acknowledged: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *barePipe) close() {
	for _, c := range p.consume {
		c.Stop()
	}
	if p.js != nil {
		check(p.js.DeleteStream(context.Background(), p.prefix))
	}
	p.from.Close()
	p.to.Close()
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/redisbus"
	"github.com/fraiseql/fraiseql-go/event"
)

// bare is the driver alone.
type bare struct {
	client  rueidis.Client
	streams []string
	ended   chan struct{}
	end     context.CancelFunc
}

func newBare(addr string, received func([]byte)) (subject, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return nil, err
	}
	b := &bare{client: client, ended: make(chan struct{})}
	name := prefix()
	for i := range *channels {
		b.streams = append(b.streams, fmt.Sprintf("{%s:%d}:e", name, i))
	}
	var ctx context.Context
	ctx, b.end = context.WithCancel(context.Background())
	go b.read(ctx, received)
	return b, nil
}

// read is the loop of XREAD, from the start of each stream.
func (b *bare) read(ctx context.Context, received func([]byte)) {
	defer close(b.ended)
	at := map[string]string{}
	for _, s := range b.streams {
		at[s] = "0"
	}
	for ctx.Err() == nil {
		ids := make([]string, len(b.streams))
		for i, s := range b.streams {
			ids[i] = at[s]
		}
		answer, err := b.client.Do(context.Background(), b.client.B().Xread().Count(1024).Block(100).Streams().Key(b.streams...).Id(ids...).Build()).AsXRead()
		if rueidis.IsRedisNil(err) {
			continue
		}
		check(err)
		for s, entries := range answer {
			for _, e := range entries {
				received([]byte(e.FieldValues["data"]))
			}
			at[s] = entries[len(entries)-1].ID
		}
	}
}

func (b *bare) publisher() publish {
	commands := make([]rueidis.Completed, *batch)
	return func(channel int, data [][]byte) error { return b.publish(channel, data, commands) }
}

func (b *bare) publish(channel int, data [][]byte, commands []rueidis.Completed) error {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	name := fmt.Sprintf("channel%d", channel)
	for i, d := range data {
		commands[i] = b.client.B().Xadd().Key(b.streams[channel]).Maxlen().Almost().Threshold("10000").Id("*").FieldValue().
			FieldValue("v", "1").FieldValue("channel", name).FieldValue("type", "created").FieldValue("id", event.NewID().String()).
			FieldValue("timestamp", now).FieldValue("data", rueidis.BinaryString(d)).Build()
	}
	if len(commands) == 1 {
		return b.client.Do(context.Background(), commands[0]).Error()
	}
	for _, r := range b.client.DoMulti(context.Background(), commands...) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) close() {
	b.end()
	<-b.ended
	b.client.Close()
}

// own is the bus.
type own struct{ b *redisbus.Bus }

// handler passes data on.
type handler func([]byte)

func (h handler) Deliver(m *bus.Message) int { h(m.Event.Data); return 1 }

func newBus(addr string, received func([]byte)) (subject, error) {
	b, err := redisbus.Open("redis://"+addr+"?prefix="+prefix(), bus.Options{})
	if err != nil {
		return nil, err
	}
	if err := b.Attach(context.Background(), handler(received)); err != nil {
		return nil, err
	}
	for i := range *channels {
		b.Interest(fmt.Sprintf("channel%d", i), true)
	}
	for i := range *channels {
		if err := b.Established(context.Background(), fmt.Sprintf("channel%d", i)); err != nil {
			return nil, err
		}
	}
	return &own{b}, nil
}

func (o *own) publisher() publish {
	list := make([]bus.Message, *batch)
	return func(channel int, data [][]byte) error { return o.publish(channel, data, list) }
}

func (o *own) publish(channel int, data [][]byte, list []bus.Message) error {
	now, name := time.Now(), fmt.Sprintf("channel%d", channel)
	for i, d := range data {
		list[i].Event = event.Event{Channel: name, Type: "created", UID: event.NewID(), Timestamp: now, Data: d}
	}
	_, err := o.b.Publish(context.Background(), list)
	return err
}

func (o *own) close() { _ = o.b.Close(context.Background()) }

// Package source is what the Go peers share: where events come in, an in-process broadcast, and an announcement of both
// addresses.
package source

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Event is what is published.
type Event struct {
	Room int    `json:"room"`
	Seq  int    `json:"seq"`
	Sent int    `json:"sent"`
	Sum  int    `json:"sum"`
	Pad  string `json:"pad"`
}

// Serve listens on two free ports of 127.0.0.1, for clients and for events as lines of JSON, says where in a line of
// JSON, and serves.
func Serve(h http.Handler, publish func(Event), modules ...string) error {
	events, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := events.Accept()
			if err != nil {
				return
			}
			go read(c, publish)
		}
	}()
	text, err := json.Marshal(map[string]any{
		"url": "http://" + clients.Addr().String() + "/graphql", "publish_url": "tcp://" + events.Addr().String(), "versions": versions(modules),
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", text)
	return http.Serve(clients, h)
}

func read(c net.Conn, publish func(Event)) {
	in := bufio.NewScanner(c)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	for in.Scan() {
		var line struct {
			Data Event `json:"data"`
		}
		if json.Unmarshal(in.Bytes(), &line) == nil {
			publish(line.Data)
		}
	}
}

func versions(modules []string) map[string]string {
	found := map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		for _, wanted := range modules {
			if m.Path == wanted {
				found[wanted] = m.Version
			}
		}
	}
	return found
}

// Broadcast hands events to everyone who listens to their room, or to a range of rooms: a channel per subscriber.
type Broadcast[T any] struct {
	mu     sync.RWMutex
	rooms  map[int]map[*listener[T]]struct{}
	ranges map[*listener[T]]struct{}
}

type listener[T any] struct {
	ctx      context.Context
	out      chan T
	from, to int
}

// queued is how many events may wait for a subscriber. Publishing waits for whoever is behind.
const queued = 1000

// Subscribe returns the events of a room, or of a range of rooms, until ctx ends.
func (b *Broadcast[T]) Subscribe(ctx context.Context, room, from, to *int) <-chan T {
	l := &listener[T]{ctx: ctx, out: make(chan T, queued)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rooms == nil {
		b.rooms, b.ranges = map[int]map[*listener[T]]struct{}{}, map[*listener[T]]struct{}{}
	}
	set := b.ranges
	switch {
	case room != nil:
		if set = b.rooms[*room]; set == nil {
			set = map[*listener[T]]struct{}{}
			b.rooms[*room] = set
		}
	case from != nil && to != nil:
		l.from, l.to = *from, *to
	}
	set[l] = struct{}{}
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(set, l)
		close(l.out)
	})
	return l.out
}

// Publish hands an event of a room to its listeners.
func (b *Broadcast[T]) Publish(room int, event T) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for l := range b.rooms[room] {
		l.send(event)
	}
	for l := range b.ranges {
		if room >= l.from && room <= l.to {
			l.send(event)
		}
	}
}

func (l *listener[T]) send(event T) {
	select {
	case l.out <- event:
	case <-l.ctx.Done():
	}
}

package session

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

func BenchmarkPing(b *testing.B) {
	p := newPlayer(b, Options{})
	ping := []byte(`{"type":"ping"}`)
	var actions []Action
	b.ReportAllocs()
	for b.Loop() {
		actions = p.machine.Receive(actions[:0], ping, &p.tape)
	}
}

// BenchmarkSubscribeComplete is a subscribe and its complete: the machine's share.
func BenchmarkSubscribeComplete(b *testing.B) {
	p := newPlayer(b, Options{})
	p.play(ready)
	subscribe, complete := []byte(subscribeText("1", "subscription { a { n } }")), []byte(completeText("1"))
	var actions []Action
	b.ReportAllocs()
	for b.Loop() {
		actions = p.machine.Receive(actions[:0], subscribe, &p.tape)
		req := actions[0].Request
		actions = p.machine.Receive(actions[:0], complete, &p.tape)
		actions = p.machine.Subscribed(actions[:0], req, Outcome{})
	}
}

// BenchmarkDriverSubscribeComplete is the same with lock, engine and hub.
func BenchmarkDriverSubscribeComplete(b *testing.B) {
	w := newWorld(b)
	p := connect(newHost(b, w, HostConfig{}))
	p.machine.state, p.machine.who = acknowledged, anybody
	keep := connect(p.host)
	keep.machine.state, keep.machine.who = acknowledged, anybody
	subscribe, complete := []byte(subscribeText("1", "subscription { a { n } }")), []byte(completeText("1"))
	keep.Receive(subscribe)
	b.ReportAllocs()
	for b.Loop() {
		p.Receive(subscribe)
		p.Receive(complete)
	}
}

func BenchmarkAppendItem(b *testing.B) {
	var conn queue.Conn
	conn.Init(nobody{}, nil)
	var q queue.Queue
	q.Init(&conn, &queue.Policy{}, []byte("1"), false)
	it := queue.Item{Queue: &q, Message: &queue.Message{Payload: []byte(`{"data":{"order":{"id":"42","status":"open","total":1250}}`)}}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendItem(dst[:0], &it)
	}
}

// TestAllocations holds the messages of an idle or busy connection free of allocations.
func TestAllocations(t *testing.T) {
	p := newPlayer(t, Options{})
	p.play(ready)
	actions := make([]Action, 0, 8)
	for name, message := range map[string]string{
		"ping":                   `{"type":"ping"}`,
		"ping with null payload": `{"type":"ping","payload":null}`,
		"pong":                   `{"type":"pong","payload":{"a":1}}`,
		"unknown complete":       completeText("nobody"),
	} {
		text := []byte(message)
		if n := testing.AllocsPerRun(100, func() { actions = p.machine.Receive(actions[:0], text, &p.tape) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	p.play(subscribe1 + "\nsub 1\n")
	sub, complete := p.subs[1], []byte(completeText("1"))
	if n := testing.AllocsPerRun(100, func() {
		actions = p.machine.Receive(actions[:0], complete, &p.tape)
		p.machine.ops.add(op{key: "1", sub: sub})
	}); n != 0 {
		t.Errorf("complete: %v allocations", n)
	}
	d := connect(newHost(t, newWorld(t), HostConfig{}))
	pong := []byte(`{"type":"pong"}`)
	if n := testing.AllocsPerRun(100, func() { d.Receive(pong) }); n != 0 && !raceEnabled {
		t.Errorf("pong through a driver: %v allocations", n)
	}
}

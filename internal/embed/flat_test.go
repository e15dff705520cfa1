//go:build linux

package embed

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// descriptors counts the open descriptors of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// useEverything makes and ends an engine with everything in it.
func useEverything(t *testing.T, l *Library, i int) {
	h, _, err := l.Open([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	e := l.Engine(h)
	resolver(t, e, "others", 1, false)
	s := subscribe(t, e, "s", users)
	subscribe(t, e, "o", `subscription { others { id } }`)
	box, _, _ := e.Mailbox()
	e.Watch(s.Handle, box, 1)
	publish(t, e, `{"id":1}`)
	sheet := e.Sheet()
	sheet.Add(&Event{Channel: []byte("others"), Type: []byte("t"), Data: []byte("{}")})
	if _, err := sheet.Publish(); err != nil {
		t.Fatal(err)
	}
	endpoint, err := e.Sessions([]byte(`{"anonymous":true}`))
	if err != nil {
		t.Fatal(err)
	}
	session, err := e.OpenSession(endpoint, nil, box, 2)
	if err != nil {
		t.Fatal(err)
	}
	e.SessionReceive(session, []byte(initMessage))
	if i%10 == 0 {
		serve(t, e, `{"anonymous":true}`)
	}
	if err := l.Close(h); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsLeft of engines that have ended: descriptors, words and the heap stay as they are.
func TestNothingIsLeft(t *testing.T) {
	l := New(nil)
	for i := range 20 {
		useEverything(t, l, i)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	fds, words, before := descriptors(t), len(l.words.free)-l.words.head, heap()
	for i := range 200 {
		useEverything(t, l, i)
	}
	if got := descriptors(t); got > fds+2 {
		t.Errorf("%d descriptors, %d before", got, fds)
	}
	if got := len(l.words.free) - l.words.head; got != words {
		t.Errorf("%d free words, %d before", got, words)
	}
	if got := heap(); !raceEnabled && got > before+1<<20 {
		t.Errorf("heap of %d bytes, %d before", got, before)
	}
	for name, used := range map[string]uint32{
		"engines": l.engines.used, "subscriptions": l.subscriptions.used, "connections": l.connections.used, "mailboxes": l.mailboxes.used,
		"calls": l.calls.used, "endpoints": l.sessions.used, "sessions": l.clients.used, "servers": l.servers.used,
	} {
		if used > 4 {
			t.Errorf("%d slots for %s: those of ended engines are not used again", used, name)
		}
	}
}

// TestConnectionsComeAndGo: what comes and goes in a living engine leaves nothing either.
func TestConnectionsComeAndGo(t *testing.T) {
	e := open(t, `{}`)
	for i := range 3000 {
		s, err := e.Subscribe(&Subscription{ConnectionID: fmt.Append(nil, i), SubscriptionID: []byte("s"), Query: []byte(users), Resolver: int64(i)})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, e, `{"id":1}`)
		take(t, e, 1)
		e.CompleteConnection(s.Connection)
	}
	if n := len(e.connections) + len(e.resolvers); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	if n := len(e.lib.words.free) - e.lib.words.head; n > slabBytes/wordSpace {
		t.Errorf("%d words", n)
	}
	if n := e.lib.subscriptions.used; n > 2 {
		t.Errorf("%d slots", n)
	}
}

// TestServersComeAndGo: a server that was stopped leaves nothing in a living engine.
func TestServersComeAndGo(t *testing.T) {
	e := open(t, `{}`)
	once := func() {
		handle, _ := serve(t, e, `{"anonymous":true}`)
		if n, err := e.StopServing(handle, 0); n != 1 || err != nil {
			t.Fatalf("stop: %d, %v", n, err)
		}
	}
	once()
	before := descriptors(t)
	for range 20 {
		once()
	}
	if got := descriptors(t); got > before {
		t.Errorf("%d descriptors, %d before", got, before)
	}
}

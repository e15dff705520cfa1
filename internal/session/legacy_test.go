package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

func newLegacyPlayer(t testing.TB, o Options) *player {
	p := newPlayer(t, o)
	p.machine.options.legacy = true
	return p
}

// legacyLive1 is ready with a live subscription.
const legacyLive1 = ready + `
	> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
	< subscribe 1 subscription {a}
	begin 1
	sub 1
`

var legacyCases = []protocolCase{
	{rule: "start, data by the queue, stop, complete", script: legacyLive1 + `
		> {"type":"stop","id":"1"}
		< complete 1 {"id":"1","type":"complete"}
		> {"type":"stop","id":"1"}
		> {"type":"start","id":"1","payload":{"query":"subscription {b}","variables":{"x":1},"operationName":"B"}}
		< subscribe 1 subscription {b} B {"x":1}`},
	{rule: "stop of what has ended already: the end that is about to be written is the answer", script: legacyLive1 + `
		ending 1
		> {"type":"stop","id":"1"}
		ended 1
		> {"type":"start","id":"1","payload":{"query":"subscription {b}"}}
		< subscribe 1 subscription {b}`},
	{rule: "4401: start without init, which is told", script: `
		> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
		< send {"type":"connection_error","payload":{"message":"Unauthorized"}}
		< close 4401 Unauthorized
		> {"type":"connection_init"}`},
	{rule: "a start waits for the credentials to be judged", script: `
		> {"type":"connection_init","payload":{"authorization":"x"}}
		< authenticate {"authorization":"x"}
		> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
		> {"type":"start","id":"2","payload":{"query":"subscription {b}"}}
		> {"type":"start","id":"3","payload":{"query":"subscription {c}"}}
		> {"type":"stop","id":"2"}
		< send {"id":"2","type":"complete"}
		auth ok
		< send {"type":"connection_ack"}
		< subscribe 1 subscription {a}
		< subscribe 3 subscription {c}
		result 1 {"data":{"a":1}}
		< send {"id":"1","type":"data","payload":{"data":{"a":1}}}
		< send {"id":"1","type":"complete"}`},
	{rule: "an id that was stopped while it waited is free", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
		> {"type":"stop","id":"1"}
		< send {"id":"1","type":"complete"}
		> {"type":"start","id":"1","payload":{"query":"subscription {b}"}}
		auth ok
		< send {"type":"connection_ack"}
		< subscribe 1 subscription {b}`},
	{rule: "nothing that waited is started when the credentials are refused", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
		auth forbidden
		< send {"type":"connection_error","payload":{"message":"Forbidden"}}
		< close 4403 Forbidden
		> {"type":"start","id":"2","payload":{"query":"subscription {a}"}}`},
	{rule: "credentials that cannot be judged", script: `
		> {"type":"connection_init"}
		< authenticate
		auth broken
		< send {"type":"connection_error","payload":{"message":"Authentication is not available, try again later"}}
		< close 1013 Authentication is not available, try again later`},
	{rule: "no init in time", script: `
		timeout
		< close 4408 Connection initialisation timeout`},
	{rule: "two inits", script: ready + `
		> {"type":"connection_init"}
		< send {"type":"connection_error","payload":{"message":"Too many initialisation requests"}}
		< close 4429 Too many initialisation requests`},
	{rule: "an id that is in use is refused and stays", script: legacyLive1 + `
		> {"type":"start","id":"1","payload":{"query":"subscription {b}"}}
		< send {"type":"connection_error","payload":{"message":"Subscriber for 1 already exists"}}
		> {"type":"stop","id":"1"}
		< complete 1 {"id":"1","type":"complete"}`},
	{rule: "also while it waits", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"type":"start","id":"1","payload":{"query":"subscription {a}"}}
		> {"type":"start","id":"1","payload":{"query":"subscription {b}"}}
		< send {"type":"connection_error","payload":{"message":"Subscriber for 1 already exists"}}
		auth ok
		< send {"type":"connection_ack"}
		< subscribe 1 subscription {a}`},
	{rule: "what is no message is told, the connection stays", script: legacyLive1 + `
		> {"type":"ping"}
		< send {"type":"connection_error","payload":{"message":"Unknown message type \"ping\""}}
		> {"type":"subscribe","id":"2","payload":{"query":"{a}"}}
		< send {"type":"connection_error","payload":{"message":"Unknown message type \"subscribe\""}}
		> {"type":"data","id":"1","payload":{}}
		< send {"type":"connection_error","payload":{"message":"Only a server sends messages of type data"}}
		> {"type":"start","payload":{"query":"{a}"}}
		< send {"type":"connection_error","payload":{"message":"A message of type start needs a member \"id\""}}
		> {"type":"start","id":"2"}
		< send {"type":"connection_error","payload":{"message":"A message of type start needs a member \"payload\""}}
		> {"type":"start","id":"2","payload":{"query":1}}
		< send {"type":"connection_error","payload":{"message":"The query of start must be a string, not a number"}}
		> {"type":"stop"}
		< send {"type":"connection_error","payload":{"message":"A message of type stop needs a member \"id\""}}
		> {"type":"stop","id":"1"}
		< complete 1 {"id":"1","type":"complete"}`},
	{rule: "a refused operation has one error and no complete", script: ready + `
		> {"type":"start","id":"1","payload":{"query":"{a b}"}}
		< subscribe 1 {a b}
		errors 1 [{"message":"no a","extensions":{"code":"X"}},{"message":"no b"}]
		< send {"id":"1","type":"error","payload":{"message":"no a","extensions":{"code":"X"}}}`},
	{rule: "terminate ends everything", script: legacyLive1 + `
		> {"type":"connection_terminate"}
		< close 1000
		< complete 1
		> {"type":"start","id":"2","payload":{"query":"{a}"}}`},
	{rule: "too much is held", options: Options{HeldBytes: 2048}, script: ready + `
		> {"type":"start","id":"1","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< subscribe 1 {b} {"v":"` + longVariables + `"}
		sub 1
		> {"type":"start","id":"2","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< subscribe 2 {b} {"v":"` + longVariables + `"}
		> {"type":"start","id":"3","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< send {"id":"3","type":"error","payload":{"message":"the subscriptions of this connection hold too much, with variables that are too long","extensions":{"code":"LIMIT_EXCEEDED"}}}`},
	{rule: "terminate before init", script: `
		> {"type":"connection_terminate"}
		< close 1000`},
}

func TestLegacyProtocol(t *testing.T) {
	for _, c := range legacyCases {
		t.Run(c.rule, func(t *testing.T) {
			p := newLegacyPlayer(t, c.options)
			p.play(c.script)
			p.machine.Closed(nil)
			if n := p.machine.options.early.Load(); n != 0 {
				t.Errorf("%d KiB still wait", n)
			}
		})
	}
}

// What waits for credentials is bounded, for one connection and for all.
// What is no message is not sent back at length.
func TestLegacyErrorsAreShort(t *testing.T) {
	p := newLegacyPlayer(t, Options{})
	actions := p.machine.Receive(nil, []byte(`{"type":"`+strings.Repeat("\x7f", 60_000)+`"}`), &p.tape)
	if len(actions) != 1 || len(actions[0].Data) > 1000 {
		t.Errorf("%d actions, the first with %d bytes", len(actions), len(actions[0].Data))
	}
}

func TestLegacyEarlyIsBounded(t *testing.T) {
	start := func(id int) []byte {
		return fmt.Appendf(nil, `{"type":"start","id":"%d","payload":{"query":"%s"}}`, id, strings.Repeat(" ", 60<<10))
	}
	o := NewOptions(Options{})
	o.legacy = true
	total := 0
	for range 4 * earlySumKiB / earlyKiB {
		p := newPlayer(t, Options{})
		p.machine.Init(o)
		p.machine.Receive(nil, []byte(initText), &p.tape)
		refused := 0
		for id := range 8 {
			got := p.machine.Receive(nil, start(id), &p.tape)
			if refused += len(got); len(got) > 0 && !strings.Contains(string(got[0].Data), `"RATE_LIMITED"`) {
				t.Fatalf("refused by %s", got[0].Data)
			}
		}
		if p.machine.Operations() > earlyKiB/60 || p.machine.Operations()+refused != 8 {
			t.Fatalf("%d wait, %d are refused", p.machine.Operations(), refused)
		}
		total += p.machine.Operations() * 61
	}
	if total > earlySumKiB || o.early.Load() > earlySumKiB {
		t.Errorf("%d KiB wait", total)
	}
	p := newLegacyPlayer(t, Options{Subscriptions: 2})
	p.play(`
		> {"type":"connection_init"}
		< authenticate
		> {"type":"start","id":"1","payload":{"query":"{a}"}}
		> {"type":"start","id":"2","payload":{"query":"{a}"}}
		> {"type":"start","id":"3","payload":{"query":"{a}"}}
		< send {"id":"3","type":"error","payload":{"message":"this connection has as many subscriptions as it may have","extensions":{"code":"TOO_MANY_SUBSCRIPTIONS"}}}`)
}

func TestLegacyFraming(t *testing.T) {
	var q queue.Queue
	var conn queue.Conn
	conn.Init(nobody{}, nil)
	q.Init(&conn, &queue.Policy{}, []byte("7"), false)
	for _, c := range []struct {
		m    *queue.Message
		want string
	}{
		{&queue.Message{Payload: []byte(`{"data":{"a":1}`)}, `{"id":"7","type":"data","payload":{"data":{"a":1}}}`},
		{&queue.Message{End: true}, `{"id":"7","type":"complete"}`},
		{&queue.Message{End: true, Payload: []byte(`[{"message":"m"}]`)}, `{"id":"7","type":"error","payload":{"message":"the subscription was ended","errors":[{"message":"m"}]}}`},
	} {
		it := &queue.Item{Queue: &q, Message: c.m}
		got := AppendLegacySuffix(append(AppendLegacyPrefix(nil, it), c.m.Payload...), it)
		if string(got) != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// A whole conversation over a driver: what stop answers comes after everything of its subscription.
func TestLegacyDriver(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		p.SpeakLegacy()
		if !p.Legacy() {
			t.Error("not legacy")
		}
		p.send(initText, `{"type":"start","id":"1","payload":{"query":"subscription {a}"}}`)
		p.expect(t, ackReply)
		w.publish("a", 1)
		p.send(`{"type":"stop","id":"1"}`)
		p.expect(t, `{"id":"1","type":"complete"}`)
		if n := w.subscriptions(); n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// FuzzLegacy is FuzzWire in the legacy protocol, with credentials that are judged late.
func FuzzLegacy(f *testing.F) {
	for _, c := range legacyCases {
		f.Add(wireOf(c.script))
		f.Add(append(wireOf(c.script), "a\nb\ns\nq\n"...))
	}
	f.Add([]byte(`{"type":"connection_init"}` + "\n" + `{"type":"start","id":"1","payload":{"query":"{a}"}}` + "\na\ns\n" + `{"type":"stop","id":"1"}` + "\n"))
	f.Add([]byte(`{"type":"connection_init"}` + "\n" + `{"type":"start","id":"1","payload":{"query":"{a}"}}` + "\nf\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		p := newLegacyPlayer(t, Options{Subscriptions: 12, EchoBytes: 64})
		playWire(p, wire)
		if n := p.machine.options.early.Load(); n != 0 {
			t.Fatalf("%d KiB still wait", n)
		}
	})
}

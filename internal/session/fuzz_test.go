package session

import (
	"bytes"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// FuzzWire plays any sequence of messages, one a line, against a machine; a line of one letter is something that
// happens on the server's side, the answer to the oldest subscribe for example. Nothing panics, every action is
// legal, and in the end every subscription has been completed once.
func FuzzWire(f *testing.F) {
	for _, group := range [][]protocolCase{initCases, pingCases, subscribeCases, queryCases, completeCases, closeCases} {
		for _, c := range group {
			f.Add(wireOf(c.script))
		}
	}
	for _, m := range malformed {
		if len(m.message) < 1000 {
			f.Add([]byte(`{"type":"connection_init"}` + "\n" + m.message))
		}
	}
	subscribes := func(n int) (wire []byte) {
		wire = []byte(`{"type":"connection_init"}` + "\n")
		for i := range n {
			wire = append(append(wire, subscribeText(string(rune('a'+i)), "{a}")...), '\n')
		}
		return wire
	}
	f.Add(append(subscribes(3), "s\nb\nq\ne\nx\n"...))
	f.Add(append(subscribes(14), "s\ns\ns\ns\ns\ns\ns\ns\ns\ns\ne\ne\nb\nr\n"...))
	f.Add(append(subscribes(2), completeText("a")+"\n"+subscribeText("a", "{b}")+"\ns\nb\ns\n"...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		playWire(newPlayer(t, Options{Subscriptions: 12, EchoBytes: 64}), wire)
	})
}

func playWire(p *player, wire []byte) {
	w := &wireWorld{player: p}
	for line := range bytes.SplitSeq(wire, []byte("\n")) {
		w.line(line)
	}
	w.end()
}

// wireOf returns the messages of a script.
func wireOf(script string) []byte {
	var wire []byte
	for line := range bytes.Lines([]byte(script)) {
		if message, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("> ")); ok {
			wire = append(append(wire, message...), '\n')
		}
	}
	return wire
}

// wireWorld is a machine and an engine for fuzzing.
type wireWorld struct {
	*player
	waiting []*Request // subscribes that are not answered yet
	live    []*hub.Subscription
}

func (w *wireWorld) line(line []byte) {
	if len(line) == 1 {
		w.event(line[0])
		return
	}
	w.apply(line, w.machine.Receive(nil, line, &w.tape))
}

// event is something that happens on the server's side.
func (w *wireWorld) event(letter byte) {
	m := &w.machine
	switch letter {
	case 'a':
		w.apply(nil, w.authenticated("ok", ""))
	case 'f':
		w.apply(nil, w.authenticated("forbidden", ""))
	case 't':
		w.apply(nil, m.Timeout(nil))
	case 'e':
		if n := len(w.live); n > 0 {
			m.Ended(&w.live[n-1].Queue)
			m.Written(&w.live[n-1].Queue)
			w.complete(w.live[n-1])
		}
	case 'p': // its end is not written before something else happens
		if n := len(w.live); n > 0 {
			m.Ended(&w.live[n-1].Queue)
		}
	case 'x':
		w.apply(nil, m.Shut(nil, 1012, "restart"))
	case 'q':
		w.answer(func(*Request) Outcome { return Outcome{Result: []byte(`{"data":{}}`)} })
	case 'r':
		w.answer(func(*Request) Outcome { return Outcome{Errors: []byte(`[{"message":"m"}]`)} })
	case 'b':
		w.answer(w.begin)
	case 's':
		w.answer(w.subscription)
	}
}

// answer gives the oldest waiting subscribe its outcome.
func (w *wireWorld) answer(outcome func(*Request) Outcome) {
	if len(w.waiting) == 0 {
		return
	}
	req := w.waiting[0]
	w.waiting = w.waiting[1:]
	w.apply(nil, w.machine.Subscribed(nil, req, outcome(req)))
}

func (w *wireWorld) subscription(req *Request) Outcome {
	s := &hub.Subscription{}
	s.Init(&w.conn, &queue.Policy{}, req.EscapedID, false)
	w.live = append(w.live, s)
	return Outcome{Subscription: s}
}

func (w *wireWorld) begin(req *Request) Outcome {
	out := w.subscription(req)
	if !w.machine.Begin(req, out.Subscription) {
		w.complete(out.Subscription)
		return Outcome{}
	}
	return out
}

func (w *wireWorld) apply(message []byte, actions []Action) {
	checkLegal(w.t, w.player, message, actions)
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case Authenticate:
			if w.machine.options.legacy { // later, by an event
				continue
			}
			w.apply(message, w.authenticated("ok", ""))
		case Subscribe:
			w.waiting = append(w.waiting, a.Request)
		case Complete:
			w.complete(a.Subscription)
		}
	}
	if n := w.machine.Operations(); n > 12 {
		w.t.Fatalf("%d operations", n)
	}
}

func (w *wireWorld) complete(s *hub.Subscription) {
	for i, l := range w.live {
		if l == s {
			w.live = append(w.live[:i], w.live[i+1:]...)
			return
		}
	}
	w.t.Fatal("a subscription is completed twice, or is none")
}

// end closes the connection, then lets the last results come in.
func (w *wireWorld) end() {
	w.apply(nil, w.machine.Closed(nil))
	for len(w.waiting) > 0 {
		w.event('s')
	}
	if n := w.machine.waiting; n != 0 {
		w.t.Fatalf("%d KiB are still being prepared", n)
	}
	if len(w.live) > 0 {
		w.t.Fatalf("%d subscriptions are never completed", len(w.live))
	}
}

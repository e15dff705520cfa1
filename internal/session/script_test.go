package session

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// player plays a script against a Machine. A script is lines of inputs, each followed by the actions that it
// must have, which begin with "<". Inputs:
//
//	> TEXT              a message of the client
//	auth ok [ACK]       Authenticated, with the payload of connection_ack
//	auth forbidden      Authenticated with ErrForbidden; auth broken: with another error
//	begin N             Begin for request N with subscription N; must succeed ("begin N refused": must not)
//	sub N               Subscribed: request N has subscription N
//	result N JSON       Subscribed: request N is answered by a result
//	errors N JSON       Subscribed: request N is refused
//	nothing N           Subscribed with the zero Outcome
//	ended N             the End of subscription N is being written
//	refresh ROLE        Refreshed with the same user; refresh other: with another one; forbidden, broken: as auth
//	confirm SECONDS     Confirm
//	timeout, closed, shut CODE REASON
//
// Requests are numbered from 1 in the order of their actions. Actions:
//
//	< send TEXT
//	< close CODE REASON
//	< authenticate [PAYLOAD]
//	< subscribe ID QUERY [operationName] [variables] [extensions]
//	< complete N [TEXT that is sent after it]
//	< refresh PAYLOAD
//	< readmit N
type player struct {
	t        testing.TB
	machine  Machine
	tape     jsontape.Tape
	conn     queue.Conn
	requests []*Request
	subs     map[int]*hub.Subscription
	left     int // Leave actions: not in scripts
	policy   queue.Policy
}

type nobody struct{}

func (nobody) Wake(*queue.Queue) {}

func newPlayer(t testing.TB, o Options) *player {
	p := &player{t: t, subs: map[int]*hub.Subscription{}}
	p.machine.Init(NewOptions(o))
	p.conn.Init(nobody{}, nil)
	return p
}

// play runs a script and reports the first line that does not hold.
func (p *player) play(script string) {
	p.t.Helper()
	var pending []string
	last := ""
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "<"):
			if len(pending) == 0 {
				p.t.Fatalf("after %q: want %q, got nothing", last, line)
			}
			if want := strings.TrimSpace(line[1:]); pending[0] != want {
				p.t.Fatalf("after %q:\nwant %s\n got %s", last, want, pending[0])
			}
			pending = pending[1:]
			continue
		}
		if len(pending) > 0 {
			p.t.Fatalf("after %q: unexpected %q", last, pending)
		}
		pending, last = p.render(p.input(line)), line
	}
	if len(pending) > 0 {
		p.t.Fatalf("after %q: unexpected %q", last, pending)
	}
}

func (p *player) input(line string) []Action {
	p.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	first, more, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(first)
	m := &p.machine
	switch verb {
	case ">":
		return m.Receive(nil, []byte(rest), &p.tape)
	case "auth":
		return p.authenticated(first, more)
	case "begin":
		if got := m.Begin(p.request(n), p.sub(n)); got != (more != "refused") {
			p.t.Fatalf("%q: got %v", line, got)
		}
		return nil
	case "sub":
		return m.Subscribed(nil, p.request(n), Outcome{Subscription: p.sub(n)})
	case "result":
		return m.Subscribed(nil, p.request(n), Outcome{Result: []byte(more)})
	case "errors":
		return m.Subscribed(nil, p.request(n), Outcome{Errors: []byte(more)})
	case "nothing":
		return m.Subscribed(nil, p.request(n), Outcome{})
	case "ending":
		m.Ended(&p.sub(n).Queue)
		return nil
	case "ended":
		m.Ended(&p.sub(n).Queue)
		m.Written(&p.sub(n).Queue)
		return nil
	case "refresh":
		return p.refreshed(first)
	case "confirm":
		return m.Confirm(nil, time.Duration(n)*time.Second)
	case "timeout":
		return m.Timeout(nil)
	case "closed":
		return m.Closed(nil)
	case "shut":
		return m.Shut(nil, uint16(n), more)
	}
	p.t.Fatalf("unknown input %q", line)
	return nil
}

func (p *player) authenticated(how, ack string) []Action {
	switch how {
	case "ok":
		var payload []byte
		if ack != "" {
			payload = []byte(ack)
		}
		return p.machine.Authenticated(nil, &identity.Identity{UserID: "u"}, payload, nil)
	case "forbidden":
		return p.machine.Authenticated(nil, nil, nil, fmt.Errorf("token: %w", ErrForbidden))
	default:
		return p.machine.Authenticated(nil, nil, nil, errors.New("secret detail"))
	}
}

func (p *player) refreshed(how string) []Action {
	switch how {
	case "other":
		return p.machine.Refreshed(nil, &identity.Identity{UserID: "v"}, nil)
	case "forbidden":
		return p.machine.Refreshed(nil, nil, ErrForbidden)
	case "broken":
		return p.machine.Refreshed(nil, nil, errors.New("secret detail"))
	}
	return p.machine.Refreshed(nil, &identity.Identity{UserID: "u", Roles: []string{how}}, nil)
}

func (p *player) request(n int) *Request {
	p.t.Helper()
	if n < 1 || n > len(p.requests) {
		p.t.Fatalf("there is no request %d", n)
	}
	return p.requests[n-1]
}

func (p *player) sub(n int) *hub.Subscription {
	if p.subs[n] == nil {
		s := &hub.Subscription{}
		s.Init(&p.conn, &p.policy, p.request(n).EscapedID, false)
		p.subs[n] = s
	}
	return p.subs[n]
}

func (p *player) render(actions []Action) []string {
	lines := make([]string, 0, len(actions))
	for i := range actions {
		a := &actions[i]
		var line string
		switch a.Kind {
		case Send, Pong:
			line = "send " + string(a.Data)
		case Close:
			line = fmt.Sprintf("close %d %s", a.Code, a.Data)
		case Authenticate:
			line = "authenticate " + string(a.Data)
		case Subscribe:
			p.requests = append(p.requests, a.Request)
			r := a.Request
			line = fmt.Sprintf("subscribe %s %s %s %s %s", r.ID, r.Query, r.OperationName, r.Variables, r.Extensions)
			if a.Identity != p.machine.who || a.Identity == nil {
				p.t.Error("subscribe without the identity of the connection")
			}
		case Complete:
			line = "complete " + p.number(a.Subscription) + " " + string(a.Data)
		case Leave:
			if p.left++; a.Identity == nil || p.left > 1 {
				p.t.Errorf("leave %d of %v", p.left, a.Identity)
			}
			continue
		case Readmit:
			line = "readmit " + p.number(a.Subscription)
		case Refresh:
			line = "refresh " + string(a.Data)
		case Retract:
			line = "retract " + string(a.Data)
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func (p *player) number(sub *hub.Subscription) string {
	for n, s := range p.subs {
		if s == sub {
			return strconv.Itoa(n)
		}
	}
	return "?"
}

// ready is the beginning of most scripts.
const ready = `
	> {"type":"connection_init"}
	< authenticate
	auth ok
	< send {"type":"connection_ack"}
`

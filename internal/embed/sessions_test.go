//go:build linux

package embed

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// client is a session of a test with its mailbox.
type client struct {
	t       testing.TB
	e       *Engine
	session int64
	box     int64
	fd      int
}

// connect opens a session with a token of 9.
func connect(t testing.TB, e *Engine, config, request string) *client {
	t.Helper()
	endpoint, err := e.Sessions([]byte(config))
	if err != nil {
		t.Fatalf("sessions: %s", AppendError(nil, err))
	}
	c := &client{t: t, e: e}
	if c.box, c.fd, err = e.Mailbox(); err != nil {
		t.Fatal(err)
	}
	if c.session, err = e.OpenSession(endpoint, []byte(request), c.box, 9); err != nil || c.session <= 0 {
		t.Fatalf("open: %d, %v", c.session, err)
	}
	return c
}

func (c *client) send(messages ...string) {
	c.t.Helper()
	for _, m := range messages {
		if n := c.e.SessionReceive(c.session, []byte(m)); n != 0 {
			c.t.Fatalf("receive: %d", n)
		}
	}
}

// take returns what is to be sent now: messages, and closes as "code reason".
func (c *client) take() (list []string) {
	c.t.Helper()
	for {
		text, n := c.e.SessionTake(nil, c.session, 0)
		if n < 0 {
			c.t.Fatalf("take: %d", n)
		}
		if n == 0 {
			return list
		}
		for len(text) > 0 {
			kind, code, length := binary.NativeEndian.Uint32(text), binary.NativeEndian.Uint32(text[4:]), binary.NativeEndian.Uint32(text[8:])
			data := string(text[12 : 12+length])
			if kind == 1 {
				data = fmt.Sprint(code, " ", data)
			}
			list = append(list, data)
			text = text[12+length:]
		}
	}
}

// await waits until something is to be sent, which the mailbox tells.
func (c *client) await() []string {
	c.t.Helper()
	for {
		if list := c.take(); len(list) > 0 {
			return list
		}
		if !readable(c.t, c.fd, patience) {
			c.t.Fatal("nothing comes")
		}
		tokens := make([]int64, 4)
		for _, token := range tokens[:c.e.MailboxTake(c.box, tokens)] {
			if token != 9 {
				c.t.Errorf("token %d", token)
			}
		}
	}
}

const initMessage = `{"type":"connection_init","payload":{"x":1}}`

func TestSessionWithoutAuthentication(t *testing.T) {
	e := open(t, `{}`)
	c := connect(t, e, `{"anonymous":true,"init_timeout":30,"ping_interval":0,"pong_timeout":3,"message_bytes":100000,"max_connections":5,"origins":[],"cookie":"c"}`, ``)
	c.send(initMessage)
	if got := c.await(); len(got) != 1 || got[0] != `{"type":"connection_ack"}` {
		t.Fatalf("got %q", got)
	}
	c.send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { users { id } }"}}`, `{"type":"ping"}`)
	if got := c.await(); len(got) != 1 || got[0] != `{"type":"pong"}` {
		t.Fatalf("got %q", got)
	}
	for publish(t, e, `{"id":7}`) == 0 { // the document is compiled elsewhere
	}
	if got := c.await(); got[0] != `{"id":"1","type":"next","payload":{"data":{"users":{"id":7}}}}` {
		t.Fatalf("got %q", got)
	}
	c.take()
	if n, err := e.SessionShut(c.session, 4321, []byte("enough")); n != 0 || err != nil {
		t.Errorf("shut: %d, %v", n, err)
	}
	if got := c.await(); got[len(got)-1] != "4321 enough" {
		t.Errorf("got %q", got)
	}
	if e.SessionClose(c.session) != 1 || e.SessionClose(c.session) != 0 {
		t.Error("close")
	}
	if n := publish(t, e, `{"id":8}`); n != 0 {
		t.Errorf("published to %d after the end", n)
	}
	if n := e.SessionReceive(c.session, []byte("{}")); n != Unknown {
		t.Errorf("receive after the end: %d", n)
	}
	if _, err := e.SessionShut(connect(t, e, `{"anonymous":true}`, `{}`).session, 99, nil); err == nil {
		t.Error("close code 99 is accepted")
	}
}

// authenticating waits for the call of a client and returns it.
func authenticating(t testing.TB, e *Engine, box int64, fd int) asked {
	t.Helper()
	if n := e.MailboxCalls(box); n != 0 {
		t.Fatalf("calls to the mailbox: %d", n)
	}
	if !readable(t, fd, patience) {
		t.Fatal("no call comes")
	}
	tokens := make([]int64, 4)
	if n := e.MailboxTake(box, tokens); n != 1 || tokens[0] != TokenCalls {
		t.Errorf("tokens %v", tokens[:n])
	}
	calls := take(t, e, 10)
	if len(calls) != 1 || calls[0].kind != CallAuthenticate {
		t.Fatalf("calls %+v", calls)
	}
	return calls[0]
}

func TestSessionAuthentication(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		kind       int64
		want       string
	}{
		{"accepted", `{"user_id":"u","roles":["admin"]}`, AnswerValue, `{"type":"connection_ack"}`},
		{"refused", "", AnswerRefused, "4403 "},
		{"failed", "", AnswerFailed, "1013 "},
		{"expired", `{"expires_at":1}`, AnswerValue, "4403 "},
	} {
		e := open(t, `{}`)
		request := `{"authorization":"Bearer t","remote_addr":"1.2.3.4:5","path":"/x"}`
		c := connect(t, e, `{"authenticate":true}`, request)
		c.send(initMessage)
		box, fd, _ := e.Mailbox()
		call := authenticating(t, e, box, fd)
		if diff := cmp.Diff(asked{call.id, CallAuthenticate, 9, []string{`{"x":1}`, request}}, call, cmp.AllowUnexported(asked{})); diff != "" {
			t.Errorf("%s: call\n%s", tt.name, diff)
		}
		for _, wrong := range []string{"", "[]", `{"user":1}`, "null"} {
			if _, err := e.Answer(call.id, AnswerValue, []byte(wrong)); err == nil {
				t.Errorf("identity %q is accepted", wrong)
			}
		}
		if _, err := e.Answer(call.id, AnswerSkip, nil); err == nil {
			t.Error("skip is accepted")
		}
		if n := answer(t, e, call.id, tt.kind, tt.text); n != 1 {
			t.Errorf("%s: answer %d", tt.name, n)
		}
		got := c.await()
		if len(got) == 1 && tt.name == "expired" && strings.Contains(got[0], "ack") {
			got = c.await()
		}
		if !strings.HasPrefix(got[len(got)-1], tt.want) {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}

// TestAuthenticationTimesOut: a host that does not answer leaves neither a call nor an open session.
func TestAuthenticationTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, `{}`)
		c := connect(t, e, `{"authenticate":true,"init_timeout":2}`, `{}`)
		c.send(initMessage)
		synctest.Wait()
		call := take(t, e, 1)[0]
		<-time.After(time.Minute)
		synctest.Wait()
		got := c.take()
		if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "1013 ") {
			t.Errorf("got %q", got)
		}
		e.SessionClose(c.session)
		synctest.Wait()
		if n := answer(t, e, call.id, AnswerValue, `{}`); n != 0 {
			t.Errorf("late answer: %d", n)
		}
		if e.queue.auths != (callList{}) {
			t.Error("calls are left")
		}
	})
}

func TestSessionRefusals(t *testing.T) {
	e := open(t, `{}`)
	for config, want := range map[string]string{
		`{}`:                                      "anonymous: nobody could connect",
		`{"anonymous":1}`:                         "anonymous: must be a boolean",
		`{"authenticated":true}`:                  "authenticated: is not known",
		`{"anonymous":true,"origins":["x"]}`:      `origins: "x" is not`,
		`{"anonymous":true,"ping_interval":"x"}`:  "ping_interval: must be a number",
		`{"anonymous":true,"init_timeout":0}`:     "init_timeout: must be more than 0",
		`{"anonymous":true,"port":1}`:             "port: is not known",
		`{"anonymous":true,"max_connections":-1}`: "max_connections: must be between",
	} {
		_, err := e.Sessions([]byte(config))
		if err == nil {
			t.Errorf("%s: accepted", config)
			continue
		}
		if _, texts := codes(t, err); !strings.HasPrefix(texts[0], want) {
			t.Errorf("%s: %q", config, texts)
		}
	}
	endpoint, err := e.Sessions([]byte(`{"anonymous":true,"max_connections":1}`))
	if err != nil {
		t.Fatal(err)
	}
	box, _, _ := e.Mailbox()
	if _, err := e.OpenSession(endpoint, []byte(`{"origin":"https://evil.example","host":"here.example"}`), box, 1); err == nil {
		t.Error("a foreign page is accepted")
	} else if code, _ := codes(t, err); code != "FORBIDDEN" {
		t.Errorf("code %s", code)
	}
	if _, err := e.OpenSession(endpoint, []byte(`{"host":1}`), box, 1); err == nil {
		t.Error("a request with a wrong host is accepted")
	}
	if n, err := e.OpenSession(endpoint, nil, box, 1); n <= 0 || err != nil {
		t.Errorf("open: %d, %v", n, err)
	}
	if _, err := e.OpenSession(endpoint, nil, box, 1); err == nil {
		t.Error("too many are accepted")
	} else if code, _ := codes(t, err); code != "RATE_LIMITED" {
		t.Errorf("code %s", code)
	}
}

// TestSessionsOfManyThreads opens, uses and closes sessions while the engine ends.
func TestSessionsOfManyThreads(t *testing.T) {
	l := New(nil)
	h, _, err := l.Open([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	e := l.Engine(h)
	endpoint, err := e.Sessions([]byte(`{"authenticate":true}`))
	if err != nil {
		t.Fatal(err)
	}
	box, _, _ := e.Mailbox()
	e.MailboxCalls(box)
	var wg sync.WaitGroup
	reached := make(chan struct{})
	var once sync.Once
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				s, err := e.OpenSession(endpoint, nil, box, int64(1+w))
				if err != nil || s < 0 {
					return
				}
				e.SessionReceive(s, []byte(initMessage))
				for _, c := range take(t, e, 10) {
					// The session may be gone, and the call with it.
					_, _ = e.Answer(c.id, AnswerValue, []byte(`{}`))
				}
				e.SessionReceive(s, []byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { users { id } }"}}`))
				e.SessionTake(nil, s, 0)
				if i%2 == 0 {
					e.SessionClose(s)
				}
				if i == 100 {
					once.Do(func() { close(reached) })
				}
			}
		})
	}
	<-reached
	if err := l.Close(h); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if m := e.facade.Metrics(); m.Connections != 0 || m.Subscriptions != 0 {
		t.Errorf("left: %+v", m)
	}
}

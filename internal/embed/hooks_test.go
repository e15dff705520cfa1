//go:build linux

package embed

import (
	"encoding/binary"
	"strings"
	"testing"
)

const hooked = `{"anonymous":true,"ping_interval":0,"hooks":{"on_connect":true,"on_subscribe":true,"on_disconnect":true,"timeout":20,"token":77}}`

// question takes the next call, which must be one of a hook, and returns its number and its text.
func question(t *testing.T, e *Engine) (id int64, text string) {
	t.Helper()
	for {
		calls, n := e.AppendCalls(nil, 1)
		if n == 0 {
			continue
		}
		kind, token := binary.NativeEndian.Uint64(calls[8:]), binary.NativeEndian.Uint64(calls[16:])
		if kind != CallHook || token != 77 {
			t.Fatalf("a call of kind %d with token %d", kind, token)
		}
		size := binary.NativeEndian.Uint32(calls[24:])
		return int64(binary.NativeEndian.Uint64(calls)), string(calls[28 : 28+size])
	}
}

func (e *Engine) mustAnswer(t *testing.T, id, kind int64) {
	t.Helper()
	if n, err := e.Answer(id, kind, nil); n != 1 || err != nil {
		t.Fatalf("answer: %d, %v", n, err)
	}
}

func TestHooksAskTheHost(t *testing.T) {
	e := open(t, `{}`)
	c := connect(t, e, hooked, `{}`)
	c.send(`{"type":"connection_init"}`)
	id, text := question(t, e)
	if want := `{"hook":"connect","identity":{"roles":[],"scopes":[]}}`; text != want {
		t.Errorf("asked %s", text)
	}
	if _, err := e.Answer(id, AnswerSkip, nil); err == nil {
		t.Error("a skip is an answer")
	}
	e.mustAnswer(t, id, AnswerValue)
	if got := c.await(); got[0] != `{"type":"connection_ack"}` {
		t.Fatalf("got %q", got)
	}
	for _, kind := range []int64{AnswerRefused, AnswerFailed} {
		c.send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { users { id } }","variables":{"a":[1]}}}`)
		id, text = question(t, e)
		if want := `,"channel":"users","field":"users","query":"subscription { users { id } }","variables":{"a":[1]}}`; !strings.HasSuffix(text, want) {
			t.Errorf("asked %s", text)
		}
		e.mustAnswer(t, id, kind)
		if got, want := c.await()[0], []string{1: "FORBIDDEN", 0: "INTERNAL_SERVER_ERROR"}[kind&1]; !strings.Contains(got, want) {
			t.Errorf("after %d: %s", kind, got)
		}
	}
	e.SessionClose(c.session)
	id, text = question(t, e)
	if !strings.HasPrefix(text, `{"hook":"disconnect"`) {
		t.Errorf("asked %s", text)
	}
	e.mustAnswer(t, id, AnswerValue)
}

// Refused at connect: 4403. No judgement, or no answer in time: 1013. What comes later counts no more.
func TestHooksFailClosed(t *testing.T) {
	e := open(t, `{}`)
	for answer, want := range map[int64]string{AnswerRefused: "4403 Forbidden", AnswerFailed: "1013 A hook of the server could not judge the connection, try again later"} {
		c := connect(t, e, hooked, `{}`)
		c.send(`{"type":"connection_init"}`)
		id, _ := question(t, e)
		e.mustAnswer(t, id, answer)
		if got := c.await(); got[0] != want {
			t.Errorf("%d: %q", answer, got)
		}
	}
	c := connect(t, e, strings.Replace(hooked, `"timeout":20`, `"timeout":0.01`, 1), `{}`)
	c.send(`{"type":"connection_init"}`)
	if got := c.await(); !strings.HasPrefix(got[0], "1013 ") {
		t.Errorf("without an answer: %q", got)
	}
}

// The legacy protocol is spoken with whoever says so, where it is on.
func TestLegacySessions(t *testing.T) {
	e := open(t, `{}`)
	c := connect(t, e, `{"anonymous":true,"legacy_graphql_ws":true,"ping_interval":30}`, `{"legacy":true}`)
	c.send(`{"type":"connection_init"}`)
	if got := c.await(); got[0] != `{"type":"connection_ack"}` {
		t.Fatalf("got %q", got)
	}
	c.send(`{"id":"1","type":"start","payload":{"query":"subscription { users { id } }"}}`)
	for publish(t, e, `{"id":7}`) == 0 { // the document is compiled elsewhere
	}
	for {
		if got := c.await(); got[len(got)-1] == `{"id":"1","type":"data","payload":{"data":{"users":{"id":7}}}}` {
			break
		}
	}
	off, err := e.Sessions([]byte(`{"anonymous":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.OpenSession(off, []byte(`{"legacy":true}`), c.box, 9); err == nil {
		t.Error("it is spoken where it is off")
	}
}

//go:build linux

package embed

import (
	"strings"
	"testing"
)

const streamRequest = `{"method":"POST","path":"/graphql","query":"","host":"app.example","headers":["content-type","application/json","accept","text/event-stream"]}`

// hear takes pieces until they hold a text.
func (c *client) hear(text string) string {
	c.t.Helper()
	all := ""
	for !strings.Contains(all, text) {
		all += strings.Join(c.await(), "\x00")
	}
	return all
}

// An HTTP request is a session: its body is the one message, what is taken are head, body and end.
func TestExchange(t *testing.T) {
	e := open(t, `{}`)
	c := connect(t, e, `{"anonymous":true}`, streamRequest)
	if got := c.take(); got != nil {
		t.Errorf("before the body: %q", got)
	}
	c.send(`{"query":"subscription { users { id } }"}`, `ignored`)
	if head := c.hear(":\n\n"); !strings.Contains(head, `["Content-Type","text/event-stream; charset=utf-8"]`) {
		t.Errorf("head %q", head)
	}
	for publish(t, e, `{"id":7}`) == 0 {
	}
	c.hear("event: next\ndata: {\"data\":{\"users\":{\"id\":7}}}\n\n")
	if n, err := e.SessionShut(c.session, 1012, nil); n != 0 || err != nil {
		t.Errorf("shut: %d, %v", n, err)
	}
	c.hear("1001 ")
	if e.SessionClose(c.session) != 1 {
		t.Error("close")
	}
	if n := publish(t, e, `{"id":8}`); n != 0 {
		t.Errorf("published to %d after the end", n)
	}
}

func TestExchangeAnswer(t *testing.T) {
	e := open(t, `{}`)
	c := connect(t, e, `{"anonymous":true}`, strings.Replace(streamRequest, "text/event-stream", "application/json", 1))
	c.send(`{"query":"{ __typename }"}`)
	if got := c.hear("1000 "); !strings.Contains(got, `{"data":{"__typename":"Query"}}`) {
		t.Errorf("got %q", got)
	}
	get := connect(t, e, `{"anonymous":true}`, `{"method":"GET","path":"/","query":"query={__typename}","headers":[]}`)
	get.send("")
	get.hear("1000 ")
	stopped := connect(t, e, `{"anonymous":true}`, streamRequest)
	if n, err := e.SessionShut(stopped.session, 1012, nil); n != 0 || err != nil {
		t.Errorf("shut: %d, %v", n, err)
	}
	stopped.hear("1001 ")
}

func TestExchangeRefusals(t *testing.T) {
	e := open(t, `{}`)
	endpoint, err := e.Sessions([]byte(`{"anonymous":true}`))
	if err != nil {
		t.Fatal(err)
	}
	box, _, err := e.Mailbox()
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{`{"method":"GET","headers":["a"]}`, `{"method":1}`, `{"method":"GET","headers":[1]}`} {
		if _, err := e.OpenSession(endpoint, []byte(request), box, 9); err == nil {
			t.Errorf("%s is accepted", request)
		}
	}
}

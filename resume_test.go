package fraiseql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// message is what a subscriber that resumes reads.
type message struct {
	Type    string
	Payload struct {
		Data       json.RawMessage
		Extensions struct {
			Cursor    string
			Recovered *bool
			Dropped   int
		}
	}
}

// read takes the messages that wait.
func read(t testing.TB, s *fraiseql.Subscription) (list []message) {
	t.Helper()
	for {
		text, ok, err := s.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

// resumed registers a subscription that resumes; cursor "" begins now.
func resumed(t testing.TB, e *fraiseql.Engine, query, cursor string, who fraiseql.Identity) *fraiseql.Subscription {
	t.Helper()
	extensions := `{"resume":true}`
	if cursor != "" {
		extensions = fmt.Sprintf(`{"resume":%q}`, cursor)
	}
	n++
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: fmt.Sprint("resumed", n), SubscriptionID: "s", Query: query, Identity: who, Extensions: []byte(extensions),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var n int

func TestResume(t *testing.T) {
	e := chatEngine(t)
	const query = `subscription { everything { text } }`
	s := resumed(t, e, query, "", fraiseql.Identity{})
	first, _, _ := s.Next(nil)
	if !strings.HasPrefix(string(first), `{"id":"s","type":"next","payload":{"data":null,"extensions":{"cursor":"`) || strings.Contains(string(first), "recovered") {
		t.Errorf("first: %s", first)
	}
	for i := range 3 {
		publish(t, e, "chat", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	text, _, _ := s.Next(nil)
	if !strings.HasPrefix(string(text), `{"id":"s","type":"next","payload":{"data":{"everything":{"text":"0"}},"extensions":{"cursor":"`) {
		t.Errorf("event: %s", text)
	}
	var at message
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	s.Complete()

	list := read(t, resumed(t, e, query, at.Payload.Extensions.Cursor, fraiseql.Identity{}))
	if len(list) != 3 || list[0].Payload.Extensions.Recovered == nil || !*list[0].Payload.Extensions.Recovered {
		t.Fatalf("resumed: %+v", list)
	}
	for i, m := range list[1:] {
		if want := fmt.Sprintf(`{"everything":{"text":"%d"}}`, i+1); string(m.Payload.Data) != want || m.Payload.Extensions.Cursor == "" {
			t.Errorf("event %d: %s", i+1, m.Payload.Data)
		}
	}
}

// A cursor that means nothing here, or too little, is no error: recovered is false, and live events follow.
func TestResumeFromNowhere(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{ResumeEvents: 3}})
	other := newEngine(t, fraiseql.Config{})
	cursorOf := func(e *fraiseql.Engine, channel string) string {
		s := resumed(t, e, `subscription { `+channel+` { n } }`, "", fraiseql.Identity{})
		defer s.Complete()
		publish(t, e, channel, `{"n":1}`)
		list := read(t, s)
		return list[len(list)-1].Payload.Extensions.Cursor
	}
	own := cursorOf(e, "x")
	for range 4 {
		publish(t, e, "x", `{"n":2}`)
	}
	for name, cursor := range map[string]string{
		"of another bus": cursorOf(other, "x"), "of another channel": cursorOf(e, "y"), "garbled": own[:len(own)-3] + "AAA", "no cursor": "?",
		"too long": strings.Repeat("A", 100_000), "more than may be missed": own,
	} {
		s := resumed(t, e, `subscription { x { n } }`, cursor, fraiseql.Identity{})
		publish(t, e, "x", `{"n":3}`)
		list := read(t, s)
		if len(list) != 2 || list[0].Payload.Extensions.Recovered == nil || *list[0].Payload.Extensions.Recovered || string(list[1].Payload.Data) != `{"x":{"n":3}}` {
			t.Errorf("%s: %+v", name, list)
		}
		s.Complete()
	}
}

func TestResumeOfAnotherType(t *testing.T) {
	e := chatEngine(t)
	for _, extensions := range []string{`{"resume":1}`, `{"resume":{}}`, `{"resume":[true]}`} {
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { everything { text } }`, Extensions: []byte(extensions)})
		var refused *fraiseql.Error
		if !errors.As(err, &refused) || refused.Code != "BAD_USER_INPUT" {
			t.Errorf("%s: %v", extensions, err)
		}
	}
	for _, extensions := range []string{`{"resume":false}`, `{"resume":null}`, `{}`} {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { everything { text } }`, Extensions: []byte(extensions)})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, e, "chat", `{"text":"x"}`)
		if text, _, _ := s.Next(nil); string(text) != `{"id":"s","type":"next","payload":{"data":{"everything":{"text":"x"}}}}` {
			t.Errorf("%s: %s", extensions, text)
		}
		s.Complete()
	}
}

// A subscription that is live begins again after a cursor, whatever it was before.
func TestResumeALiveSubscription(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{SubscriptionsPerUser: 1}})
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: "s", Query: `subscription($i: ID) { x(i: $i) { n } }`, Variables: []byte(`{"i":"7"}`), Identity: fraiseql.Identity{UserID: "u", TenantID: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	at := read(t, s)[0].Payload.Extensions.Cursor
	for i := range 4 {
		publish(t, e, "x", fmt.Sprintf(`{"i":7,"n":%d}`, i))
		publish(t, e, "x", fmt.Sprintf(`{"i":8,"n":%d}`, i))
		publish(t, e, "x", fmt.Sprintf(`{"i":7,"n":%d,"tenant_id":"b"}`, i))
	}
	if list := read(t, s); len(list) != 4 {
		t.Errorf("%d messages", len(list))
	}
	for range 2 {
		if err := s.Resume(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		list := read(t, s)
		if len(list) != 5 || list[0].Payload.Extensions.Recovered == nil || !*list[0].Payload.Extensions.Recovered {
			t.Fatalf("%d messages: %+v", len(list), list)
		}
		for i, m := range list[1:] {
			if string(m.Payload.Data) != fmt.Sprintf(`{"x":{"n":%d}}`, i) {
				t.Errorf("event %d: %s", i, m.Payload.Data)
			}
		}
	}
	if st := e.Stats(); st.Subscriptions != 1 || st.Connections != 1 || s.Waiting() {
		t.Errorf("%+v, waiting %v", st, s.Waiting())
	}
	publish(t, e, "x", `{"i":7,"n":9}`)
	if n := e.Take("c", 10, func(*fraiseql.Subscription, []byte) {}); n != 1 {
		t.Errorf("%d taken", n)
	}
	s.Complete()
	if err := s.Resume(t.Context(), at); !errors.Is(err, fraiseql.ErrEnded) {
		t.Errorf("after its end: %v", err)
	}
	if st := e.Stats(); st.Subscriptions != 0 {
		t.Errorf("left: %+v", st)
	}
}

// Resume, Complete and Next at the same time: nothing is left over.
func TestResumeWhileItEnds(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	for i := range 200 {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: fmt.Sprint(i), SubscriptionID: "s", Query: `subscription { x { n } }`})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		go func() { done <- s.Resume(t.Context(), "") }()
		go func() {
			if i%2 == 0 {
				s.Complete()
			} else {
				e.CompleteConnection(fmt.Sprint(i))
			}
			done <- nil
		}()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, fraiseql.ErrEnded) {
				t.Fatal(err)
			}
		}
		e.CompleteConnection(fmt.Sprint(i))
	}
	if st := e.Stats(); st.Subscriptions != 0 || st.Channels != 0 || st.Connections != 0 {
		t.Errorf("left: %+v", st)
	}
}

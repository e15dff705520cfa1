package natsbus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestTokens(t *testing.T) {
	for channel, want := range map[string]string{
		"orders": "orders", "a.b": "a%2Eb", "..": "%2E%2E", "%2E": "%252E", "*>": "%2A%3E", "$control": "$control", "$node/1": "$node/1", "é b\x7f": "é%20b%7F",
	} {
		if got := token(channel); got != want {
			t.Errorf("%q: %q, want %q", channel, got, want)
		}
	}
	for _, bad := range []string{"", "a.b", "%", "%2", "%zz", "%2e", "%41", "a b", "*"} {
		if got, ok := untoken(bad); ok {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		channel := rapid.StringN(1, 64, 255).Draw(t, "channel")
		tok := token(channel)
		if back, ok := untoken(tok); !ok || back != channel {
			t.Fatalf("%q became %q became %q", channel, tok, back)
		}
		if strings.ContainsAny(tok, ".*> \t\r\n\x00") {
			t.Fatalf("%q has the token %q", channel, tok)
		}
	})
}

// TestEventsGoThroughHeaders sends events of any content through the form that a server would store.
func TestEventsGoThroughHeaders(t *testing.T) {
	name := rapid.StringN(1, 40, 200).Filter(func(s string) bool { return event.ValidateType(s) == nil })
	address := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[ -~é%]{1,40}`))
	rapid.Check(t, func(t *rapid.T) {
		sent := event.Event{
			Channel: "c", Type: name.Draw(t, "type"), ID: name.Draw(t, "id"), FederationID: address.Draw(t, "federation"), ServiceName: address.Draw(t, "service"),
			Timestamp: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(), Data: []byte("{}"),
		}
		if sent.Broadcast = rapid.Bool().Draw(t, "broadcast"); !sent.Broadcast {
			sent.TenantID, sent.UserID = address.Draw(t, "tenant"), address.Draw(t, "user")
		}
		m := encode(&sent, "fraiseql.c", time.Time{})
		for name, values := range m.Header {
			if v := values[0]; strings.ContainsAny(v, "\r\n\x00") || v != strings.TrimSpace(v) && v != "" {
				t.Fatalf("header %s: %q", name, v)
			}
		}
		got, err := decode(m, "c", time.Time{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("created", "1", "2026-01-02T03:04:05Z", "acme", "true", "1", []byte("{}"))
	f.Add("%41%", "", "", "%0A", "maybe", "2", []byte(""))
	f.Fuzz(func(t *testing.T, kind, id, at, tenant, broadcast, version string, data []byte) {
		m := &nats.Msg{Data: data, Header: nats.Header{
			headerType: {kind}, headerID: {id}, headerTime: {at}, headerTenant: {tenant}, headerBroadcast: {broadcast}, headerVersion: {version},
		}}
		e, err := decode(m, "c", time.Unix(1, 0), func() string { return "made" })
		if err == nil {
			if bad := e.Validate(); bad != nil {
				t.Errorf("%+v: %v", e, bad)
			}
		}
	})
}

// TestOtherProgramsPublish publishes as `nats pub` does: a subject, a payload, headers.
func TestOtherProgramsPublish(t *testing.T) {
	server := testkit.StartNATS(t)
	for _, mode := range []string{"jetstream", "core"} {
		t.Run(mode, func(t *testing.T) {
			prefix := freshPrefix()
			b := open(t, server.URL("prefix="+prefix+"&mode="+mode), bus.Options{})
			k := attach(t, b, "or.ders")
			nc, _ := plain(t, server.Addr)
			send := func(header nats.Header) {
				if err := nc.PublishMsg(&nats.Msg{Subject: prefix + ".or%2Eders", Header: header, Data: []byte(`{"id":17}`)}); err != nil {
					t.Fatal(err)
				}
			}
			before := time.Now().Add(-time.Minute)
			send(nats.Header{"Fraiseql-Type": {"created"}})
			send(nats.Header{"Fraiseql-Type": {"created"}, "Fraiseql-Version": {"2"}})
			send(nats.Header{"Fraiseql-Id": {"no type"}})
			send(nats.Header{"Fraiseql-Type": {"created"}, "Fraiseql-Time": {"yesterday"}})
			for _, name := range []string{"Fraiseql-Tenant", "Fraiseql-User", "Fraiseql-Federation", "Fraiseql-Service"} {
				send(nats.Header{"Fraiseql-Type": {"created"}, name: {""}})
				send(nats.Header{"Fraiseql-Type": {"created"}, name: {"a", "b"}})
			}
			send(nats.Header{
				"Fraiseql-Type": {"paid"}, "Fraiseql-Id": {"i%25d"}, "Fraiseql-Version": {"1"}, "Fraiseql-Time": {"2026-11-28T12:00:00Z"},
				"Fraiseql-Tenant": {"acme"}, "Fraiseql-User": {"7"}, "Fraiseql-Federation": {"f"}, "Fraiseql-Service": {"s"}, "Other": {"ignored"},
			})
			send(nats.Header{"Fraiseql-Type": {"paid"}, "Nats-Msg-Id": {"mine@home"}})
			await(t, "three events have come", func() bool { return len(k.messages()) == 3 })
			list := k.messages()
			if e := list[0].Event; e.Type != "created" || e.ID == "" || e.Timestamp.Before(before) || string(e.Data) != `{"id":17}` || e.Channel != "or.ders" {
				t.Errorf("%+v", e)
			}
			want := event.Event{
				Channel: "or.ders", Type: "paid", ID: "i%d", TenantID: "acme", UserID: "7", FederationID: "f", ServiceName: "s",
				Timestamp: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Data: []byte(`{"id":17}`),
			}
			if diff := cmp.Diff(want, list[1].Event); diff != "" {
				t.Error(diff)
			}
			if id := list[2].Event.ID; id != "mine@home" {
				t.Errorf("id %q", id)
			}
			for _, g := range b.Status().Gauges {
				if g.Name == "fraiseql_nats_unreadable_events" && g.Value != 3+8 {
					t.Errorf("%v unreadable events", g.Value)
				}
			}
		})
	}
}

// TestHeadersLikeTheServers publishes events with headers that the server uses in what it says itself: they mean nothing, live
// and in the history.
func TestHeadersLikeTheServers(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{PublishTimeout: 2 * time.Second})
	k := attach(t, b, "c")
	nc, _ := plain(t, server.Addr)
	send := func(data string, header nats.Header) {
		header["Fraiseql-Type"] = []string{"t"}
		if err := nc.PublishMsg(&nats.Msg{Subject: "fraiseql.c", Header: header, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	send("{}", nats.Header{})
	send("{}", nats.Header{"Status": {"paid"}})
	send("{}", nats.Header{"Status": {"404"}})
	send("{}", nats.Header{"Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"yesterday"}})
	send("{}", nats.Header{"Nats-Sequence": {"1000"}, "Nats-Time-Stamp": {"2026-11-28T12:00:00Z"}})
	send("", nats.Header{"Status": {"503"}}) // no event, for it has no data
	send("", nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}})
	send("{}", nats.Header{})
	await(t, "all have come", func() bool { return k.count() == 6 })
	page, err := b.History(t.Context(), "c", event.Position{}, 100)
	if err != nil || !page.Complete {
		t.Errorf("history: complete %v, %v", page.Complete, err)
	}
	if diff := cmp.Diff(k.messages(), page.Messages); diff != "" {
		t.Errorf("live and in the history: %s", diff)
	}
	page, err = b.History(t.Context(), "c", k.messages()[3].Position, 100)
	if err != nil || !page.Complete || len(page.Messages) != 2 {
		t.Errorf("the rest of the history: %d events, complete %v, %v", len(page.Messages), page.Complete, err)
	}
}

// TestTheFormatIsAsDocumented reads what the bus writes as another program would.
func TestTheFormatIsAsDocumented(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	attach(t, b, "c")
	nc, js := plain(t, server.Addr)
	sub, err := nc.SubscribeSync("fraiseql.or%2Eders")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	e := event.Event{Channel: "or.ders", Type: "created", ID: "1", TenantID: "a", Broadcast: false, Timestamp: time.Unix(0, 0).UTC(), Data: []byte(`{"a":1}`)}
	publishAll(t, b, []bus.Message{{Event: e}})
	m, err := sub.NextMsgWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{"Fraiseql-Type": {"created"}, "Nats-Msg-Id": {"1@ILNniqpl6WE"}, "Fraiseql-Tenant": {"a"}, "Fraiseql-Time": {"1970-01-01T00:00:00Z"}}
	if diff := cmp.Diff(want, m.Header); diff != "" || string(m.Data) != `{"a":1}` {
		t.Errorf("%s; data %s", diff, m.Data)
	}
	stored := fmt.Sprintf("fraiseql.%d.or%%2Eders", partitionOf("or%2Eders", 8))
	stream, err := js.Stream(t.Context(), "fraiseql")
	if err != nil {
		t.Fatal(err)
	}
	if held, err := stream.GetLastMsgForSubject(t.Context(), stored); err != nil || string(held.Data) != `{"a":1}` {
		t.Errorf("the server does not store it as %s: %v", stored, err)
	}
}

// TestAStreamOfSomebodyElse is refused, with what is wrong.
func TestAStreamOfSomebodyElse(t *testing.T) {
	server := testkit.StartNATS(t)
	_, js := plain(t, server.Addr)
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"does not hold the subject": func(c *jetstream.StreamConfig) { c.Subjects, c.SubjectTransform = []string{c.Name + "x.*"}, nil },
		"direct gets":               func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"by limits":                 func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"limit of messages per":     func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 },
		"does not turn": func(c *jetstream.StreamConfig) {
			c.SubjectTransform.Destination = c.Name + ".{{partition(7,1)}}.{{wildcard(1)}}"
		},
	} {
		prefix := freshPrefix()
		c := config{prefix: prefix, stream: prefix}
		sp := c.spec(events)
		made := sp.create(&c, time.Hour, true)
		change(&made)
		if _, err := js.CreateStream(t.Context(), made); err != nil {
			t.Fatal(err)
		}
		b := open(t, server.URL("prefix="+prefix), bus.Options{PublishTimeout: 100 * time.Millisecond})
		if err := b.Attach(t.Context(), &keeper{}); err != nil {
			t.Fatal(err)
		}
		await(t, "the status says "+name, func() bool { return strings.Contains(b.Status().Problem, name) })
		if _, err := b.Publish(t.Context(), numbered("c", 0, 1)); !errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("%s: published: %v", name, err)
		}
	}
}

// TestStreamsFollowTheURL checks what is created, and what a later URL changes.
func TestStreamsFollowTheURL(t *testing.T) {
	server := testkit.StartNATS(t)
	_, js := plain(t, server.Addr)
	configOf := func(name string) jetstream.StreamConfig {
		t.Helper()
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().Config
	}
	start := func(query string, retain time.Duration) {
		b := open(t, server.URL(query), bus.Options{})
		b.RetainControl(retain)
		attach(t, b, "c")
	}
	start("", 48*time.Hour)
	if c := configOf("fraiseql"); c.MaxBytes != defaultMaxBytes || c.MaxAge != defaultMaxAge || c.Replicas != 1 {
		t.Errorf("%+v", c)
	}
	if c := configOf("fraiseql_control"); c.MaxAge != 48*time.Hour || c.Discard != jetstream.DiscardNew {
		t.Errorf("%+v", c)
	}
	if c := configOf("fraiseql_node"); c.MaxAge != nodeAge {
		t.Errorf("%+v", c)
	}
	start("maxbytes=2GiB&maxage=1h", 72*time.Hour)
	start("", time.Hour)
	if c := configOf("fraiseql"); c.MaxBytes != 2<<30 || c.MaxAge != time.Hour {
		t.Errorf("%+v", c)
	}
	if c := configOf("fraiseql_control"); c.MaxAge != 72*time.Hour {
		t.Errorf("the longest retention is %v", c.MaxAge)
	}
}

// TestAnEventThatIsTooLarge is refused for good, and nothing of its batch is published.
func TestAnEventThatIsTooLarge(t *testing.T) {
	server := testkit.StartNATS(t)
	for _, mode := range []string{"jetstream", "core"} {
		b := open(t, server.URL("mode="+mode), bus.Options{})
		k := attach(t, b, "c")
		batch := numbered("c", 0, 3)
		batch[2].Event.Data = []byte(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`)
		r, err := b.Publish(t.Context(), batch)
		var bad *event.Error
		if r.Accepted != 0 || !errors.As(err, &bad) || bad.Index != 2 || bad.Member != "data" || !strings.Contains(bad.Message, "max_payload") {
			t.Errorf("%s: %+v, %v", mode, r, err)
		}
		publishAll(t, b, numbered("c", 3, 4))
		await(t, "the next has come", func() bool { return len(k.messages()) > 0 })
		if got := k.messages()[0].Event.ID; got != numbered("c", 3, 4)[0].Event.ID {
			t.Errorf("%s: %s was published", mode, got)
		}
	}
}

// TestPublishingAgainIsSafe publishes what is stored already.
func TestPublishingAgainIsSafe(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL(""), bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 10))
	publishAll(t, b, numbered("c", 0, 10))
	other := numbered("c", 0, 1) // the same id of another tenant is another event
	other[0].Event.TenantID = "acme"
	publishAll(t, b, other)
	await(t, "all have come", func() bool { return len(k.messages()) >= 11 })
	if n := len(k.messages()); n != 11 {
		t.Errorf("%d events", n)
	}
}

// TestCredentials logs in by user and by token, and checks that neither is in a status or a log.
func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct{ config, good, bad string }{
		"user":  {`authorization { user: "u", password: "right-s3cret" }`, "u:right-s3cret@", "u:wrong-s3cret@"},
		"token": {`authorization { token: "right-s3cret" }`, "right-s3cret@", "wrong-s3cret@"},
	} {
		t.Run(name, func(t *testing.T) {
			server := testkit.StartNATS(t, c.config)
			var log bytes.Buffer
			good := open(t, "nats://"+c.good+server.Addr, bus.Options{})
			attach(t, good, "c")
			bad := open(t, "nats://"+c.bad+server.Addr, bus.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), PublishTimeout: time.Second})
			if err := bad.Attach(t.Context(), &keeper{}); err != nil {
				t.Fatal(err)
			}
			await(t, "it is refused", func() bool {
				return strings.Contains(strings.ToLower(bad.Status().Problem), "authorization")
			})
			_, err := bad.Publish(t.Context(), numbered("c", 0, 1))
			if !errors.Is(err, bus.ErrUnavailable) {
				t.Errorf("published: %v", err)
			}
			if err := bad.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if text := log.String() + bad.Status().Problem + err.Error(); strings.Contains(text, "s3cret") || log.Len() == 0 {
				t.Errorf("told: %s", text)
			}
		})
	}
}

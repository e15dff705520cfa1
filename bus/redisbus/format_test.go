package redisbus

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// foreign is another program: it publishes with redis-cli, by the recipe of the package's documentation.
func foreign(t *testing.T, server *testkit.Redis, prefix, channel string, fields ...string) string {
	t.Helper()
	var p int
	if _, err := fmt.Sscan(server.Do("HGET", "{"+prefix+"}:meta", "partitions"), &p); err != nil {
		t.Fatal(err)
	}
	tag := fmt.Sprintf("{%s:%d}", prefix, crc32.ChecksumIEEE([]byte(channel))%uint32(p))
	epoch := server.Do("HGET", tag+":m", "epoch")
	return server.Do(append([]string{"XADD", tag + ":e", "NOMKSTREAM", "MAXLEN", "~", "10000", epoch + "-*"}, fields...)...)
}

func TestAnotherProgramPublishes(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr+"?prefix=app&partitions=7")
	got := make(chan bus.Message, 100)
	channel := "ord\u00e9rs"
	c := newCollector(channel)
	c.enter = func(m *bus.Message) { got <- *m }
	attach(t, b, c)

	entry := foreign(t, server, "app", channel, "channel", channel, "type", "created", "data", `{"a":1}`)
	m := <-got
	if m.Event.Type != "created" || string(m.Event.Data) != `{"a":1}` || time.Since(m.Event.Timestamp) > time.Minute || !strings.HasSuffix(m.Event.ID, entry) {
		t.Errorf("the least: %+v", m.Event)
	}
	first := m.Event.ID
	foreign(t, server, "app", channel, "data", `{"a":2}`, "nobody", "knows this", "service_name", "s", "federation_id", "f", "broadcast", "true",
		"timestamp", "2026-11-28T12:00:00.5+01:00", "id", "i", "type", "changed", "channel", channel, "v", "1")
	m = <-got
	want := event.Event{Channel: channel, Type: "changed", ID: "i", FederationID: "f", ServiceName: "s", Broadcast: true, Timestamp: time.Date(2026, 11, 28, 11, 0, 0, 5e8, time.UTC), Data: []byte(`{"a":2}`)}
	if diff := cmp.Diff(want, m.Event); diff != "" {
		t.Error(diff)
	}
	foreign(t, server, "app", channel, "channel", channel, "type", "t", "data", `{}`, "tenant_id", "acme", "user_id", "7", "broadcast", "false")
	if m = <-got; m.Event.TenantID != "acme" || m.Event.UserID != "7" || m.Event.Broadcast {
		t.Errorf("addresses: %+v", m.Event)
	}
	p, err := b.History(t.Context(), channel, event.Position{}, 10)
	if err != nil || !p.Complete || len(p.Messages) != 3 || p.Messages[0].Event.ID != first {
		t.Errorf("history: %+v, %v", p, err)
	}
}

func TestInvalidEntriesAreDropped(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	c := newCollector("orders")
	attach(t, b, c)
	ok := []string{"channel", "orders", "type", "t", "data", "{}"}
	bad := [][]string{
		{"v", "2", "channel", "orders", "type", "t", "data", "{}"},
		{"v", "x", "channel", "orders", "type", "t", "data", "{}"},
		{"channel", "orders", "type", "t"},
		{"channel", "orders", "data", "{}"},
		{"type", "t", "data", "{}"},
		{"something", "else"},
		append([]string{"broadcast", "maybe"}, ok...),
		append([]string{"broadcast", "1"}, ok...),
		append([]string{"broadcast", "0"}, ok...),
		append([]string{"broadcast", "true", "tenant_id", "a"}, ok...),
		append([]string{"timestamp", "yesterday"}, ok...),
		append([]string{"id", "a b"}, ok...),
		append([]string{"tenant_id", "a\x01"}, ok...),
		append([]string{"tenant_id", ""}, ok...),
		append([]string{"tenant_id", "a", "user_id", ""}, ok...),
		append([]string{"federation_id", ""}, ok...),
		append([]string{"service_name", ""}, ok...),
		append([]string{"tenant_id", "a", "tenant_id", "b"}, ok...),
		append([]string{"user_id", "", "user_id", "7"}, ok...),
		{"channel", "$control", "type", "t", "data", "{}"},
		{"channel", "a*", "type", "t", "data", "{}"},
		{"channel", strings.Repeat("x", 300), "type", "t", "data", "{}"},
		{"channel", "elsewhere", "type", "t", "data", "{}"},
	}
	if b.home("elsewhere") == b.home("orders") {
		t.Fatal("choose another name")
	}
	for _, fields := range bad {
		foreign(t, server, "fraiseql", "orders", fields...)
	}
	send(t, b, numbered("orders", 1))
	c.last(t, 1)
	c.wantAll(t, 1, 1)
	if n := b.reports.invalid.Load(); n != uint64(len(bad)) {
		t.Errorf("%d entries counted, want %d", n, len(bad))
	}
	for _, g := range b.Status().Gauges {
		if g.Name == "fraiseql_redis_entries_invalid" && g.Value != float64(len(bad)) {
			t.Errorf("gauge %v", g.Value)
		}
	}
}

func TestAnotherProgramPublishesPlainly(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr+"?mode=pubsub")
	got := make(chan bus.Message, 100)
	c := newCollector("orders")
	c.enter = func(m *bus.Message) { got <- *m }
	attach(t, b, c)
	bad := []string{
		"", "x", "{}", `{"v":2,"type":"t","data":{}}`, `{"type":"t"}`, `{"type":"t","data":{},"channel":"other"}`, `{"type":7,"data":{}}`,
		`{"type":"t","data":{},"tenant_id":""}`, `{"type":"t","data":{},"user_id":null}`, `{"type":"t","data":{},"tenant_id":"a","user_id":""}`,
		`{"type":"t","data":{},"federation_id":""}`, `{"type":"t","data":{},"service_name":null}`, `{"type":"t","data":{},"service_name":7}`,
		`{"type":"t","data":{},"tenant_id":"a","tenant_id":"b"}`, `{"type":"t","data":{},"tenant_id":"a","tenant_id":7}`, `{"type":"t","data":{},"user_id":1,"user_id":2}`,
		`{"type":"t","data":{},"user_id":1.0}`, `{"type":"t","data":{},"user_id":1e3}`, `{"type":"t","data":{},"user_id":true}`, `{"type":"t","data":{},"user_id":["a"]}`,
	}
	for _, bad := range bad {
		server.Do("PUBLISH", "fraiseql:orders", bad)
	}
	server.Do("PUBLISH", "fraiseql:orders", `{"type":"created","data":{"a": 1.0},"tenant_id":"acme","extra":{},"timestamp":"2026-11-28T12:00:00Z"}`)
	m := <-got
	if m.Event.Type != "created" || string(m.Event.Data) != `{"a": 1.0}` || m.Event.TenantID != "acme" || m.Event.ID == "" || m.Event.Timestamp.Hour() != 12 {
		t.Errorf("%+v", m.Event)
	}
	for address, want := range map[string]string{`7`: "7", `-0`: "0", `"7"`: "7", `9007199254740993`: "9007199254740993", `"\u0061"`: "a"} {
		server.Do("PUBLISH", "fraiseql:orders", `{"type":"t","data":{},"user_id":`+address+`}`)
		if m = <-got; m.Event.UserID != want {
			t.Errorf("user_id %s is %q", address, m.Event.UserID)
		}
	}
	if n := b.reports.invalid.Load(); n != uint64(len(bad)) {
		t.Errorf("%d messages counted, want %d", n, len(bad))
	}
	if n := b.Status().Gaps; n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestInstallations checks what is recorded, and that nodes that disagree do not start.
func TestInstallations(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	base := "redis://" + server.Addr
	wantWorks(t, base+"?partitions=5")
	wantProblem(t, base+"?partitions=6", "partitions=6, but 5 are recorded")
	if got := server.Do("HGET", "{fraiseql}:meta", "partitions"); got != "5" {
		t.Errorf("%s partitions recorded", got)
	}
	// Another number after the key is gone: the streams of before belong to an epoch that is over.
	b := open(t, base) // which takes the number from there
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 11, 12)
	c.last(t, 12)
	old := c.places[0]
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Do("DEL", "{fraiseql}:meta")
	b = open(t, base+"?partitions=64")
	attach(t, b, newCollector("orders"))
	for n := range uint32(64) {
		old.Partition = n
		if p, err := b.History(t.Context(), "orders", old, 10); err != nil || p.Complete {
			t.Fatalf("a cursor of before: complete %v, %v", p.Complete, err)
		}
	}
	server.Do("HSET", "{fraiseql}:meta", "format", "2")
	wantProblem(t, base, "format")
	server.Do("SET", "{other}:meta", "x")
	wantProblem(t, base+"?prefix=other", "another type")
}

func TestOldServersAreRefused(t *testing.T) {
	if p := examined("redis_version:6.2.14\r\nredis_mode:standalone\r\n", single); p == nil || !strings.Contains(p.Error(), "at least 7.0") {
		t.Errorf("%v", p)
	}
	if p := examined("redis_version:7.0.0\r\nredis_mode:standalone\r\n", single); p != nil {
		t.Error(p)
	}
	if p := examined("", single); p != nil {
		t.Error(p)
	}
}

// FuzzDecode gives entries with any fields: whatever passes is a valid event of this partition.
func FuzzDecode(f *testing.F) {
	f.Add("channel", "orders", "type", "t", "data", "{}", "v", "1")
	f.Add("epoch", "1", "v", "1", "after", "0-1", "id", "x")
	b, err := Open("redis://localhost?partitions=1", bus.Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := b.layout(1); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, x, b2, y, c, z, d, w string) {
		fields := packed(messagesOf(t, a, x, b2, y, c, z, d, w))
		e := entry{id: id{5, 6}, event: &event.Event{}}
		if err := e.decode(b.home("orders"), fields, time.Now); err != nil || e.marker {
			return
		}
		if err := e.event.Validate(); err != nil {
			t.Fatalf("%+v passed: %v", e.event, err)
		}
		args := appendFields(nil, e.event, e.event.ID, stamped(e.event.Timestamp))
		again := entry{id: e.id, event: &event.Event{}}
		if err := again.decode(b.home("orders"), packed(messagesOf(t, args...)), time.Now); err != nil {
			t.Fatalf("%v reads as %v", args, err)
		}
		if diff := cmp.Diff(e.event, again.event); diff != "" {
			t.Fatal(diff)
		}
	})
}

// messagesOf makes what the driver makes of an array of strings.
func messagesOf(t testing.TB, list ...string) []rueidis.RedisMessage {
	t.Helper()
	// The driver's own form for caches: a type, a length, and the elements.
	raw := make([]byte, 7, 1024)
	raw = append(raw, '*')
	raw = appendLength(raw, len(list))
	for _, s := range list {
		raw = append(raw, '$')
		raw = appendLength(raw, len(s))
		raw = append(raw, s...)
	}
	var m rueidis.RedisMessage
	if err := m.CacheUnmarshalView(raw); err != nil {
		t.Fatal(err)
	}
	array, err := m.ToArray()
	if err != nil {
		t.Fatal(err)
	}
	return array
}

func appendLength(b []byte, n int) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

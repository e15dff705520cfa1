package pgbus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// connect connects as another program would.
func connect(t testing.TB, url string) *pgconn.PgConn {
	t.Helper()
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), s.server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(conn) })
	return conn
}

// run runs a statement with the marks of a URL's schema.
func runSQL(t testing.TB, conn *pgconn.PgConn, url, statement string, args ...string) [][]string {
	t.Helper()
	rows, err := trySQL(t.Context(), conn, url, statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return rows
}

func trySQL(ctx context.Context, conn *pgconn.PgConn, url, statement string, args ...string) ([][]string, error) {
	s, err := parse(url)
	if err != nil {
		return nil, err
	}
	return query(ctx, conn, fill(statement, s.schema), args...)
}

// collector is a handler that keeps what it gets.
type collector struct {
	messages chan bus.Message
	gaps     chan string
}

func newCollector() *collector {
	return &collector{make(chan bus.Message, 200_000), make(chan string, 1000)}
}

func (c *collector) Deliver(m *bus.Message) int {
	c.messages <- *m
	return 1
}

func (c *collector) Gap(channel string, _ event.Position) { c.gaps <- channel }

// next waits for one message.
func (c *collector) next(t testing.TB) bus.Message {
	t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
		return bus.Message{}
	}
}

// listening opens a bus that reads channels.
func listening(t testing.TB, url string, channels ...string) (*Bus, *collector) {
	t.Helper()
	b, c := open(t, url), newCollector()
	listen(t, b, c, channels...)
	return b, c
}

// listen attaches a bus and waits until some channels are read.
func listen(t testing.TB, b *Bus, c *collector, channels ...string) {
	t.Helper()
	if err := b.Attach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, name := range channels {
		b.Interest(name, true)
		if err := b.Established(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPublishInATransaction(t *testing.T) {
	url := fresh(t)
	_, c := listening(t, url, "orders")
	conn := connect(t, url)
	runSQL(t, conn, url, "BEGIN")
	runSQL(t, conn, url, `SELECT {schema}.publish('orders', 'created', '{"id":1}')`)
	runSQL(t, conn, url, "ROLLBACK")
	runSQL(t, conn, url, "BEGIN")
	id := runSQL(t, conn, url, `SELECT {schema}.publish('orders', 'created', '{"z":1, "a": 123456789012345678901234567890.10,
 "a":"\u0000"}', tenant_id => 'acme', user_id => '7', federation_id => 'f', service_name => 's')`)[0][0]
	runSQL(t, conn, url, "SAVEPOINT a")
	runSQL(t, conn, url, `SELECT {schema}.publish('orders', 'undone', '{}')`)
	runSQL(t, conn, url, "ROLLBACK TO a")
	runSQL(t, conn, url, "SAVEPOINT b")
	runSQL(t, conn, url, `SELECT {schema}.publish('orders', 'updated', json_build_object('id', 2), id => 'mine', broadcast => true)`)
	runSQL(t, conn, url, "COMMIT")
	runSQL(t, conn, url, `SELECT {schema}.publish('orders', 'updated', '{"b":1,"aa":2}'::jsonb)`)
	m := c.next(t)
	want := event.Event{Channel: "orders", Type: "created", ID: id, TenantID: "acme", UserID: "7", FederationID: "f", ServiceName: "s",
		Timestamp: m.Event.Timestamp, Data: []byte(`{"z":1, "a": 123456789012345678901234567890.10, "a":"\u0000"}`)}
	if fmt.Sprint(m.Event) != fmt.Sprint(want) || time.Since(m.Event.Timestamp).Abs() > time.Minute {
		t.Errorf("got  %+v\nwant %+v", m.Event, want)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("id %s", id)
	}
	if m := c.next(t); m.Event.ID != "mine" || !m.Event.Broadcast || string(m.Event.Data) != `{"id" : 2}` {
		t.Errorf("second: %+v %s", m.Event, m.Event.Data)
	}
	if m := c.next(t); string(m.Event.Data) != `{"b": 1, "aa": 2}` {
		t.Errorf("third: %+v %s", m.Event, m.Event.Data)
	}
}

// TestPayloadSizes publishes around the bound of NOTIFY, and large ones.
func TestPayloadSizes(t *testing.T) {
	url := fresh(t)
	_, c := listening(t, url, "c")
	conn := connect(t, url)
	for _, size := range []int{2, 7999, 8000, 8001, 1_000_000, 1 << 20} {
		data := `{}`
		if size > 2 {
			data = `{"a":"` + strings.Repeat("x", size-8) + `"}`
		}
		runSQL(t, conn, url, `SELECT {schema}.publish('c', 't', $1::text)`, data)
		if m := c.next(t); string(m.Event.Data) != data {
			t.Errorf("%d bytes: got %d", size, len(m.Event.Data))
		}
	}
	_, err := trySQL(t.Context(), conn, url, `SELECT {schema}.publish('c', 't', $1::text)`, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)
	if err == nil || !strings.Contains(err.Error(), "event data: is larger than 1048576 bytes") {
		t.Errorf("too large: %v", err)
	}
}

// TestSQLRefusesWhatTheOtherDoorsRefuse compares the messages with those of package event.
func TestSQLRefusesWhatTheOtherDoorsRefuse(t *testing.T) {
	url := fresh(t)
	conn := connect(t, url)
	texts := []string{
		"", "a", " ", "a b", "a\tb", "a\nb", "a\u0001", "a\u007f", "a\u0085b", "a\u00a0b", "a\u1680b", "a\u2000b", "a\u200ab", "a\u200bb", "a\u2028b", "a\u202fb", "a\u205fb",
		"a\u3000b", "\ufeff", "a\u009f", "a\u0080b", "\u180e", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("\u00e9", 128), "__x", "_x", "$x", "x$", "a*", "a>", "{", "}",
		"'", `"`, `\`, `a\x`, "\U0001f600", "%s", "[a]", "a-z", "^", "\v", "\f\f", "\r", "\x1c", "\x1f",
	}
	members := []string{"channel", "type", "id", "tenant_id", "user_id", "federation_id", "service_name"}
	for _, member := range members {
		for _, text := range texts {
			ev := event.Event{Channel: "c", Type: "t", Data: []byte("{}")}
			args := map[string]string{"channel": "c", "type": "t"}
			args[member] = text
			if *map[string]*string{"channel": &ev.Channel, "type": &ev.Type, "id": &ev.ID, "tenant_id": &ev.TenantID, "user_id": &ev.UserID,
				"federation_id": &ev.FederationID, "service_name": &ev.ServiceName}[member] = text; text == "" && member != "channel" && member != "type" {
				continue // absent in Go, empty in SQL
			}
			statement, values := `SELECT {schema}.publish(data => '{}'::text`, []string{}
			for name, value := range args {
				values = append(values, value)
				statement += fmt.Sprintf(", %s => $%d", name, len(values))
			}
			_, err := trySQL(t.Context(), conn, url, statement+")", values...)
			compareRefusal(t, fmt.Sprintf("%s %q", member, text), ev.Validate(), err)
		}
	}
	for _, bad := range []string{`tenant_id => ''`, `user_id => ''`, `id => ''`, `broadcast => true, tenant_id => 'a'`, `broadcast => true, user_id => 'a'`} {
		_, err := trySQL(t.Context(), conn, url, `SELECT {schema}.publish('c', 't', '{}', `+bad+`)`)
		if refusalOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// refusalOf returns the text of a refusal of the right kind.
func refusalOf(err error) string {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != "22023" {
		return ""
	}
	return answer.Message
}

func compareRefusal(t *testing.T, what string, want *event.Error, got error) {
	t.Helper()
	switch {
	case want == nil && got != nil:
		t.Errorf("%s: SQL says %v, Go takes it", what, got)
	case want != nil && got == nil:
		t.Errorf("%s: SQL takes it, Go says %v", what, want)
	case want != nil && refusalOf(got) != want.Error():
		t.Errorf("%s: SQL says %v, Go says %v", what, got, want)
	}
}

func TestSQLChecksData(t *testing.T) {
	url := fresh(t)
	conn := connect(t, url)
	nested := func(depth int, fill string) string {
		return strings.Repeat(`{"a":[`, depth/2) + fill + strings.Repeat(`]}`, depth/2)
	}
	for data, want := range map[string]string{
		`{}`: "", ` {"a":"}"} `: "", nested(64, "1"): "", nested(64, `"[[{\"{{"`): "", nested(66, ""): "event data: is nested deeper than 64 levels",
		`{"a":"` + strings.Repeat("[{", 100) + `"}`:                                 "",
		`{"a":[` + strings.TrimSuffix(strings.Repeat(`{"b":[]},`, 100), ",") + `]}`: "",
		`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`:       "event data: is nested deeper than 64 levels",
		`[]`: "event data: must be a JSON object, not array", `1`: "event data: must be a JSON object, not number", `null`: "event data: must be a JSON object, not null",
	} {
		_, err := trySQL(t.Context(), conn, url, `SELECT {schema}.publish('c', 't', $1::text)`, data)
		if want == "" && err != nil || want != "" && refusalOf(err) != want {
			t.Errorf("%.40s: %v, want %q", data, err, want)
		}
	}
	for _, data := range []string{``, `{`, `{"a":}`, `{'a':1}`, `{"a":1}x`} {
		if _, err := trySQL(t.Context(), conn, url, `SELECT {schema}.publish('c', 't', $1::text)`, data); class(err) != "22" {
			t.Errorf("%q: %v", data, err)
		}
	}
	if _, err := trySQL(t.Context(), conn, url, `SELECT {schema}.publish('c', 't', NULL::text)`); refusalOf(err) != "event data: is required and must be a JSON object" {
		t.Errorf("NULL: %v", err)
	}
}

// TestInstallIsIdempotent runs the script over a schema with events in it.
func TestInstallIsIdempotent(t *testing.T) {
	url := fresh(t)
	conn := connect(t, url)
	runSQL(t, conn, url, `SELECT {schema}.publish('c', 't', '{}')`)
	before := runSQL(t, conn, url, `SELECT epoch, cluster, (SELECT count(*) FROM {schema}.outbox) FROM {schema}.meta`)
	done, err := Install(t.Context(), url)
	if err != nil || done.Before != Version || done.Now != Version || len(done.Warnings) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if after := runSQL(t, conn, url, `SELECT epoch, cluster, (SELECT count(*) FROM {schema}.outbox) FROM {schema}.meta`); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v became %v", before, after)
	}
	runSQL(t, conn, url, `UPDATE {schema}.meta SET version = 99`)
	if _, err := Install(t.Context(), url); err == nil || !strings.Contains(err.Error(), "is of a later release") {
		t.Errorf("over a later version: %v", err)
	}
}

// TestEveryFunctionPinsItsSearchPath asks the catalogue.
func TestEveryFunctionPinsItsSearchPath(t *testing.T) {
	url := fresh(t)
	conn := connect(t, url)
	rows := runSQL(t, conn, url, `SELECT proname, coalesce(array_to_string(proconfig, ' '), '') FROM pg_proc WHERE pronamespace = {name_ident}::regnamespace`)
	if len(rows) < 14 {
		t.Errorf("%d functions", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(row[1], "search_path=pg_catalog, pg_temp") {
			t.Errorf("%s has %q", row[0], row[1])
		}
	}
}

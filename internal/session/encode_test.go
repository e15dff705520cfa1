package session

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

func TestAppendItem(t *testing.T) {
	var conn queue.Conn
	conn.Init(nobody{}, nil)
	var plain, asking queue.Queue
	plain.Init(&conn, &queue.Policy{}, []byte(`a\"b`), false)
	asking.Init(&conn, &queue.Policy{}, []byte("1"), true)
	data := []byte(`{"data":{"a":1}`)
	for name, c := range map[string]struct {
		item queue.Item
		want string
	}{
		"next":  {queue.Item{Queue: &plain, Message: &queue.Message{Payload: data}}, `{"id":"a\"b","type":"next","payload":{"data":{"a":1}}}`},
		"error": {queue.Item{Queue: &plain, Message: &queue.Message{Payload: []byte(`[{"message":"m"}]`), End: true}}, `{"id":"a\"b","type":"error","payload":[{"message":"m"}]}`},
		"complete": {queue.Item{Queue: &plain, Message: &queue.Message{End: true}},
			`{"id":"a\"b","type":"complete"}`},
		"cursor for those who did not ask": {queue.Item{Queue: &plain, Message: &queue.Message{Payload: data, Extra: &queue.Extra{Cursor: []byte("c")}}, Dropped: 3},
			`{"id":"a\"b","type":"next","payload":{"data":{"a":1}}}`},
		"cursor": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: data, Extra: &queue.Extra{Cursor: []byte("c")}}, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":{"a":1},"extensions":{"cursor":"c"}}}`},
		"dropped": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: data}, Dropped: 12, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":{"a":1},"extensions":{"dropped":12}}}`},
		"cursor and dropped": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: data, Extra: &queue.Extra{Cursor: []byte("c")}}, Dropped: 1, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":{"a":1},"extensions":{"cursor":"c","dropped":1}}}`},
		"recovered": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: []byte(`{"data":null`), Extra: &queue.Extra{Cursor: []byte("c"), Recovered: queue.Recovered}}, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":null,"extensions":{"cursor":"c","recovered":true}}}`},
		"lost": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: []byte(`{"data":null`), Extra: &queue.Extra{Cursor: []byte("c"), Recovered: queue.Lost}}, Dropped: 2, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":null,"extensions":{"cursor":"c","recovered":false,"dropped":2}}}`},
		"nothing to say": {queue.Item{Queue: &asking, Message: &queue.Message{Payload: data}, Extensions: true},
			`{"id":"1","type":"next","payload":{"data":{"a":1}}}`},
		"control text": {queue.Item{Control: queue.Control{Kind: queue.Text, Data: []byte(`{"type":"pong"}`)}}, `{"type":"pong"}`},
		"ping frame":   {queue.Item{Control: queue.Control{Kind: queue.Ping, Data: []byte(`x`)}}, ``},
		"close frame":  {queue.Item{Control: queue.Control{Kind: queue.Close, Data: []byte(`x`)}}, ``},
	} {
		if got := string(AppendItem([]byte("+"), &c.item)); got != "+"+c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestCutReason(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"short", "short"},
		{strings.Repeat("a", 123), strings.Repeat("a", 123)},
		{strings.Repeat("a", 124), strings.Repeat("a", 123)},
		{strings.Repeat("é", 62), strings.Repeat("é", 61)},
		{"a" + strings.Repeat("é", 61), "a" + strings.Repeat("é", 61)},
		{strings.Repeat("😀", 31), strings.Repeat("😀", 30)},
		{strings.Repeat("a", 122) + "😀", strings.Repeat("a", 122)},
		{"bad \xff byte", "bad \uFFFD byte"},
		{strings.Repeat("a", 121) + "\xff", strings.Repeat("a", 121)},
	} {
		got := CutReason(c.in)
		if got != c.want || len(got) > maxReason || !utf8.ValidString(got) {
			t.Errorf("CutReason(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestEscapedIDs(t *testing.T) {
	for _, id := range []string{"1", "a b", `q"\/`, "é\u2028😀", "\x00\x1f\x7f", "\n\r\t\b\f"} {
		escaped := AppendEscaped(nil, []byte(id))
		if got := unescape(escaped); got != id {
			t.Errorf("%q comes back as %q through %s", id, got, escaped)
		}
	}
}

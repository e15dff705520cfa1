package jsontape_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// event370 is the event of the figures: 370 bytes, 12 fields.
const event370 = `{"id":"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f","order_number":"SO-2026-0004711","status":"shipped",` +
	`"customer_id":4711,"customer":{"name":"Augusta Ada Lovelace","city":"London GB"},"total":1299.95,"currency":"EUR",` +
	`"items":[{"sku":"A-1","qty":2},{"sku":"B-22","qty":10}],"express":true,` +
	`"created_at":"2026-11-23T13:46:00Z","note_count":12,"updated_at":"2026-11-23T14:00:44Z"}`

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func parse(t tester, text string) *jsontape.Tape {
	t.Helper()
	var tape jsontape.Tape
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return &tape
}

func TestLookup(t *testing.T) {
	tape := parse(t, event370)
	for _, c := range []struct {
		path []string
		want string
	}{
		{nil, event370},
		{[]string{"id"}, `"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f"`},
		{[]string{"customer", "city"}, `"London GB"`},
		{[]string{"total"}, `1299.95`},
		{[]string{"items"}, `[{"sku":"A-1","qty":2},{"sku":"B-22","qty":10}]`},
		{[]string{"express"}, `true`},
		{[]string{"express"}, `true`},
		{[]string{"note_count"}, `12`},
		{[]string{"items", "sku"}, ``},
		{[]string{"w"}, ``},
		{[]string{"note_count", "w"}, ``},
	} {
		r := tape.Lookup(jsontape.Root, c.path)
		if got := string(tape.Raw(r)); got != c.want {
			t.Errorf("Lookup(%v) = %s, want %s", c.path, got, c.want)
		}
		if n := tape.LookupNames(jsontape.Root, jsontape.MakeNames(c.path)); n != r {
			t.Errorf("LookupNames(%v) = %d, want %d", c.path, n, r)
		}
	}
}

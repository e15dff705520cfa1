package natsbus

import (
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// Where not all events fit, those that are told of are the newest ones, without holes, and whether those before the
// position were reached is told.
func TestTheNewestAreRecalled(t *testing.T) {
	const n, large = 40, 10_000
	server := testkit.StartNATS(t)
	b := open(t, server.URL("prefix="+freshPrefix()), bus.Options{})
	attach(t, b, "c")
	batch, small := numbered("c", 0, n), len(numbered("c", 0, 1)[0].Event.Data)
	for i := range n / 2 { // the older half is large
		batch[i].Event.Data = []byte(`{"text":"` + string(slices.Repeat([]byte{'x'}, large)) + `"}`)
	}
	for i := range batch {
		publishAll(t, b, slices.Concat(batch[i:i+1], numbered("other", i, 2)))
	}
	page, err := b.History(t.Context(), "c", batch[0].Position, n)
	if err != nil || len(page.Messages) != n {
		t.Fatalf("%d events, %v", len(page.Messages), err)
	}
	s, err := b.bounded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		room, from  int
		least, most int
		whole       bool
	}{
		{"all", n * large * 2, 5, n, n, true},
		{"some large ones", 5*(large+100) + n*100, 30, 21, 26, true},
		{"small ones only", large, 30, 11, 20, true},
		{"not up to the position", large, 5, 11, 20, false},
		{"three", 4 * small, 30, 2, 4, false},
		{"nothing", small / 2, 30, 0, 0, false},
	} {
		list, whole, err := s.recall(t.Context(), "c", page.Messages[test.from].Position, page.Messages[n-1].Position, test.room)
		if err != nil || whole != test.whole || len(list) < test.least || len(list) > test.most {
			t.Errorf("%s: %d events, whole %v, %v", test.name, len(list), whole, err)
		}
		for i, m := range page.Messages {
			told := slices.ContainsFunc(list, func(e bus.Recalled) bool { return e.Position == m.Position && e.ID == m.Event.ID && !e.At.IsZero() })
			if told != (i >= n-len(list)) {
				t.Errorf("%s: event %d of %d is told: %v", test.name, i, n, told)
			}
		}
	}
}

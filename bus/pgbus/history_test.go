package pgbus

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
)

// TestHeadOfASilentChannel has one node deliver an event of another channel, and a second one not: who begins at the first one's head of a channel
// without events has missed nothing at the second one, whose own head is before that.
func TestHeadOfASilentChannel(t *testing.T) {
	url := fresh(t)
	a, c := listening(t, url, "c")
	b, _ := listening(t, url, "silent")
	publishEach(t, a, 1, 1)
	newest := receive(t, c, 1, 1)[0]
	at := headOf(t, a, "silent")
	if own := headOf(t, b, "silent"); at != newest || own.Compare(at) >= 0 || own.IsZero() {
		t.Errorf("heads %v and %v, the newest event at %v", at, own, newest)
	}
	page, err := b.History(t.Context(), "silent", at, 10)
	if err != nil || !page.Complete {
		t.Errorf("after the other node's head: complete %v, %v", page.Complete, err)
	}
}

// headOf is the head of a channel's history.
func headOf(t *testing.T, b *Bus, channel string) event.Position {
	t.Helper()
	page, err := b.History(t.Context(), channel, event.Position{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return page.Head
}

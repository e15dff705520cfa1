package pgbus

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// position publishes an event and returns where it is.
func position(t *testing.T, b *Bus, c *collector, channel, id string) event.Position {
	t.Helper()
	m := bus.Message{Event: event.Event{Channel: channel, Type: "t", ID: id, Data: []byte("{}")}}
	if _, err := b.Publish(t.Context(), []bus.Message{m}); err != nil {
		t.Fatal(err)
	}
	return c.next(t).Position
}

// wantHistory compares how many events are after a position, and whether none is missing.
func wantHistory(t *testing.T, b *Bus, channel string, after event.Position, n int, complete bool) {
	t.Helper()
	page, err := b.History(t.Context(), channel, after, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Messages) != n || page.Complete != complete {
		t.Errorf("%s after %v: %d events, complete %v; want %d, %v", channel, after, len(page.Messages), page.Complete, n, complete)
	}
}

// TestRetention turns the ring by its age.
func TestRetention(t *testing.T) {
	url := fresh(t)
	b, c := listening(t, url, "c")
	conn := connect(t, url)
	age := func(what string) {
		runSQL(t, conn, url, `UPDATE {schema}.ring SET `+what)
		if err := b.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := position(t, b, c, "c", "1")
	age(`opened_at = now() - interval '7 hours'`) // not yet a third of a day
	if rows := runSQL(t, conn, url, `SELECT slot FROM {schema}.ring`); len(rows) != 1 {
		t.Errorf("ring %v", rows)
	}
	age(`opened_at = now() - interval '9 hours'`)
	second := position(t, b, c, "c", "2")
	if rows := runSQL(t, conn, url, `SELECT slot FROM {schema}.outbox ORDER BY id`); rows[0][0] != "0" || rows[1][0] != "1" {
		t.Errorf("slots %v", rows)
	}
	wantHistory(t, b, "c", event.Position{}, 2, true)
	age(`closed_at = now() - interval '23 hours' WHERE slot = 0`)
	wantHistory(t, b, "c", first, 1, true)
	age(`closed_at = now() - interval '25 hours' WHERE slot = 0`)
	wantHistory(t, b, "c", event.Position{}, 1, false)
	wantHistory(t, b, "c", first, 1, true) // what was pruned is that event itself
	wantHistory(t, b, "c", first.Before(), 1, false)
	wantHistory(t, b, "c", second, 0, true)
	if len(c.gaps) > 0 {
		t.Errorf("a gap in %s, which had been read", <-c.gaps)
	}
}

// TestControlRetention keeps revocations for as long as any node asked for, and the nodes' own channels briefly.
func TestControlRetention(t *testing.T) {
	url := fresh(t)
	node := bus.NodeChannel("n")
	b := open(t, url)
	b.RetainControl(48 * time.Hour)
	c := newCollector()
	if err := b.Attach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, channel := range []string{bus.ControlChannel, node} {
		b.Interest(channel, true)
		if err := b.Established(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, url)
	age := func(interval string) {
		runSQL(t, conn, url, `UPDATE {schema}.outbox SET stored_at = now() - interval '`+interval+`'`)
		if err := b.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	control, own := position(t, b, c, bus.ControlChannel, "1"), position(t, b, c, node, "2")
	age("14 minutes")
	wantHistory(t, b, node, event.Position{}, 1, true)
	age("47 hours")
	wantHistory(t, b, bus.ControlChannel, event.Position{}, 1, true)
	wantHistory(t, b, node, event.Position{}, 0, false)
	wantHistory(t, b, node, own.Before(), 0, false)
	age("49 hours")
	wantHistory(t, b, bus.ControlChannel, event.Position{}, 0, true) // all that must be kept is there
	wantHistory(t, b, bus.ControlChannel, control.Before(), 0, false)
	if rows := runSQL(t, conn, url, `SELECT control_retention FROM {schema}.meta`); rows[0][0] != "48:00:00" {
		t.Errorf("retention %v", rows)
	}
}

package bus

import (
	"context"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
)

// RecallTime and RecallEvents are how far before an event an earlier one with the same id counts: so much time, or so many
// events, whichever is less.
const (
	RecallTime   = 2 * time.Minute
	RecallEvents = 10_000
)

// Recalled is an event of the past: what makes it the same as another one of its channel, where it is and since when. At
// is the carrier's word; one that does not know has the event's own timestamp.
type Recalled struct {
	TenantID, ID string
	Position     event.Position
	At           time.Time
}

// Recaller is implemented by buses that may bring an event again under another position, since it was published again,
// and that can say which events a channel had lately. Any number of goroutines may call it; it waits for the carrier.
type Recaller interface {
	// Recall returns the events of a channel that are still held, from RecallTime or RecallEvents before a position up to,
	// and including, another one of the same run, in any order and without holes: when there is too much, the newest. What else
	// it has read may be among them; events that were published without an id need not be. whole is false when there are so many between the two positions that those before
	// from were not read. Carriers that can only read many channels together read them once for many calls.
	Recall(ctx context.Context, channel string, from, upTo event.Position) (list []Recalled, whole bool, err error)
}

package hub

import (
	"context"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// locate finds where a subscription begins: after the event of a cursor if everything since is there, else now. The
// cursor comes from a client: whatever it says, the answer is a place in this channel.
func (r *replay) locate(ctx context.Context, cursor string) (queue.Recovery, error) {
	h, c := r.hub, r.channel
	if err := h.cfg.Bus.Established(ctx, c.name); err != nil {
		return 0, err
	}
	now, err := h.cfg.Bus.History(ctx, c.name, event.Position{}, 0)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	c.follow.recorder.begin(now.Head)
	c.mu.Unlock()
	recovery := queue.Untold
	if cursor != "" {
		found, err := r.find(ctx, cursor, now.Head)
		if found && err == nil {
			err = r.recall(ctx, now.Head)
		}
		if found || err != nil {
			return queue.Recovered, err
		}
		recovery = queue.Lost
	}
	r.at.at = now.Head
	r.at.id, err = r.idAt(ctx, now.Head)
	return recovery, err
}

// find sets where the subscription begins to the place of a cursor. found is false when the cursor is none, or of
// another bus or channel, when the event there is another one, and when not all events since are held, or too many.
func (r *replay) find(ctx context.Context, cursor string, head event.Position) (found bool, err error) {
	h, c := r.hub, r.channel
	cur, bad := event.ParseCursor(cursor)
	if bad != nil || cur.Bus != h.cfg.Bus.Name || cur.Channel != event.HashName(c.name) {
		return false, nil
	}
	at := cur.Position
	if cur.Event != 0 {
		if id, err := r.idAt(ctx, at); err != nil || id != cur.Event {
			return false, err
		}
	}
	page, err := h.cfg.Bus.History(ctx, c.name, at, 0)
	if err != nil || !page.Complete {
		return false, err
	}
	few := at.SameRun(head) && at.Major == head.Major && head.Minor-at.Minor <= uint64(h.limits.Load().ResumeEvents)
	if !few {
		if few, err = r.fewAfter(ctx, at); err != nil || !few {
			return false, err
		}
	}
	r.at = standing{at, cur.Event}
	return true, nil
}

// idAt returns event.HashName of the id of the event at a position, 0 if the channel has none there.
func (r *replay) idAt(ctx context.Context, at event.Position) (uint32, error) {
	if at.IsZero() {
		return 0, nil
	}
	page, err := r.hub.cfg.Bus.History(ctx, r.channel.name, at.Before(), 1)
	if err != nil || len(page.Messages) == 0 || page.Messages[0].Position != at {
		return 0, err
	}
	return hashID(&page.Messages[0].Event), nil
}

// fewAfter counts the events after a position, where their numbers do not tell.
func (r *replay) fewAfter(ctx context.Context, at event.Position) (bool, error) {
	var pages pageSize
	for n := 0; ; {
		page, err := r.hub.cfg.Bus.History(ctx, r.channel.name, at, pages.limit())
		if err != nil || !page.Complete {
			return false, err
		}
		if n += len(page.Messages); n > r.hub.limits.Load().ResumeEvents {
			return false, nil
		}
		if len(page.Messages) == 0 {
			return true, nil
		}
		at = page.Messages[len(page.Messages)-1].Position
		pages.note(page.Messages)
	}
}

// lose tells the subscription that events are lost, and goes on with those after the newest position that is known.
func (r *replay) lose(head event.Position) progress {
	p, told := r.loseUnderTurn(head)
	if told {
		r.hub.cfg.Observer.Counted(observe.Resumed, resumedLabels[queue.Lost], 1)
	}
	return p
}

// maxLosses is how often in a row history is asked again; then what is delivered is believed.
const maxLosses = 3

func (r *replay) loseUnderTurn(head event.Position) (p progress, told bool) {
	c := r.channel
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.adoptLocked() // it may join below
	if r.sub.Ended() {
		c.follow.abandonLocked(r)
		return ended, false
	}
	r.losses++
	if head.IsZero() || r.losses >= maxLosses {
		head = c.last
	}
	r.at, r.current = standing{at: head}, false
	r.sub.Note(r.hub.note(c.name, r.at, queue.Lost))
	if r.losses >= maxLosses {
		c.follow.joinLocked(r)
		return ended, true
	}
	return again, true
}

// pageSize keeps pages of history at about pageBytes, whatever the size of events.
type pageSize struct{ n, bytes int }

const (
	pageBytes  = 256 << 10
	firstPage  = 16
	maxPage    = 256
	eventBytes = 256 // of an event beside its data, about
)

func (p *pageSize) limit() int {
	if p.n == 0 {
		return firstPage
	}
	return max(1, min(maxPage, pageBytes/(p.bytes/p.n+1)))
}

// note learns from a page.
func (p *pageSize) note(list []bus.Message) {
	p.n, p.bytes = len(list), 0
	for i := range list {
		p.bytes += len(list[i].Event.Data) + eventBytes
	}
}

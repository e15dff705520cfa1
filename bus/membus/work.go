package membus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// maxGroups bounds the groups of workers: each is remembered for as long as the bus lives.
	maxGroups = 10_000
	// firstRetry and longestRetry are the waits before an event whose work failed is begun again.
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
)

// groupKey names a group of workers on a channel.
type groupKey struct{ group, channel string }

// group is where a group of workers stands.
type group struct {
	turn chan struct{}  // 1 slot: who has it works on the next event
	at   event.Position // of the newest event that was worked on; guarded by turn
}

// news tells workers of a channel that something was published.
type news struct {
	waiting int // workers that look at it
	changed chan struct{}
}

// Work calls fn for events of the channel, one at a time, in their order; an event whose fn failed is begun again
// after a pause. Several workers of one group take turns. It is at most once: what the history no longer holds when
// the group comes to it is left out.
func (b *Bus) Work(ctx context.Context, name, channel string, fn func(context.Context, *bus.Message) error) error {
	if b.events == 0 {
		return errors.New("work on memory bus: it keeps no events")
	}
	n := b.listen(channel)
	defer b.unlisten(channel, n)
	g, err := b.group(ctx, groupKey{name, channel})
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case g.turn <- struct{}{}:
		}
		changed := b.newsOf(n)
		worked, err := b.workOnce(ctx, g, channel, fn)
		<-g.turn
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// workOnce works on the next event of a group until that succeeds; false: there is none yet.
func (b *Bus) workOnce(ctx context.Context, g *group, channel string, fn func(context.Context, *bus.Message) error) (bool, error) {
	page, err := b.History(ctx, channel, g.at, 1)
	if err != nil || len(page.Messages) == 0 {
		return false, err
	}
	m := &page.Messages[0]
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		if fn(ctx, m) == nil {
			g.at = m.Position
			return true, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		case <-timer.C:
		}
	}
}

// group returns the group of a key. A new one begins with what is published from now on.
func (b *Bus) group(ctx context.Context, key groupKey) (*group, error) {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	if g := b.work.groups[key]; g != nil {
		return g, nil
	}
	if len(b.work.groups) >= maxGroups {
		return nil, fmt.Errorf("work on memory bus: more than %d groups", maxGroups)
	}
	page, err := b.History(ctx, key.channel, event.Position{}, 0)
	if err != nil {
		return nil, err
	}
	g := &group{turn: make(chan struct{}, 1), at: page.Head}
	if b.work.groups == nil {
		b.work.groups = make(map[groupKey]*group)
	}
	b.work.groups[key] = g
	return g, nil
}

// listen makes publishers tell of a channel from now on.
func (b *Bus) listen(channel string) *news {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	n := b.work.news[channel]
	if n == nil {
		n = &news{changed: make(chan struct{})}
		if b.work.news == nil {
			b.work.news = make(map[string]*news)
		}
		b.work.news[channel] = n
	}
	n.waiting++
	b.work.count.Add(1)
	return n
}

func (b *Bus) unlisten(channel string, n *news) {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	b.work.count.Add(-1)
	if n.waiting--; n.waiting == 0 {
		delete(b.work.news, channel)
	}
}

func (b *Bus) newsOf(n *news) <-chan struct{} {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	return n.changed
}

// tell wakes the workers of a channel.
func (b *Bus) tell(channel string) {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	if n := b.work.news[channel]; n != nil {
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// tellAll wakes every worker: the bus is closed.
func (b *Bus) tellAll() {
	b.work.mu.Lock()
	defer b.work.mu.Unlock()
	for _, n := range b.work.news {
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

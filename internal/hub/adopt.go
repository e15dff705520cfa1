package hub

import "github.com/fraiseql/fraiseql-go/identity"

// adoption is another identity of a subscription that replays, and its group if that changes, see Hub.Readmit. A place
// in the group is kept.
type adoption struct {
	group *Group
	who   *identity.Identity
}

// replayLocked returns the replay of a subscription, nil if it does not replay.
func (c *channel) replayLocked(s *Subscription) *replay {
	if c.follow == nil {
		return nil
	}
	return c.follow.replays[s]
}

// groupLocked is the group that the subscription is or will be of.
func (r *replay) groupLocked() *Group {
	if r.change.group != nil {
		return r.change.group
	}
	return r.group
}

// changeLocked leaves a change to the goroutine at work on the replay; where there is none, it is made at once.
func (r *replay) changeLocked(a adoption) {
	r.change = a
	r.changed.Store(true)
	if r.waits {
		r.adoptLocked()
	}
}

// adoptLocked makes the change. Nobody else is at work on the replay.
func (r *replay) adoptLocked() {
	a := r.change
	r.change = adoption{}
	r.changed.Store(false)
	if a.who != nil {
		r.sub.who.Store(a.who)
		r.sub.expires = expiry(a.who)
	}
	if a.group == nil {
		return
	}
	if len(r.results) > 0 { // asked for with what the old group shares
		r.at, r.current = standing{at: r.results[0].followed().told.at.Before()}, false
		r.forgetLocked()
	}
	old := r.group
	r.group, r.match = a.group, a.group.matcherLocked()
	r.channel.unreserveLocked(old)
}

package hub

import (
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/policy"
)

// splice moves the members of a group to what the group has become, between two events of its channel.
type splice struct {
	channel *channel
	old     *Group
	join    Join // of what it has become; identity, mask and salt are those of a target
	renewal *Renewal

	due     bool   // results of a resolver are, for the members
	heir    *Group // that has taken them over, and holds them until all members are there
	dropped results
	targets map[target]*Group
	moved   int
	ending  []ending
	work    []*Group // in whose lanes events wait for a worker
}

// target is a group that members go to. Those that replay are asked for anew: they take nothing over.
type target struct {
	mask    policy.Mask
	replays bool
}

// ending is a subscription that is not valid any more.
type ending struct {
	sub    *Subscription
	errors []byte
}

// run moves who may stay and ends the others. Who is told of that is told without a lock.
func (sp *splice) run() {
	left := sp.runUnderTurn()
	sp.channel.dropped(&sp.dropped)
	for _, s := range left {
		s.tellLeft()
	}
}

// runUnderTurn holds the channel's turn: no event of the channel is dispatched meanwhile. It returns the subscriptions
// that it ended.
func (sp *splice) runUnderTurn() (left []*Subscription) {
	c := sp.channel
	c.turn.Lock()
	defer c.turn.Unlock()
	members, replays := sp.begin()
	for _, r := range replays { // first: what is due to them is not for the heir, who may see something else
		sp.moveReplay(r)
	}
	for len(members) > 0 {
		n := min(len(members), memberBatch)
		sp.move(members[:n])
		members = members[n:]
	}
	sp.end()
	for _, e := range sp.ending {
		if e.sub.Queue.End(endMessage(e.errors)) {
			c.leave(e.sub)
			left = append(left, e.sub)
		}
	}
	return left
}

// begin lists the members. The channel stays until end.
func (sp *splice) begin() (members []*Subscription, replays []*replay) {
	c, g := sp.channel, sp.old
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members++
	sp.targets = make(map[target]*Group)
	g.eachMember(func(s *Subscription) { members = append(members, s) })
	if g.cursors && c.follow != nil {
		for _, r := range c.follow.replays {
			if r.groupLocked() == g {
				replays = append(replays, r)
			}
		}
	}
	if l := g.lane(); l != nil && !l.idles() {
		sp.due = true
		sp.join.salt = c.hub.renewing.salts.Add(1) // nobody else's results are in that group
	} else {
		sp.join.salt = 0
	}
	return members, replays
}

// judge returns the group for an identity, in which a place is kept until end, or why it ends.
func (sp *splice) judge(j Join, replays bool) (*Group, []*gql.Error) {
	if sp.renewal.Invalid != nil {
		return nil, sp.renewal.Invalid
	}
	mask, errs := sp.renewal.Admit(j.Identity)
	if errs != nil {
		return nil, errs
	}
	at := target{mask, replays}
	if g := sp.targets[at]; g != nil {
		return g, nil
	}
	if !replays && sp.heir != nil {
		return nil, errApart
	}
	if j.Mask = mask; replays {
		j.salt = 0
	}
	var scratch [256]byte
	g, errs := sp.channel.hub.reserve(&j, j.appendKey(scratch[:0]))
	if errs != nil {
		return nil, errs
	}
	sp.targets[at] = g
	if sp.due && !replays {
		sp.takeOver(g)
	}
	return g, nil
}

// takeOver gives the old group's requests to a new group, which has none: its members are those of the old one. Workers
// answer meanwhile, and the lock is not held from here to the last member's move: results wait until then.
func (sp *splice) takeOver(g *Group) {
	c := sp.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := sp.old.lane(), g.lane()
	sp.heir, to.held = g, true
	to.waiting, to.head, to.idle, to.promised = from.waiting, from.head, from.idle, from.idle
	to.takeOverOwnLocked(from, g)
	from.waiting, from.head, from.idle = nil, 0, 0
	for _, r := range to.waiting[to.head:] {
		r.home = g
	}
	for range to.idle {
		sp.work = append(sp.work, g)
	}
}

// move moves a few members, or notes that they end.
func (sp *splice) move(members []*Subscription) {
	for _, s := range members {
		j := sp.join
		j.Identity = s.who.Load()
		g, errs := sp.judge(j, false)
		if errs != nil {
			sp.refuse(s, errs)
			continue
		}
		sp.moveTo(s, g)
	}
}

func (sp *splice) refuse(s *Subscription, errs []*gql.Error) {
	sp.ending = append(sp.ending, ending{s, sp.channel.hub.cfg.Ended(errs)})
}

func (sp *splice) moveTo(s *Subscription, g *Group) {
	c := sp.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.cell == nil || s.cell.group != sp.old { // it has left
		return
	}
	g.members++
	c.members++
	joined := s.joined
	c.removeLocked(s)
	c.addLocked(g, s)
	if sp.due { // what was taken over is for it, too
		s.joined = joined
	}
	s.SetPolicy(sp.renewal.Policy)
	sp.moved++
}

// moveReplay lets a replay go on in another group, after the page that it has.
func (sp *splice) moveReplay(r *replay) {
	c := sp.channel
	c.mu.Lock()
	over, who := r.over || r.groupLocked() != sp.old, r.change.who
	c.mu.Unlock()
	if over {
		return
	}
	j := sp.join
	if j.Identity = who; who == nil {
		j.Identity = r.sub.who.Load()
	}
	g, errs := sp.judge(j, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.over || r.groupLocked() != sp.old {
		return
	}
	if errs != nil {
		sp.refuseReplayLocked(r, errs)
		return
	}
	g.members++
	c.members++
	if pending := r.change.group; pending != nil {
		c.unreserveLocked(pending)
	}
	if r.waits { // what was due when it had read all is in a lane already
		sp.old.lane().passOnLocked(r.sub, g, &sp.dropped)
	}
	r.changeLocked(adoption{group: g, who: who})
	r.sub.SetPolicy(sp.renewal.Policy)
	sp.moved++
}

// refuseReplayLocked ends a replay; one that has not begun ends once it has.
func (sp *splice) refuseReplayLocked(r *replay, errs []*gql.Error) {
	if r.begun {
		sp.refuse(&r.sub.Subscription, errs)
		return
	}
	r.refused = sp.channel.hub.cfg.Ended(errs)
}

// end gives back what was kept.
func (sp *splice) end() {
	c := sp.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if sp.heir != nil {
		sp.heir.lane().releaseLocked(sp.heir, &sp.dropped)
	}
	for _, g := range sp.targets {
		c.unreserveLocked(g)
	}
	if c.members--; !c.dead {
		c.retireIfEmptyLocked()
	}
}

package hub

// own is, in a lane, what is due to one subscription alone: the results that it brought from its replay, and behind them
// those for all that came meanwhile, oldest first. Nobody else waits for them, and they do not count for the bound of the
// lane. The first of each is due, or the lane is held: whoever changes a list delivers what it then begins with. There may be
// as many as members. Guarded by the channel's mu.
type own map[*follower][]*Request

// pushOwn appends a request that is for one subscription alone.
func (l *lane) pushOwn(of *follower, r *Request) {
	if l.own == nil {
		l.own = make(own)
	}
	l.own[of] = append(l.own[of], r)
}

// passOnLocked moves what is due to one subscription alone to another group's lane.
func (l *lane) passOnLocked(to *follower, g *Group, rs *results) {
	if l == nil {
		return
	}
	for _, r := range l.withdrawLocked(to) {
		r.home = g
		g.lane().pushOwn(to, r)
	}
	g.lane().deliverOwnLocked(to, &delivery{results: rs})
}

// withdrawLocked takes out what is due to one subscription alone, oldest first.
func (l *lane) withdrawLocked(from *follower) []*Request {
	list := l.own[from]
	delete(l.own, from)
	return list
}

// forgetLocked gives up what is due to one subscription alone.
func (l *lane) forgetLocked(of *follower) {
	if l == nil {
		return
	}
	for _, r := range l.withdrawLocked(of) {
		if !r.done {
			r.take()
		}
	}
}

// takeOverOwnLocked takes what is due to single subscriptions of another group, of which g takes the place.
func (l *lane) takeOverOwnLocked(from *lane, g *Group) {
	l.own, from.own = from.own, nil
	for _, list := range l.own {
		for _, r := range list {
			r.home = g
		}
	}
}

// deliverOwnLocked is deliverLocked for what is due to one subscription alone.
func (l *lane) deliverOwnLocked(of *follower, out *delivery) {
	list, due := l.own[of]
	if !due || l.held || !list[0].done {
		return
	}
	for len(list) > 0 && list[0].done {
		if list[0].message != nil {
			out.enqueue(&of.Subscription, list[0])
		}
		list[0] = nil
		list = list[1:]
	}
	if l.own[of] = list; len(list) == 0 {
		delete(l.own, of)
	}
}

// releaseLocked delivers what came while the lane of g was held. What is due to those who have not become members is given up,
// whether it came or not: it is projected for members.
func (l *lane) releaseLocked(g *Group, rs *results) {
	l.held = false
	out := delivery{results: rs}
	for of := range l.own {
		if of.cell == nil || of.cell.group != g {
			l.forgetLocked(of)
		} else {
			l.deliverOwnLocked(of, &out)
		}
	}
	l.deliverLocked(rs)
}

// waitsLocked puts a result for all behind those that are due to a member alone; false when none are. Where twice as many
// wait as a lane may hold, the queue policy applies to that member.
func (l *lane) waitsLocked(s *Subscription, r *Request, out *delivery) bool {
	of := s.follower()
	list, due := l.own[of]
	if !due {
		return false
	}
	if len(list) >= 2*r.group.channel().hub.limits.Load().Lane {
		overflow := r.home.projection.Plan.Delivery.Overflow
		if leaveOut(s, overflow, out.results); !dropsOldest(overflow) {
			return true
		}
		if !list[0].done {
			list[0].take()
		}
		list[0] = nil
		list = list[1:]
	}
	l.own[of] = append(list, r)
	l.deliverOwnLocked(of, out)
	return true
}

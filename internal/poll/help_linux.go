//go:build amd64 || arm64

package poll

// Announce says that the caller is about to make connections dirty and will call Help. Until then the writers are
// not woken for a few of them (fewConns in each shard), which saves the caller a wake-up of another thread for what
// is often a single write. Work that waits for something does so between Suspend and Resume. Not to be called with a lock held that is needed to
// write.
func (p *Poller) Announce() { p.helpers.Add(1) }

// Help takes an announcement back and writes to the few connections that wait, in place of their writers.
// If more than a few wait, over all shards together, none of them is written to: their writers, who are woken, do it at
// the same time. It does not block and may be deferred: a panic leaves nothing behind.
func (p *Poller) Help() {
	p.helpers.Add(-1)
	waiting := 0
	for _, s := range p.shards {
		waiting += int(s.dirty.waiting.Load())
	}
	budget := fewConns
	for _, s := range p.shards {
		switch {
		case s.dirty.head.Load() == nil:
		case waiting > fewConns:
			s.dirty.rouse()
		default:
			budget = s.help(budget)
		}
	}
}

// Suspend is for whoever waits for something before Help, announced or not: until Resume nobody's announcement counts, so that
// nothing is left to a helper who waits. It wakes the writers for what was left before.
func (p *Poller) Suspend() {
	p.helpers.Add(-suspended)
	for _, s := range p.shards {
		if s.dirty.head.Load() != nil {
			s.dirty.rouse()
		}
	}
}

// Resume takes one Suspend back.
func (p *Poller) Resume() { p.helpers.Add(suspended) }

// suspended is more than there can be announcements.
const suspended = 1 << 32

// help writes to at most budget connections of the dirty list and returns what is left of the budget. If somebody
// else writes, it is left to him.
func (s *shard) help(budget int) int {
	if int(s.dirty.waiting.Load()) > budget {
		s.dirty.rouse()
		return budget
	}
	if !s.writing.TryLock() {
		if !s.urged.Load() {
			s.urged.Store(true)
		}
		if !s.writing.TryLock() { // whoever had it may have been about to let others run
			return budget
		}
	}
	defer s.endHelp()
	left := s.writeNew(budget)
	s.stats.helped.Add(int64(budget - left))
	return left
}

// endHelp gives the role of the writer back, and wakes him for what is left.
func (s *shard) endHelp() {
	broken := s.current // a panic of its Framing has lost what was taken
	s.current = nil
	left := s.rest.first != nil || s.much.first != nil
	s.writing.Unlock()
	if broken != nil {
		broken.Abort()
	}
	if left || s.dirty.head.Load() != nil {
		s.dirty.rouse()
	}
}

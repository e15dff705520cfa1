package revoke

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
)

// Set is the rules that are in force. All methods are safe for concurrent use; Matches costs one atomic load while there
// is no rule, and three lookups else.
type Set struct {
	limit int
	count atomic.Int64

	mu       sync.RWMutex
	byToken  map[string][]entry // guarded by mu, as the others
	byUser   map[string][]entry
	byTenant map[string][]entry
	others   []entry
	earliest time.Time // no rule ends before
}

// entry is a rule with the time before which credentials that do not say when they were issued must have been presented for
// it to refuse them, and the time at which every credential that it refuses has ended.
type entry struct {
	Rule
	presented, until time.Time
}

// refuses reports whether an identity is one of credentials that the rule refuses.
func (e *entry) refuses(who *identity.Identity) bool {
	switch {
	case !e.names(who):
		return false
	case e.IssuedBefore.IsZero():
		return true
	case who.IssuedAt.IsZero():
		return who.PresentedAt.Before(e.presented)
	}
	return who.IssuedAt.Before(e.IssuedBefore)
}

// NewSet makes an empty set of at most limit rules.
func NewSet(limit int) *Set { return &Set{limit: limit} }

// Len is the number of rules.
func (s *Set) Len() int { return int(s.count.Load()) }

// Full reports whether there are limit rules at that time, r not among them.
func (s *Set) Full(r *Rule, limit int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
	return s.Len() >= limit && s.sameLocked(r) == nil
}

// Add puts a rule in force until a time. presented is in the place of its IssuedBefore for credentials that do not say when
// they were issued. fresh is false for one that is in force already, or over; ok is false when the set is full.
func (s *Set) Add(r Rule, presented, now, until time.Time) (fresh, ok bool) {
	if !until.After(now) {
		return false, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
	if e := s.sameLocked(&r); e != nil {
		if until.After(e.until) {
			e.until = until
		}
		if fresh = r.IssuedBefore.After(e.IssuedBefore); fresh {
			e.IssuedBefore = r.IssuedBefore
			if presented.After(e.presented) {
				e.presented = presented
			}
		}
		return fresh, true
	}
	if s.Len() >= s.limit {
		return false, false
	}
	s.storeLocked(&r, append(s.listLocked(&r), entry{r, presented, until}))
	s.count.Add(1)
	if s.earliest.IsZero() || until.Before(s.earliest) {
		s.earliest = until
	}
	return true, true
}

// Kept is a rule with the time until which it is in force.
type Kept struct {
	Rule  Rule
	Until time.Time
}

// List returns the rules that are in force at a time, in no order.
func (s *Set) List(now time.Time) []Kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
	all := make([]Kept, 0, s.Len())
	add := func(list []entry) {
		for i := range list {
			all = append(all, Kept{list[i].Rule, list[i].until})
		}
	}
	for _, m := range []map[string][]entry{s.byToken, s.byUser, s.byTenant} {
		for _, list := range m {
			add(list)
		}
	}
	add(s.others)
	return all
}

// Matches reports whether a rule refuses the credentials of an identity.
func (s *Set) Matches(who *identity.Identity) bool {
	if s.count.Load() == 0 {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return who.TokenID != "" && match(s.byToken[who.TokenID], who) || who.UserID != "" && match(s.byUser[who.UserID], who) ||
		who.TenantID != "" && match(s.byTenant[who.TenantID], who) || match(s.others, who)
}

func match(list []entry, who *identity.Identity) bool {
	for i := range list {
		if list[i].refuses(who) {
			return true
		}
	}
	return false
}

// sameLocked returns the rule with which r is one, nil if there is none.
func (s *Set) sameLocked(r *Rule) *entry {
	list := s.listLocked(r)
	for i := range list {
		e := &list[i]
		if e.TokenID == r.TokenID && e.UserID == r.UserID && e.TenantID == r.TenantID && e.IssuedBefore.IsZero() == r.IssuedBefore.IsZero() {
			return e
		}
	}
	return nil
}

// listLocked returns the rules beside which r belongs.
func (s *Set) listLocked(r *Rule) []entry {
	switch {
	case r.TokenID != "":
		return s.byToken[r.TokenID]
	case r.UserID != "":
		return s.byUser[r.UserID]
	case r.TenantID != "":
		return s.byTenant[r.TenantID]
	}
	return s.others
}

func (s *Set) storeLocked(r *Rule, list []entry) {
	put := func(m *map[string][]entry, key string) {
		if *m == nil {
			*m = make(map[string][]entry)
		}
		(*m)[key] = list
	}
	switch {
	case r.TokenID != "":
		put(&s.byToken, r.TokenID)
	case r.UserID != "":
		put(&s.byUser, r.UserID)
	case r.TenantID != "":
		put(&s.byTenant, r.TenantID)
	default:
		s.others = list
	}
}

// expireLocked forgets rules that have nothing to refuse any more. It looks at them only when one may have ended.
func (s *Set) expireLocked(now time.Time) {
	if s.earliest.IsZero() || now.Before(s.earliest) {
		return
	}
	s.earliest = time.Time{}
	left := 0
	keep := func(list []entry) []entry {
		kept := list[:0]
		for _, e := range list {
			if e.until.After(now) {
				kept = append(kept, e)
				if s.earliest.IsZero() || e.until.Before(s.earliest) {
					s.earliest = e.until
				}
			}
		}
		clear(list[len(kept):])
		left += len(kept)
		return kept
	}
	for _, m := range []map[string][]entry{s.byToken, s.byUser, s.byTenant} {
		for key, list := range m {
			if m[key] = keep(list); len(m[key]) == 0 {
				delete(m, key)
			}
		}
	}
	s.others = keep(s.others)
	s.count.Store(int64(left))
}

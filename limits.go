package fraiseql

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// key stands for a user of a tenant, a tenant, a connection or an address, by a seeded hash: 8 bytes instead of their
// texts. Two of the same key share a bound, which happens once in 10⁹ engines of 100,000 users. Of addresses it has 31 bits:
// of 100,000 that are connected two or three pairs share a bound.
type key uint64

var (
	seedOnce sync.Once // rather than at start: programs that have no limits do not pay
	seed     maphash.Seed
)

func keySeed() maphash.Seed {
	seedOnce.Do(func() { seed = maphash.MakeSeed() })
	return seed
}

// accountOf is who is limited: a user of a tenant. Without a user that is the connection, since two clients that nobody
// knows are not the same one.
func accountOf(who *identity.Identity, conn *queue.Conn) key {
	if who.UserID == "" {
		return key(maphash.Comparable(keySeed(), uintptr(unsafe.Pointer(conn))))
	}
	return key(maphash.Comparable(keySeed(), struct{ tenant, user string }{who.TenantID, who.UserID}))
}

func tenantOf(tenant string) key { return key(maphash.String(keySeed(), tenant)) }

// addressOf is the key of a client's address, which fits 32 bits and is not 0; of IPv6 its network of 64 bits, which one client has at
// least. There is none for what is no address and for loopback ones: of a proxy on the same machine, they say nothing of
// its clients.
func addressOf(remote string) (k key, ok bool) {
	addr, err := netip.ParseAddrPort(remote)
	ip := addr.Addr()
	if err != nil {
		if ip, err = netip.ParseAddr(remote); err != nil {
			return 0, false
		}
	}
	if ip = ip.Unmap().WithZone(""); ip.IsLoopback() {
		return 0, false
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, err := ip.Prefix(bits)
	return key(uint32(maphash.Comparable(keySeed(), network)) | 1), err == nil
}

// use is what somebody has: connections, subscriptions, and the fields that those select.
type use [3]int32

const (
	useConnections = iota
	useSubscriptions
	useFields
)

// ledger is how much of each thing everybody uses, and how much one may. Whoever uses nothing is not in it.
type ledger struct {
	of     string // whose, in the names of limits
	limits [len(use{})]atomic.Int32
	shards [rateShards]ledgerShard
}

type ledgerShard struct {
	mu sync.Mutex
	n  map[key]use // guarded by mu
}

// newLedger returns nil when nothing is bounded.
func newLedger(of string, limits ...int) *ledger {
	if !slices.ContainsFunc(limits, func(n int) bool { return n > 0 }) {
		return nil
	}
	l := &ledger{of: of}
	for i, n := range limits {
		l.limits[i].Store(int32(min(n, 1<<31-1)))
	}
	return l
}

var useNames = [len(use{})]string{"connections", "subscriptions", "fields"}

// exceeded is a bound that somebody has reached.
type exceeded struct {
	name  string // of the limit
	limit int32
	what  string
	of    string
}

// take counts u in, unless a bound would be exceeded: then nothing is.
func (l *ledger) take(k key, u use) (over exceeded, ok bool) {
	if l == nil {
		return over, true
	}
	s := &l.shards[k%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[k]
	for i := range u {
		if limit := l.limits[i].Load(); limit > 0 && u[i] > 0 && n[i] > limit-min(u[i], limit) {
			// What is more than the bound alone passes while there is nothing else: documents have bounds of their own.
			if i != useFields || n[i] > 0 {
				return exceeded{useNames[i] + "_per_" + l.of, limit, useNames[i], l.of}, false
			}
		}
		n[i] += u[i]
	}
	if s.n == nil {
		s.n = make(map[key]use)
	}
	s.n[k] = n
	return over, true
}

// again counts u in for what takes the place of something that is still counted.
func (l *ledger) again(k key, u use) {
	if l == nil {
		return
	}
	s := &l.shards[k%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[k]
	for i := range u {
		n[i] += u[i]
	}
	s.n[k] = n // the other one is in it
}

// give counts u out.
func (l *ledger) give(k key, u use) {
	if l == nil {
		return
	}
	s := &l.shards[k%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[k]
	for i := range u {
		n[i] -= u[i]
	}
	if n == (use{}) {
		delete(s.n, k)
		return
	}
	s.n[k] = n
}

// canSet reports whether set could bound as much: somebody must have counted from the start.
func (l *ledger) canSet(limits ...int) bool {
	return l != nil || max(0, slices.Max(limits)) == 0
}

// set changes the bounds. What is used beyond them stays.
func (l *ledger) set(limits ...int) {
	if l == nil {
		return
	}
	for i, n := range limits {
		l.limits[i].Store(int32(min(n, 1<<31-1)))
	}
}

// len is how many use something.
func (l *ledger) len() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.n)
		s.mu.Unlock()
	}
	return n
}

// limited counts that a limit acted.
func (e *Engine) limited(name string) { e.observer.Counted(observe.Limited, name, 1) }

// subscribeRefused counts that an operation was refused, and the limit that did it.
func (e *Engine) subscribeRefused(errs []*gql.Error) {
	if errs[0].Limit != "" {
		e.limited(errs[0].Limit)
	}
	e.observer.Counted(observe.SubscribesRefused, errs[0].Code, 1)
}

// accounts are the ledgers of everybody.
type accounts struct {
	users, tenants, addresses *ledger // nil: no bound
}

func newAccounts(l *Limits) accounts {
	return accounts{
		users:     newLedger("user", l.ConnectionsPerUser, l.SubscriptionsPerUser, l.FieldsPerUser),
		tenants:   newLedger("tenant", l.ConnectionsPerTenant, l.SubscriptionsPerTenant),
		addresses: newLedger("ip", l.ConnectionsPerIP),
	}
}

// take counts somebody's use in, with the user and with the tenant.
func (a *accounts) take(account key, tenant string, u use) (exceeded, bool) {
	over, ok := a.users.take(account, u)
	if ok && tenant != "" {
		if over, ok = a.tenants.take(tenantOf(tenant), u); !ok {
			a.users.give(account, u)
		}
	}
	return over, ok
}

// again counts in what takes the place of something that is still counted.
func (a *accounts) again(account key, tenant string, u use) {
	a.users.again(account, u)
	if tenant != "" {
		a.tenants.again(tenantOf(tenant), u)
	}
}

func (a *accounts) give(account key, tenant string, u use) {
	a.users.give(account, u)
	if tenant != "" {
		a.tenants.give(tenantOf(tenant), u)
	}
}

// connected counts an authenticated connection in. Those without a user are bounded by address and tenant.
func (a *accounts) connected(who *identity.Identity) (over exceeded, ok bool) {
	one := use{useConnections: 1}
	if who.UserID == "" {
		if who.TenantID == "" {
			return over, true
		}
		return a.tenants.take(tenantOf(who.TenantID), one)
	}
	return a.take(accountOf(who, nil), who.TenantID, one)
}

func (a *accounts) disconnected(who *identity.Identity) {
	one := use{useConnections: 1}
	switch {
	case who.UserID != "":
		a.give(accountOf(who, nil), who.TenantID, one)
	case who.TenantID != "":
		a.tenants.give(tenantOf(who.TenantID), one)
	}
}

// left is told of every subscription that has ended.
func (a *accounts) left(s *hub.Subscription) {
	who := s.Identity()
	a.give(accountOf(who, s.Conn()), who.TenantID, use{useSubscriptions: 1, useFields: s.Weight()})
}

// admit judges the rate of subscribes, before anything is done for one.
func (e *Engine) admit(who *identity.Identity, conn *queue.Conn) []*gql.Error {
	if e.crowded() {
		return refused(code.RateLimited, "The server is short of memory, try again later.")
	}
	r := e.subscribeRates.Load()
	if r == nil {
		return nil
	}
	if wait := r.take(accountOf(who, conn), 1); wait > 0 {
		e.limited("subscribe_rate")
		return refused(code.RateLimited, "Too many subscribes in a short time, try again in "+seconds(wait)+".")
	}
	return nil
}

// enter joins a subscription to its channel, within the bounds of its user and tenant.
func (e *Engine) enter(ctx context.Context, j *hub.Join, resume *session.Resume, begin func(*hub.Subscription) bool) (*hub.Subscription, []*gql.Error) {
	a, u := accountOf(j.Identity, j.Conn), use{useSubscriptions: 1, useFields: j.Policy.Weight}
	if over, ok := e.accounts.take(a, j.Identity.TenantID, u); !ok {
		e.limited(over.name)
		if over.what == useNames[useFields] {
			return nil, refused(code.TooManySubscriptions, fmt.Sprintf("The subscriptions of the %s would select more than %d fields together: select less, or complete others first.", over.of, over.limit))
		}
		return nil, refused(code.TooManySubscriptions, fmt.Sprintf("The %s has %d %s, as many as a %s may have.", over.of, over.limit, over.what, over.of))
	}
	sub, errs := e.begin(ctx, j, resume, begin)
	if sub == nil {
		e.accounts.give(a, j.Identity.TenantID, u)
	}
	return sub, errs
}

// admitEvents judges the rate of a batch: a token per event from its tenant's bucket, all or nothing.
func (e *Engine) admitEvents(r *rates[string], batch []bus.Message) *PublishError {
	for from := 0; from < len(batch); {
		to, tenant := from+1, batch[from].Event.TenantID
		for to < len(batch) && batch[to].Event.TenantID == tenant {
			to++
		}
		if err := e.admitRun(r, batch, from, to); err != nil {
			for i := range from {
				r.giveBack(batch[i].Event.TenantID, 1)
			}
			return err
		}
		from = to
	}
	return nil
}

// admitRun judges events of one tenant that follow one another in a batch.
func (e *Engine) admitRun(r *rates[string], batch []bus.Message, from, to int) *PublishError {
	tenant, wait := batch[from].Event.TenantID, time.Duration(0)
	if to-from <= r.burst {
		if wait = r.take(tenant, to-from); wait == 0 {
			return nil
		}
	}
	e.limited("publish_rate")
	if n := eventsOf(batch, tenant); n > r.burst { // no wait is long enough
		return &PublishError{Index: from, Code: code.RateLimited, Message: fmt.Sprintf("%d events of one tenant at once are more than its burst of %d: send fewer at a time", n, r.burst)}
	}
	return &PublishError{Index: from, Code: code.RateLimited, Message: "too many events of one tenant in a short time, try again in " + seconds(wait), RetryAfter: wait}
}

func eventsOf(batch []bus.Message, tenant string) (n int) {
	for i := range batch {
		if batch[i].Event.TenantID == tenant {
			n++
		}
	}
	return n
}

// seconds writes a time as clients read it, rounded up to a tenth.
func seconds(d time.Duration) string {
	const tenth = 100 * time.Millisecond
	d = (d + tenth - 1).Truncate(tenth)
	return fmt.Sprintf("%g s", d.Seconds())
}

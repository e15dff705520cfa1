package fraiseql

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
	"weak"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// account is who is limited: a user of a tenant. Without a user that is a connection, since two clients that nobody
// knows are not the same one.
type account struct {
	tenant, user string
	conn         weak.Pointer[queue.Conn] // none with a user; a bucket keeps no connection alive
}

func accountOf(who *identity.Identity, conn *queue.Conn) account {
	if who.UserID == "" {
		return account{conn: weak.Make(conn)}
	}
	return account{tenant: who.TenantID, user: who.UserID}
}

// counts is how many live subscriptions each account has. Accounts without any are not in it.
type counts struct {
	limit  int32
	seed   maphash.Seed
	shards [rateShards]countShard
}

type countShard struct {
	mu sync.Mutex
	n  map[account]int32 // guarded by mu
}

// newCounts returns nil for no bound.
func newCounts(limit int) *counts {
	if limit <= 0 {
		return nil
	}
	return &counts{limit: int32(min(limit, 1<<31-1)), seed: maphash.MakeSeed()}
}

func (c *counts) shard(a account) *countShard {
	return &c.shards[maphash.Comparable(c.seed, a)%rateShards]
}

// enter counts a subscription in, unless the account has as many as it may have.
func (c *counts) enter(a account) bool {
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[a]
	if n >= c.limit {
		return false
	}
	if s.n == nil {
		s.n = make(map[account]int32)
	}
	s.n[a] = n + 1
	return true
}

// leave counts one out.
func (c *counts) leave(a account) {
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.n[a]; n > 1 {
		s.n[a] = n - 1
	} else {
		delete(s.n, a)
	}
}

// left is told of every subscription that has ended.
func (c *counts) left(s *hub.Subscription) { c.leave(accountOf(s.Identity(), s.Conn())) }

// admit judges the rate of subscribes, before anything is done for one.
func (e *Engine) admit(who *identity.Identity, conn *queue.Conn) []*gql.Error {
	if e.subscribeRates == nil {
		return nil
	}
	if wait := e.subscribeRates.take(accountOf(who, conn), 1); wait > 0 {
		return refused(code.RateLimited, "Too many subscribes in a short time, try again in "+seconds(wait)+".")
	}
	return nil
}

// enter joins a subscription to its channel, within the bound of its user.
func (e *Engine) enter(ctx context.Context, j *hub.Join, resume *session.Resume, begin func(*hub.Subscription) bool) (*hub.Subscription, []*gql.Error) {
	if e.userCounts == nil {
		return e.begin(ctx, j, resume, begin)
	}
	a := accountOf(j.Identity, j.Conn)
	if !e.userCounts.enter(a) {
		return nil, refused(code.TooManySubscriptions, fmt.Sprintf("The user has %d subscriptions, as many as a user may have.", e.userCounts.limit))
	}
	sub, errs := e.begin(ctx, j, resume, begin)
	if sub == nil {
		e.userCounts.leave(a)
	}
	return sub, errs
}

// admitEvents judges the rate of a batch: a token per event from its tenant's bucket, all or nothing.
func (e *Engine) admitEvents(batch []bus.Message) *PublishError {
	for from := 0; from < len(batch); {
		to, tenant := from+1, batch[from].Event.TenantID
		for to < len(batch) && batch[to].Event.TenantID == tenant {
			to++
		}
		if err := e.admitTenant(tenant, to-from); err != nil {
			for i := range from {
				e.publishRates.giveBack(batch[i].Event.TenantID, 1)
			}
			err.Index = from
			return err
		}
		from = to
	}
	return nil
}

func (e *Engine) admitTenant(tenant string, n int) *PublishError {
	if burst := e.publishRates.burst; n > burst {
		return &PublishError{Code: code.RateLimited, Message: fmt.Sprintf("%d events of one tenant at once are more than its burst of %d: send fewer at a time", n, burst)}
	}
	if wait := e.publishRates.take(tenant, n); wait > 0 {
		return &PublishError{Code: code.RateLimited, Message: "too many events of one tenant in a short time, try again in " + seconds(wait), RetryAfter: wait}
	}
	return nil
}

// seconds writes a time as clients read it, rounded up to a tenth.
func seconds(d time.Duration) string {
	const tenth = 100 * time.Millisecond
	d = (d + tenth - 1).Truncate(tenth)
	return fmt.Sprintf("%g s", d.Seconds())
}

package fraiseql

import (
	"github.com/fraiseql/fraiseql-go/internal/ceiling"
	"github.com/fraiseql/fraiseql-go/internal/hub"
)

// limits are those in force. They do not change: SetLimits puts others in their place.
func (e *Engine) limits() *Limits { return e.bounds.Load() }

// SetLimits puts other limits in force, zero members meaning the defaults, for everything that is alive, too: what is
// above a new bound stays, and nothing is added to it. It returns the names of those members that differ and that a new
// engine only can take: ResolverTimeout, and bounds of users, tenants or addresses where the engine was
// made without any, so that nobody has counted. With an error nothing has changed.
func (e *Engine) SetLimits(l Limits) (left []string, err error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	e.setting.Lock()
	defer e.setting.Unlock()
	next, old := l.WithDefaults(), e.limits()
	if next.ResolverTimeout != old.ResolverTimeout {
		left, next.ResolverTimeout = append(left, "ResolverTimeout"), old.ResolverTimeout
	}
	left = append(left, e.setAccounts(old, &next)...)
	e.bounds.Store(&next)
	e.setRates(old, &next)
	e.setQueues(&next)
	e.schema.Load().plans.SetBytes(next.PlanCacheBytes)
	e.hub.SetLimits(next.hub())
	return left, nil
}

// hub are those that the hub looks at.
func (l *Limits) hub() hub.Limits {
	return hub.Limits{
		Events: l.events(), GroupsPerChannel: l.GroupsPerChannel, GroupsPerTenant: l.GroupsPerTenant,
		Workers: l.ResolverWorkers, Lane: l.ResolverLane, ResumeEvents: l.ResumeEvents,
	}
}

// setRates makes the buckets of rates that differ; they begin full.
func (e *Engine) setRates(old, l *Limits) {
	if old.SubscribeRate != l.SubscribeRate || old.SubscribeBurst != l.SubscribeBurst {
		e.subscribeRates.Store(newRates[key](l.SubscribeRate, l.SubscribeBurst))
	}
	if old.PublishRate != l.PublishRate || old.PublishBurst != l.PublishBurst {
		e.publishRates.Store(newRates[string](l.PublishRate, l.PublishBurst))
	}
	if old.ConnectRate != l.ConnectRate {
		e.connectRate.Store(newRates[struct{}](l.ConnectRate, 0))
	}
	if old.MemoryBytes != l.MemoryBytes {
		var c *ceiling.Ceiling
		if l.MemoryBytes > 0 {
			c = ceiling.New(int64(l.MemoryBytes), e.makeRoom)
		}
		e.ceiling.Store(c)
	}
}

// setQueues sets what queues, sessions and transports look at.
func (e *Engine) setQueues(l *Limits) {
	e.queues.Set(l.QueueMessages, l.QueueBytes)
	e.connQueue.Store(int64(l.ConnectionQueueBytes))
	e.perConnection.Store(int64(l.SubscriptionsPerConnection))
}

// setAccounts changes what users, tenants and addresses may use, and returns the names of those bounds that nobody counts
// and that differ.
func (e *Engine) setAccounts(old, l *Limits) (left []string) {
	a := &e.accounts
	left = setLedger(a.users, left,
		kept{"ConnectionsPerUser", &l.ConnectionsPerUser, old.ConnectionsPerUser}, kept{"SubscriptionsPerUser", &l.SubscriptionsPerUser, old.SubscriptionsPerUser},
		kept{"FieldsPerUser", &l.FieldsPerUser, old.FieldsPerUser})
	left = setLedger(a.tenants, left,
		kept{"ConnectionsPerTenant", &l.ConnectionsPerTenant, old.ConnectionsPerTenant}, kept{"SubscriptionsPerTenant", &l.SubscriptionsPerTenant, old.SubscriptionsPerTenant})
	return setLedger(a.addresses, left, kept{"ConnectionsPerIP", &l.ConnectionsPerIP, old.ConnectionsPerIP})
}

// kept is a bound that stays what it was if nobody counts.
type kept struct {
	name string
	n    *int
	old  int
}

// setLedger changes the bounds of a ledger, or puts them back and appends the names of those that were to change.
func setLedger(to *ledger, left []string, bounds ...kept) []string {
	limits := make([]int, len(bounds))
	for i, b := range bounds {
		limits[i] = *b.n
	}
	if to.canSet(limits...) {
		to.set(limits...)
		return left
	}
	for _, b := range bounds {
		if *b.n != b.old {
			left, *b.n = append(left, b.name), b.old
		}
	}
	return left
}

package fraiseql

import "github.com/fraiseql/fraiseql-go/policy"

// Metrics are counts since the engine was made, beside sizes as they are now. They are kept whatever the
// Observer is.
type Metrics struct {
	Stats
	// Events that came from the bus, Messages enqueued for subscriptions, Dropped by full queues.
	Events, Messages, Dropped uint64
	// Denied counts, by the name of the check (scope, tenant, row, federation, rbac), subscriptions that an event
	// was not for, and subscribes that were refused.
	Denied map[string]uint64
}

// Metrics returns counts and sizes; cheap enough for a call per second.
func (e *Engine) Metrics() Metrics {
	t := e.hub.Totals()
	t.Denied[policy.Scope] += e.refusedScope.Load()
	t.Denied[policy.Role] += e.refusedRole.Load()
	m := Metrics{Stats: e.Stats(), Events: t.Events, Messages: t.Messages, Dropped: t.Dropped, Denied: make(map[string]uint64, policy.Checks)}
	for c, n := range t.Denied {
		m.Denied[policy.Check(c).String()] = n
	}
	return m
}

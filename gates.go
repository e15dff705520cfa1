package fraiseql

// gates are what a connection passes before its request is read: the bound of its address, and the rate at which the
// process takes new ones. It implements session.Gates.
type gates Engine

// Enter counts a connection in. reason is a label of observe.ConnectionsRefused, or "".
func (g *gates) Enter(remote string) (address uint32, reason, message string) {
	e := (*Engine)(g)
	if e.crowded() {
		return 0, "memory", "the server is short of memory, try again later"
	}
	if r := e.connectRate.Load(); r != nil && r.take(struct{}{}, 1) > 0 {
		e.limited("connect_rate")
		return 0, "rate", "too many connections at once, try again later"
	}
	k, ok := addressOf(remote)
	if !ok || e.accounts.addresses == nil {
		return 0, "", ""
	}
	if over, ok := e.accounts.addresses.take(k, use{useConnections: 1}); !ok {
		e.limited(over.name)
		if e.warned.CompareAndSwap(false, true) {
			e.log.Warn("an address has as many connections as it may have; behind a proxy that hides its clients, set limits.connections_per_ip: 0", "limit", over.limit)
		}
		return 0, "limit", "too many connections from this address"
	}
	return uint32(k), "", ""
}

// Leave counts out what Enter has counted in.
func (g *gates) Leave(address uint32) {
	if address != 0 {
		g.accounts.addresses.give(key(address), use{useConnections: 1})
	}
}

// crowded reports whether the process uses more memory than Limits.MemoryBytes: it takes nothing new then.
func (e *Engine) crowded() bool {
	if c := e.ceiling.Load(); c == nil || !c.Exceeded() {
		return false
	}
	e.limited("memory")
	return true
}

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
	// The address first: one that has too many does not use up the rate of all.
	if k, ok := addressOf(remote); ok && e.accounts.addresses != nil {
		if over, ok := e.accounts.addresses.take(k, use{useConnections: 1}); !ok {
			e.limited(over.name)
			if e.warned.CompareAndSwap(false, true) {
				e.log.Warn("an address has as many connections as it may have; behind a proxy that hides its clients, set limits.connections_per_ip: 0", "limit", over.limit)
			}
			return 0, "limit", "too many connections from this address"
		}
		address = uint32(k)
	}
	if r := e.connectRate.Load(); r != nil && r.take(struct{}{}, 1) > 0 {
		g.Leave(address)
		e.limited("connect_rate")
		return 0, "rate", "too many connections at once, try again later"
	}
	return address, "", ""
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

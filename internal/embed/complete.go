//go:build linux

package embed

// Complete ends a subscription: 1, 0 when it was completed before, or Unknown.
func (e *Engine) Complete(handle int64) int64 {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		if e.lib.subscriptions.gone(handle) {
			return 0
		}
		return Unknown
	}
	if _, ok = e.lib.subscriptions.remove(handle); !ok {
		return 0
	}
	c := s.conn
	c.mu.Lock()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
		if s.ended {
			c.ended--
		}
	}
	c.mu.Unlock()
	if pull := s.pull.Load(); pull != nil {
		pull.Complete()
	}
	e.resolverDone(s.own)
	return 1
}

// CompleteConnection ends every subscription of a connection: 1, 0 when it was completed before, or Unknown.
func (e *Engine) CompleteConnection(handle int64) int64 {
	c, ok := e.lib.connections.get(handle)
	if !ok || c.engine != e {
		if e.lib.connections.gone(handle) {
			return 0
		}
		return Unknown
	}
	e.mu.Lock()
	if e.connections[c.id] == c {
		delete(e.connections, c.id)
	}
	e.mu.Unlock()
	return e.closeConnection(c)
}

// closeConnection ends a connection that is out of its engine's list.
func (e *Engine) closeConnection(c *connection) int64 {
	if _, ok := e.lib.connections.remove(c.handle); !ok {
		return 0
	}
	c.mu.Lock()
	subs := c.subs
	c.subs = nil
	c.closeLocked()
	c.mu.Unlock()
	for _, s := range subs {
		if _, ok := e.lib.subscriptions.remove(s.handle); ok {
			e.resolverDone(s.own)
		}
	}
	e.facade.CompleteConnection(c.name)
	return 1
}

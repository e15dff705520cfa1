package queue

import (
	"bytes"
	"slices"
)

// Retract drops the control messages that wait and whose text begins with prefix: nobody wants them any more. Those that were
// taken stay so.
func (c *Conn) Retract(prefix []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.control == nil {
		return
	}
	c.control.items = slices.DeleteFunc(c.control.items, func(m Control) bool {
		drop := m.Kind == Text && bytes.HasPrefix(m.Data, prefix)
		if drop {
			c.accountControlLocked(-len(m.Data))
		}
		return drop
	})
}

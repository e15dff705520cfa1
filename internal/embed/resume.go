//go:build linux

package embed

import (
	"context"
	"errors"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// Resume begins a subscription again after the event of a cursor, "" now: 1, 0 when it has ended, or Unknown. It waits
// for the bus.
func (e *Engine) Resume(handle int64, cursor string) (int64, error) {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		if e.lib.subscriptions.gone(handle) {
			return 0, nil
		}
		return Unknown, nil
	}
	pull := s.pull.Load()
	if pull == nil { // Subscribe has not returned it yet
		return Unknown, nil
	}
	switch err := pull.Resume(context.Background(), cursor); {
	case errors.Is(err, fraiseql.ErrEnded):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return 1, nil
}

//go:build !fqmemory

package fraiseql

import (
	"errors"
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/origin"
)

// SetServing changes how every handler of the engine, and its Sessions, serve clients. Connections that are open stay, whatever
// their origin. WebSockets of handlers take times over at the latest when those before would have been over, but one that was
// never to be pinged stays so; Sessions keep their times. With an error nothing has changed.
func (e *Engine) SetServing(s Serving) error {
	if err := checkOrigins(s.Origins); err != nil {
		return fmt.Errorf("Serving%w", err)
	}
	for _, of := range e.serving() {
		of.setServing(&s)
	}
	return nil
}

// setServing implements server.
func (p *endpoint) setServing(s *Serving) {
	p.most.Store(int64(s.MaxConnections))
	p.origins.Store(parseOrigins(s.Origins))
	p.ws.SetTimes(s.InitTimeout, s.PingInterval, s.PongTimeout)
}

// parseOrigins reads what checkOrigins has passed.
func parseOrigins(texts []string) *origin.List {
	list, _ := origin.Parse(texts)
	return &list
}

func checkOrigins(texts []string) error {
	_, bad := origin.Parse(texts)
	var errs []error
	for _, o := range bad {
		errs = append(errs, fmt.Errorf(".Origins: %q is not scheme://host[:port]", o))
	}
	return errors.Join(errs...)
}

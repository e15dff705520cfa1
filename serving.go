//go:build !fqmemory

package fraiseql

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/origin"
)

// SetServing changes how every handler of the engine, and its Sessions, serve clients. Connections that are open stay, whatever
// their origin and the cookie that they came with. WebSockets of handlers take times over at the latest when those before would have been over, but one that was
// never to be pinged stays so; Sessions keep their times. With an error nothing has changed.
func (e *Engine) SetServing(s Serving) error {
	if err := checkOrigins(s.Origins); err != nil {
		return fmt.Errorf("Serving%w", err)
	}
	e.setting.Lock()
	defer e.setting.Unlock()
	for _, of := range e.serving() {
		of.setServing(&s)
	}
	return nil
}

// setServing implements server.
func (p *endpoint) setServing(s *Serving) {
	p.most.Store(int64(s.MaxConnections))
	callbacks := CallbackConfig{MaxSubscriptions: s.MaxCallbacks}
	p.callbacksMost.Store(int64(callbacks.most()))
	p.pages.Store(newPages(s.Origins, s.Cookie))
	p.ws.SetTimes(s.InitTimeout, s.PingInterval, s.PongTimeout)
	p.ws.SetMessageBytes(s.MessageBytes)
	p.gate.setServing(s, p)
}

// setServing changes what all protocols ask for.
func (g *gate) setServing(s *Serving, of server) {
	g.message.Store(int64(messageBytes(s.MessageBytes)))
	if s.Hooks != nil {
		g.setHooks(s.Hooks, of)
	}
}

const defaultMessageBytes = 1 << 20

// messageBytes is HandlerConfig.MessageBytes with its default.
func messageBytes(n int) int { return cmp.Or(max(n, 0), defaultMessageBytes) }

func checkOrigins(texts []string) error {
	_, bad := origin.Parse(texts)
	var errs []error
	for _, o := range bad {
		errs = append(errs, fmt.Errorf(".Origins: %q is not scheme://host[:port]", o))
	}
	return errors.Join(errs...)
}

//go:build !fqmemory

package fraiseql

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/origin"
)

// SetServing changes how every handler of the engine, and its Sessions, serve clients. Connections that are open stay, whatever
// their origin and the cookie that they came with. WebSockets of handlers take times over at the latest when those before would have been over, but one that was
// never to be pinged stays so; Sessions keep their times. With an error nothing has changed.
func (e *Engine) SetServing(s Serving) error {
	if err := s.validate("Serving", "MaxCallbacks"); err != nil {
		return err
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

// validate reports every problem; whole and callbacks are how the program calls s and MaxCallbacks.
func (s *Serving) validate(whole, callbacks string) error {
	_, bad := origin.Parse(s.Origins)
	var errs []error
	for _, o := range bad {
		errs = append(errs, fmt.Errorf("%s.Origins: %q is not scheme://host[:port]", whole, o))
	}
	type setting struct {
		name string
		n    int64
	}
	list := []setting{
		{"MessageBytes", int64(s.MessageBytes)}, {"MaxConnections", int64(s.MaxConnections)}, {callbacks, int64(s.MaxCallbacks)},
		{"InitTimeout", int64(s.InitTimeout)}, {"PongTimeout", int64(s.PongTimeout)},
	}
	if s.Hooks != nil {
		list = append(list, setting{"Hooks.RecheckEvery", int64(s.Hooks.RecheckEvery)})
	}
	for _, of := range list {
		if of.n < 0 {
			errs = append(errs, fmt.Errorf("%s.%s must not be negative", whole, of.name))
		}
	}
	if strings.ContainsAny(s.Cookie, " \t;,=\"") {
		errs = append(errs, fmt.Errorf("%s.Cookie: %q is not the name of a cookie", whole, s.Cookie))
	}
	return errors.Join(errs...)
}

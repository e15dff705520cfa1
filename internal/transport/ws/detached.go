package ws

import (
	"errors"
	"math"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// Detached is a connection without a socket, in every other respect like one: what measurements of memory hold
// by the hundred thousand. What is sent to it waits in its queue.
type Detached struct{ c *conn }

// Detached opens a connection without a socket. It counts as open until the poller is closed. Only the epoll
// implementation has such connections.
func (h *Handler) Detached() (*Detached, error) {
	address, refused := h.admit("")
	if refused != nil {
		return nil, errors.New("open detached connection: " + refused.message)
	}
	c := newConn(h, &session.Handshake{}, Subprotocol, address)
	if err := h.cfg.Poller.Register(&c.out, c, poll.Registration{Deadline: time.Duration(math.MaxInt32) * time.Second}); err != nil {
		h.leave(address)
		return nil, err
	}
	return &Detached{c}, nil
}

// Receive hands over a whole message of the client.
func (d *Detached) Receive(message []byte) { d.c.driver.Receive(message) }

// Operations is the number of active operations.
func (d *Detached) Operations() int { return d.c.driver.Operations() }

// Acknowledged reports whether the client was admitted.
func (d *Detached) Acknowledged() bool { return d.c.driver.Identity() != nil }

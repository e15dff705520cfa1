package gqlhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// Callbacks takes subscriptions whose results go to an address that the client names.
type Callbacks struct {
	// Asked reports whether a request asks for that; nil: none does.
	Asked func(*http.Request) bool
	// Open reserves a place for a request with these extensions.
	Open func(extensions []byte) (Callback, error)
	// Protocol is the answer's header subscription-protocol.
	Protocol string
}

// Callback is one such subscription: confirmed and begun, or abandoned. An error with a method HTTP says how the
// request is answered.
type Callback interface {
	Outbound() *queue.Conn
	// Confirm gives it what has started, and asks the address. It blocks.
	Confirm(ctx context.Context, sub *hub.Subscription, who *identity.Identity) error
	// Begin is called when the request has been answered. From then on it counts out, at its end, whom the engine let in.
	Begin()
	Abandon()
	// End ends it with a close code.
	End(code uint16)
	session.Renewable
}

// callback answers a request for a subscription by callback.
func (x *exchange) callback(req *session.Request) {
	x.accept = accepted{once: formatJSON}
	c, err := x.h.cfg.Callbacks.Open(req.Extensions)
	if err != nil {
		x.refuse(refusalOf(err))
		return
	}
	if no := x.enter(); no != nil {
		c.Abandon()
		x.refuse(no)
		return
	}
	out, no := x.run(c.Outbound(), req)
	if no == nil && out.Subscription != nil {
		if err := c.Confirm(x.r.Context(), out.Subscription, x.who); err != nil {
			no = refusalOf(err)
		} else {
			x.tell(req.Extensions, c)
			x.w.Header().Set("Subscription-Protocol", x.h.cfg.Callbacks.Protocol)
			x.write(http.StatusOK, mediaTypes[formatJSON]+"; charset=utf-8", []byte(`{"data":null}`))
			c.Begin()
			if x.revoked() {
				c.End(codeExpired)
			}
			return
		}
	}
	c.Abandon()
	x.h.cfg.Host.Engine().Left(x.who)
	switch {
	case no != nil:
		x.refuse(no)
	case out.Result != nil:
		x.result(out.Result)
	case out.Errors != nil:
		x.errors(out.Code, out.Errors)
	default:
		x.refuse(internal())
	}
}

// refusalOf is the answer to an error that knows its own.
func refusalOf(err error) *refusal {
	var known interface{ HTTP() (int, string, string) }
	if !errors.As(err, &known) {
		return internal()
	}
	no := &refusal{}
	no.status, no.code, no.message = known.HTTP()
	no.retry = no.status == http.StatusServiceUnavailable
	return no
}

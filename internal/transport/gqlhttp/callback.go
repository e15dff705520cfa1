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
	// Open reserves a place for a request with these extensions; nil: none is served by callback.
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
	// Begin is called when the answer to the request is on its way, which no result may overtake. From then on it counts out, at its end, whom the engine let in.
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
			x.begin(c, req)
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

// begin answers a request whose callback is confirmed, and begins it. Who went away without the answer gets nothing.
func (x *exchange) begin(c Callback, req *session.Request) {
	x.tell(req.Extensions, c)
	x.w.Header().Set("Subscription-Protocol", x.h.cfg.Callbacks.Protocol)
	x.write(http.StatusOK, mediaTypes[formatJSON]+"; charset=utf-8", []byte(`{"data":null}`))
	if err := http.NewResponseController(x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.Abandon()
		x.h.cfg.Host.Engine().Left(x.who)
		return
	}
	c.Begin()
	if x.revoked() {
		c.End(codeExpired)
	}
}

// asksCallback reports whether a request asks for the protocol of callbacks: a parameter of a media range that it takes.
func asksCallback(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	places := 0
	for _, header := range r.Header.Values("Accept") {
		for part := range splitQuoted(header, ',') {
			if places++; places > maxRanges {
				return false
			}
			name, q, ok := mediaRange(part)
			if ok && q > 0 && name == mediaTypes[formatJSON] && parameter(part, "callbackspec") == "1.0" {
				return true
			}
		}
	}
	return false
}

// refusalOf is the answer to an error that knows its own.
func refusalOf(err error) *refusal {
	var known interface{ HTTP() (int, string, string) }
	if !errors.As(err, &known) {
		return internal()
	}
	no := &refusal{}
	no.status, no.code, no.message = known.HTTP()
	no.retry = no.status == http.StatusServiceUnavailable || no.status == http.StatusTooManyRequests
	return no
}

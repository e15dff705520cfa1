//go:build linux && !fqmemory

package embed

import (
	"context"
	"net/http"
	"strings"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// asking is an engine as the Authenticator that asks the host.
type asking Engine

// Authenticate waits for the host's answer, or until nobody wants it any more. A host that does not answer in time has
// not judged: the client may come again.
func (a *asking) Authenticate(ctx context.Context, who fraiseql.Credentials) (*fraiseql.Identity, error) {
	e := (*Engine)(a)
	c := &call{engine: e, kind: CallAuthenticate, payload: who.Payload, reply: make(chan reply, 1)}
	if v, ok := who.Request.(*hostValue); ok {
		c.token, c.session = v.token, v.request
	}
	if !e.queue.add(c, true) {
		return nil, unjudged("the engine is closed")
	}
	select {
	case r := <-c.reply:
		return r.identity()
	case <-ctx.Done():
	case <-e.stopped:
	}
	e.queue.forget(c)
	return nil, unjudged("no answer of the host")
}

func unjudged(why string) error {
	return &identity.Error{Reason: identity.KeysUnavailable, Detail: why}
}

// identity is what an answer means; Answer has checked its text.
func (r *reply) identity() (*fraiseql.Identity, error) {
	switch r.kind {
	case AnswerValue:
		return r.who, nil
	case AnswerRefused:
		return nil, &identity.Error{Reason: identity.Claims, Detail: "refused by the host"}
	}
	return nil, unjudged("the host failed")
}

// appendHTTP appends what the HTTP request of a client of our own server said, as a JSON object: path, query,
// remote_addr, and headers as pairs, without cookies unless they may be judged.
func appendHTTP(dst []byte, r *http.Request, cookies bool) []byte {
	dst = jsontape.AppendQuoted(append(dst, `{"path":`...), r.URL.Path)
	dst = jsontape.AppendQuoted(append(dst, `,"query":`...), r.URL.RawQuery)
	dst = jsontape.AppendQuoted(append(dst, `,"remote_addr":`...), r.RemoteAddr)
	dst = jsontape.AppendQuoted(append(dst, `,"headers":[["host",`...), r.Host)
	dst = append(dst, ']')
	for name, values := range r.Header {
		if name == "Cookie" && !cookies {
			continue
		}
		for _, value := range values {
			dst = jsontape.AppendQuoted(append(dst, ",["...), strings.ToLower(name))
			dst = append(jsontape.AppendQuoted(append(dst, ','), value), ']')
		}
	}
	return append(dst, "]}"...)
}

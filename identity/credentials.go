package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
)

// Credentials are what a client presented. At most one of them is judged: the authorization member of
// Payload, else Authorization, else Cookie. One that is present and wrong refuses; none of the others is
// then asked.
type Credentials struct {
	Authorization string // header, `Bearer …`
	Cookie        string // value of the configured cookie: a bare token
	Payload       []byte // of connection_init: a JSON object, or nil
	RemoteAddr    string
	// Request is what the host that owns the WebSocket gave with the session (fraiseql.SessionRequest.Value); nil
	// with fraiseql.Engine.Handler.
	Request any
	// Refresh says that the client of an open connection presents fresh credentials. Over a WebSocket they are in Payload,
	// Request is that of the connect, where there was one, and nothing else is set. Over HTTP they are those of the request,
	// and Payload is its body. Credentials of another user, tenant, federation or service than the connection has are of no
	// use to it; over the WebSocket they close it.
	Refresh bool
}

// Authenticator turns credentials into an identity. It may block and is called by many goroutines. An
// *Error in the chain of what it returns says why; its text is never sent to a client.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (*Identity, error)
}

// Reason sorts refused credentials, for metrics.
type Reason string

// The reasons. KeysUnavailable alone is no judgement: the credentials may be right, and the client should
// come again.
const (
	Missing         Reason = "missing"
	Malformed       Reason = "malformed"
	Signature       Reason = "signature"
	Algorithm       Reason = "algorithm"
	Expired         Reason = "expired"
	NotYetValid     Reason = "not_yet_valid"
	Issuer          Reason = "issuer"
	Audience        Reason = "audience"
	Claims          Reason = "claims"
	Lifetime        Reason = "lifetime"
	Revoked         Reason = "revoked"
	KeysUnavailable Reason = "keys_unavailable"
)

// Error is why credentials gave no identity.
type Error struct {
	Reason Reason
	Detail string // for the operator's log; holds nothing that the client chose
}

// Error returns reason and detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "credentials: " + string(e.Reason)
	}
	return "credentials: " + string(e.Reason) + ": " + e.Detail
}

// Unavailable reports whether the credentials could not be judged: whoever presented them is not refused
// for good.
func (e *Error) Unavailable() bool { return e.Reason == KeysUnavailable }

// Bearer returns the token that is judged. The error is an *Error: Missing when nothing was presented,
// Malformed when what was cannot hold a token.
func (c *Credentials) Bearer() (string, error) {
	value, present, err := c.payloadAuthorization()
	switch {
	case err != nil:
		return "", err
	case present:
	case c.Authorization != "":
		value = c.Authorization
	case c.Cookie != "":
		return c.Cookie, nil
	default:
		return "", &Error{Reason: Missing}
	}
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", &Error{Reason: Malformed, Detail: "authorization is not Bearer and a token"}
	}
	return token, nil
}

// payloadAuthorization finds the member authorization of the payload, in any letter case, as the header has
// none. More than one is refused rather than chosen from.
func (c *Credentials) payloadAuthorization() (value string, present bool, err error) {
	if len(c.Payload) == 0 {
		return "", false, nil
	}
	malformed := &Error{Reason: Malformed, Detail: "payload of connection_init"}
	dec := json.NewDecoder(bytes.NewReader(c.Payload))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		if open == nil && err == nil { // null: no payload
			return "", false, nil
		}
		return "", false, malformed
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", false, malformed
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return "", false, malformed
		}
		if text, _ := name.(string); !strings.EqualFold(text, "authorization") {
			continue
		}
		if present || json.Unmarshal(raw, &value) != nil || raw[0] != '"' {
			return "", false, malformed
		}
		present = true
	}
	if end, err := dec.Token(); err != nil || end != json.Delim('}') {
		return "", false, malformed
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", false, malformed
	}
	return value, present, nil
}

// Package wsclient is a client of graphql-transport-ws for one subscription: it connects, delivers results as
// raw JSON, and comes back after closes that a client should retry. `fraiseql subscribe` is its user.
package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Config says what to subscribe to and how. Zero members mean the default in the comment.
type Config struct {
	// URL of the endpoint: ws, wss, http or https.
	URL string
	// Token is sent as `authorization` in connection_init, with `Bearer ` before it unless it has a scheme.
	Token string
	// InitPayload holds further members of connection_init's payload; the token wins over its authorization.
	InitPayload map[string]any
	// Header is added to the HTTP request (Origin, for example); Host takes the place of the URL's.
	Header http.Header

	Query         string
	OperationName string
	Variables     json.RawMessage // JSON object
	Extensions    map[string]any

	// Resume asks the server to deliver after a reconnect what was missed. The server's cursor is then
	// found in `extensions` of the results.
	Resume bool
	// Attempts bounds successive failures to reach an acknowledged connection; 0: no bound. The count starts
	// again with each acknowledgement.
	Attempts int
	// BackoffBase and BackoffMax bound the wait before attempt n, which is random between 0 and the smaller
	// of max and base·2ⁿ ("full jitter"); 500 ms and 30 s.
	BackoffBase, BackoffMax time.Duration
	// Final adds close codes after which there is no retry, for example 4403 when the token cannot change.
	Final []int
	// ConnectTimeout bounds handshake and acknowledgement; 10 s.
	ConnectTimeout time.Duration
	// KeepAlive is the silence after which a ping is sent; a connection that stays silent as long again is
	// given up. 30 s; negative: never.
	KeepAlive time.Duration
	// MessageBytes bounds a message of the server; 32 MiB.
	MessageBytes int64
	// Retry, if set, is told before each wait why the connection ended and how long the wait is.
	Retry func(err error, wait time.Duration)
	// Connected, if set, is told after each acknowledgement.
	Connected func()
}

func (c Config) withDefaults() Config {
	setDuration(&c.BackoffBase, 500*time.Millisecond)
	setDuration(&c.BackoffMax, 30*time.Second)
	setDuration(&c.ConnectTimeout, 10*time.Second)
	if c.KeepAlive == 0 {
		c.KeepAlive = 30 * time.Second
	}
	if c.MessageBytes <= 0 {
		c.MessageBytes = 32 << 20
	}
	return c
}

func setDuration(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// CloseError is the end of a connection by the server. It ends Run when its code is final (Retryable) or when
// attempts are used up.
type CloseError struct {
	Code   int // 1006 when the connection broke without a close frame
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("connection closed by the server with code %d", e.Code)
	}
	return fmt.Sprintf("connection closed by the server with code %d: %s", e.Code, e.Reason)
}

// HandshakeError is an HTTP answer other than 101.
type HandshakeError struct {
	Status int
	Reason string // printable, as the body says; empty for a page
}

func (e *HandshakeError) Error() string {
	text := fmt.Sprintf("the server refused the WebSocket handshake with HTTP status %d %s", e.Status, http.StatusText(e.Status))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// OperationError is an `error` message: the server refused or ended the subscription.
type OperationError struct {
	Errors json.RawMessage // array of GraphQL errors
}

func (e *OperationError) Error() string {
	var list []struct {
		Message   string `json:"message"`
		Locations []struct {
			Line   int `json:"line"`
			Column int `json:"column"`
		} `json:"locations"`
		Extensions struct {
			Code string `json:"code"`
		} `json:"extensions"`
	}
	if err := json.Unmarshal(e.Errors, &list); err != nil || len(list) == 0 {
		return "subscription refused: " + string(e.Errors)
	}
	texts := make([]string, len(list))
	for i, refusal := range list {
		texts[i] = refusal.Message
		if len(refusal.Locations) > 0 {
			at := refusal.Locations[0]
			texts[i] = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Column, refusal.Message)
		}
		if refusal.Extensions.Code != "" {
			texts[i] += " (" + refusal.Extensions.Code + ")"
		}
	}
	return "subscription refused: " + strings.Join(texts, "; ")
}

// ProtocolError is a message of the server that graphql-transport-ws does not allow.
type ProtocolError struct{ Problem string }

func (e *ProtocolError) Error() string { return "protocol error of the server: " + e.Problem }

// connectError is a failure below the protocol, which may pass.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// handlerError is an error of the caller's function.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

// finalCodes end a subscription, as they do in the npm client graphql-ws. 1xxx are looked at apart.
var finalCodes = map[int]bool{4004: true, 4005: true, 4400: true, 4401: true, 4406: true, 4409: true, 4429: true, 4500: true}

// Retryable reports whether a client should connect again after a close with that code: what the npm client
// graphql-ws does. 1000 is the normal end: no retry, and no error either.
func Retryable(code int) bool {
	switch code {
	case 1001, 1005, 1006, 1012, 1013, 1014:
		return true
	}
	return code >= 2000 && !finalCodes[code]
}

// Run subscribes and calls handle with each result, an ExecutionResult as raw JSON that is handle's to keep.
// It returns nil when the server completes the subscription or closes normally (1000), handle's error if it
// returns one, ctx's error when ctx ends, else a *CloseError, *OperationError, *HandshakeError,
// *ProtocolError or an error of the network after the last attempt. handle is called by one goroutine at a
// time; a slow one slows down reading.
func Run(ctx context.Context, cfg Config, handle func(result json.RawMessage) error) error {
	cfg = cfg.withDefaults()
	endpoint, err := endpointURL(cfg.URL)
	if err != nil {
		return err
	}
	r := &run{cfg: &cfg, url: endpoint, handle: handle}
	for failures := 0; ; {
		r.acknowledged = false
		err := r.connection(ctx)
		if err == nil || errors.Is(err, errNormal) {
			return nil
		}
		var own *handlerError
		if errors.As(err, &own) {
			return own.err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r.acknowledged {
			failures = 0
		}
		failures++
		if !cfg.retries(err) || cfg.Attempts > 0 && failures >= cfg.Attempts {
			return err
		}
		if err := cfg.wait(ctx, failures-1, err); err != nil {
			return err
		}
	}
}

// retries reports whether a connection that ended with err is tried again.
func (c *Config) retries(err error) bool {
	var closed *CloseError
	var refused *HandshakeError
	var network *connectError
	switch {
	case errors.As(err, &closed):
		for _, code := range c.Final {
			if code == closed.Code {
				return false
			}
		}
		return Retryable(closed.Code)
	case errors.As(err, &refused):
		return refused.Status >= 500 || refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusRequestTimeout
	default:
		return errors.As(err, &network)
	}
}

func (c *Config) wait(ctx context.Context, failures int, err error) error {
	wait := jitter(c.BackoffBase, c.BackoffMax, failures)
	if c.Retry != nil {
		c.Retry(err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// jitter returns a random wait between 0 and base·2ⁿ, at most limit.
func jitter(base, limit time.Duration, n int) time.Duration {
	ceiling := limit
	if n < 32 && base<<n > 0 {
		ceiling = min(limit, base<<n)
	}
	return rand.N(ceiling + 1)
}

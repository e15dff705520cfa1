// Package webhook asks HTTP endpoints of the operator at points in the life of connections: it makes fraiseql.Hooks of
// URLs.
//
// A call is a POST of a JSON object, signed: the header Fraiseql-Signature is `t=<seconds since 1970>,v1=<hex>`, where v1
// is HMAC-SHA256 with the secret over the seconds, a dot and the body. Receivers compare it in constant time and refuse
// old seconds (Verify does both). A status of 2xx allows, 401 and 403 refuse, everything else, and no answer in time, is
// no judgement: what the hook gates does not happen.
//
// Addresses are judged when they are dialled (package outbound): a private one must lie in Config.Networks.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/outbound"
)

// Config says what is called. Zero members mean the default in the comment; a URL that is empty is not called.
type Config struct {
	// Connect, Subscribe, Disconnect and Recheck are the URLs of the hooks of these names.
	Connect, Subscribe, Disconnect, Recheck string
	// Secret signs; at least 16 bytes.
	Secret []byte
	// Timeout bounds one call; 5 s.
	Timeout time.Duration
	// RecheckEvery is that of fraiseql.Hooks.
	RecheckEvery time.Duration
	// Networks are networks that are not public and may be dialled.
	Networks []netip.Prefix
}

const (
	minSecret = 16
	// queryBytes bounds the document and the variables in a call, each.
	queryBytes = 64 << 10
	// SignatureHeader holds time and signature of a call.
	SignatureHeader = "Fraiseql-Signature"
)

// Hooks calls webhooks.
type Hooks struct {
	cfg    Config
	client *outbound.Client
	now    func() time.Time
}

// New makes hooks; they must be closed. The error names every problem.
func New(cfg Config) (*Hooks, error) {
	var errs []error
	var urls []string
	for _, u := range []struct{ name, url string }{{"Connect", cfg.Connect}, {"Subscribe", cfg.Subscribe}, {"Disconnect", cfg.Disconnect}, {"Recheck", cfg.Recheck}} {
		if u.url == "" {
			continue
		}
		if err := outbound.ParseURL(u.url); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.name, err))
		} else if err := outbound.CheckHost(u.url, cfg.Networks); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; see Networks", u.name, err))
		}
		urls = append(urls, u.url)
	}
	if len(urls) == 0 {
		errs = append(errs, errors.New("no URL is set"))
	}
	if len(cfg.Secret) < minSecret {
		errs = append(errs, fmt.Errorf("secret: has %d bytes, at least %d are needed", len(cfg.Secret), minSecret))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configure webhooks: %w", err)
	}
	client, err := outbound.New(outbound.Config{URLs: urls, Networks: cfg.Networks, Timeout: cfg.Timeout})
	if err != nil {
		return nil, fmt.Errorf("configure webhooks: %w", err)
	}
	return &Hooks{cfg: cfg, client: client, now: time.Now}, nil
}

// Close gives up idle connections.
func (h *Hooks) Close() { h.client.Close() }

// Hooks are the functions that HandlerConfig.Hooks takes.
func (h *Hooks) Hooks() fraiseql.Hooks {
	out := fraiseql.Hooks{RecheckEvery: h.cfg.RecheckEvery}
	if h.cfg.Connect != "" {
		out.OnConnect = func(ctx context.Context, who *fraiseql.Identity) error {
			return h.call(ctx, h.cfg.Connect, message{Event: "connect", Identity: of(who)})
		}
	}
	if h.cfg.Subscribe != "" {
		out.OnSubscribe = func(ctx context.Context, s fraiseql.Subscribing) error {
			return h.call(ctx, h.cfg.Subscribe, subscribing(&s))
		}
	}
	if h.cfg.Disconnect != "" {
		out.OnDisconnect = func(ctx context.Context, who *fraiseql.Identity) error {
			return h.call(ctx, h.cfg.Disconnect, message{Event: "disconnect", Identity: of(who)})
		}
	}
	if h.cfg.Recheck != "" {
		out.OnRecheck = func(ctx context.Context, who *fraiseql.Identity) error {
			return h.call(ctx, h.cfg.Recheck, message{Event: "recheck", Identity: of(who)})
		}
	}
	return out
}

// message is the body of a call.
type message struct {
	Event         string          `json:"event"`
	Identity      caller          `json:"identity"`
	Channel       string          `json:"channel,omitempty"`
	Field         string          `json:"field,omitempty"`
	Query         string          `json:"query,omitempty"`
	OperationName string          `json:"operation_name,omitempty"`
	Variables     json.RawMessage `json:"variables,omitempty"`
}

// caller is an identity as receivers see it. Raw claims are not sent.
type caller struct {
	UserID    string     `json:"user_id,omitempty"`
	TenantID  string     `json:"tenant_id,omitempty"`
	Roles     []string   `json:"roles,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	TokenID   string     `json:"token_id,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

func of(who *fraiseql.Identity) caller {
	c := caller{UserID: who.UserID, TenantID: who.TenantID, Roles: who.Roles, Scopes: who.Scopes, TokenID: who.TokenID}
	if !who.ExpiresAt.IsZero() {
		c.ExpiresAt = &who.ExpiresAt
	}
	return c
}

func subscribing(s *fraiseql.Subscribing) message {
	m := message{Event: "subscribe", Identity: of(s.Identity), Channel: s.Channel, Field: s.Field, OperationName: s.OperationName}
	if len(s.Query) <= queryBytes { // what is longer is left out, not cut: half a document is another one
		m.Query = s.Query
	}
	if len(s.Variables) > 0 && len(s.Variables) <= queryBytes {
		m.Variables = s.Variables
	}
	return m
}

// call posts a message. The error is fraiseql.ErrRefused, or why there was no judgement.
func (h *Hooks) call(ctx context.Context, url string, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("webhook %s: its message cannot be written", m.Event)
	}
	header := http.Header{"Content-Type": {"application/json"}, SignatureHeader: {Sign(h.cfg.Secret, h.now(), body)}}
	answer, err := h.client.Post(ctx, url, header, body)
	switch {
	case err != nil:
		return fmt.Errorf("webhook %s: %w", m.Event, err)
	case answer.Status >= 200 && answer.Status < 300:
		return nil
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		return fraiseql.ErrRefused
	}
	return fmt.Errorf("webhook %s: status %d", m.Event, answer.Status)
}

// Sign returns the value of SignatureHeader for a body.
func Sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac(secret, t, body))
}

func mac(secret []byte, t string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	return m.Sum(nil)
}

// Verify reports whether a signature is that of a body, made with the secret and not longer ago than tolerance. It is for
// receivers.
func Verify(secret []byte, signature string, body []byte, now time.Time, tolerance time.Duration) bool {
	at, hexed, ok := strings.Cut(signature, ",v1=")
	t, isTime := strings.CutPrefix(at, "t=")
	seconds, err := strconv.ParseInt(t, 10, 64)
	if !ok || !isTime || err != nil {
		return false
	}
	if !hmac.Equal([]byte(hexed), []byte(hex.EncodeToString(mac(secret, t, body)))) { // the text: a signature has one form only
		return false
	}
	age := now.Sub(time.Unix(seconds, 0))
	return age <= tolerance && age >= -tolerance
}

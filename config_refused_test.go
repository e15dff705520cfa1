package fraiseql

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What no endpoint can mean is refused where it is set, and where it is changed.
func TestRefusedServing(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	for name, s := range map[string]Serving{
		"MessageBytes": {MessageBytes: -1}, "MaxConnections": {MaxConnections: -1}, "InitTimeout": {InitTimeout: -1}, "PongTimeout": {PongTimeout: -1},
		"MaxSubscriptions": {MaxCallbacks: -1}, "Cookie": {Cookie: "a b;"}, "RecheckEvery": {Hooks: &Hooks{RecheckEvery: -time.Second}},
	} {
		if err := e.SetServing(s); err == nil || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "MaxCallbacks") {
			t.Errorf("%s: SetServing says %v", name, err)
		}
		cfg := HandlerConfig{Anonymous: true, MessageBytes: s.MessageBytes, MaxConnections: s.MaxConnections, InitTimeout: s.InitTimeout, PongTimeout: s.PongTimeout, Cookie: s.Cookie}
		cfg.Callback.MaxSubscriptions = s.MaxCallbacks
		if s.Hooks != nil {
			cfg.Hooks = *s.Hooks
		}
		if _, err := e.Handler(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Handler says %v", name, err)
		}
		if _, err := e.Sessions(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Sessions says %v", name, err)
		}
	}
	if _, err := e.Sessions(HandlerConfig{Anonymous: true, Workers: -1}); err == nil {
		t.Error("Workers: no error")
	}
	if err := e.SetServing(Serving{PingInterval: -1, Cookie: "__Host-session"}); err != nil {
		t.Error(err)
	}
}

func TestRefusedSchemalessChannels(t *testing.T) {
	for _, pattern := range []string{"", "a*b", "$x", "__x", "**"} {
		if e, err := New(Config{SchemalessChannels: []string{"orders", pattern}}); err == nil {
			t.Errorf("%q was taken", pattern)
			e.Close(t.Context())
		}
	}
	e, err := New(Config{SchemalessChannels: []string{"orders", "room*", "*"}})
	if err != nil {
		t.Fatal(err)
	}
	e.Close(t.Context())
}

// nobodyAtAll is an Authenticator that answers nothing.
type nobodyAtAll struct{}

func (nobodyAtAll) Authenticate(context.Context, Credentials) (*Identity, error) { return nil, nil }

// An Authenticator that gives neither an identity nor an error is told of in the log: it refuses everybody.
func TestNoIdentityIsLogged(t *testing.T) {
	var log bytes.Buffer
	e, err := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	s, err := e.Sessions(HandlerConfig{Authenticator: nobodyAtAll{}})
	if err != nil {
		t.Fatal(err)
	}
	h := ask(t, s, "application/json", "{ __typename }")
	h.head(401)
	if !strings.Contains(log.String(), "neither an identity nor an error") {
		t.Errorf("logged %q", log.String())
	}
}

//go:build linux

package embed

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzConfig: a configuration is read or refused by errors that name a member, whatever it is.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"schema":[{"name":"a","text":"type Subscription { a: Int }"}],"limits":{"event_bytes":1,"resolver_timeout":0.5}}`))
	f.Add([]byte(`{"security":{"scope":{"user":["a",1]}},"bus":{"type":"memory"},"x\u0000":[]}`))
	f.Add([]byte(`{"anonymous":true,"origins":["https://a"],"ping_interval":0,"port":99999,"path":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := parseEngine(text)
		check(t, text, err)
		_, err = (&Engine{}).parseEndpoint(text, true)
		check(t, text, err)
	})
}

// check looks at how a host hears of an error.
func check(t *testing.T, text []byte, err error) {
	if err == nil {
		if !json.Valid(text) {
			t.Errorf("%q is accepted", text)
		}
		return
	}
	told := AppendError(nil, err)
	if !json.Valid(told) || !utf8.Valid(told) {
		t.Errorf("error of %q: %q", text, told)
	}
	var fault *Fault
	if !errors.As(err, &fault) || string(told) == InternalFault {
		t.Errorf("error of %q: %v", text, err)
	}
}

// FuzzIdentity compares what is accepted with encoding/json.
func FuzzIdentity(f *testing.F) {
	f.Add([]byte(`{"user_id":"u","tenant_id":7,"roles":["a"],"scopes":null,"expires_at":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"user_id":18446744073709551616,"expires_at":1e9}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, err := parseIdentity(text)
		if len(text) == 0 { // the empty identity
			return
		}
		if check(t, text, err); err != nil {
			return
		}
		var want struct {
			User   any      `json:"user_id"`
			Roles  []string `json:"roles"`
			Scopes []string `json:"scopes"`
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%q is accepted: %v", text, err)
		}
		if user, ok := want.User.(string); ok && utf8.ValidString(id.UserID) && user != id.UserID || want.User == nil && id.UserID != "" {
			t.Errorf("%q: user %q, want %v", text, id.UserID, want.User)
		}
		if utf8.ValidString(join(id.Roles)) && !cmp.Equal(append([]string{}, id.Roles...), append([]string{}, want.Roles...)) {
			t.Errorf("%q: roles %q, want %q", text, id.Roles, want.Roles)
		}
	})
}

func join(list []string) (all string) {
	for _, s := range list {
		all += s
	}
	return all
}

//go:build linux

package embed

import (
	"strings"
	"testing"
)

// What is null, empty or there twice would name more than it says.
func TestRevokeNamesWhatItSays(t *testing.T) {
	e := open(t, `{}`)
	for _, text := range []string{
		`{"user_id":null,"tenant_id":"t"}`, `{"user_id":"u","tenant_id":null}`, `{"token_id":null,"everybody":true}`,
		`{"user_id":"","tenant_id":"t"}`, `{"user_id":"u","user_id":"v"}`, `{"USER_ID":"u"}`,
	} {
		if err := e.Revoke([]byte(text)); err == nil || !strings.Contains(strings.ToLower(err.Error()), "_id") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := e.Revoke([]byte(`{"user_id":7,"tenant_id":"t","issued_before":null}`)); err != nil {
		t.Error(err)
	}
}

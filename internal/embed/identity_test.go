//go:build linux

package embed

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

func TestParseIdentity(t *testing.T) {
	got, err := parseIdentity([]byte(`{"user_id":"u","tenant_id":7,"roles":["r"],"token_id":"j","issued_at":1800000000,"expires_at":"2027-01-15T09:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := fraiseql.Identity{UserID: "u", TenantID: "7", Roles: []string{"r"}, TokenID: "j",
		IssuedAt: time.Unix(1_800_000_000, 0).UTC(), ExpiresAt: time.Date(2027, 1, 15, 9, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

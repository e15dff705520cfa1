//go:build linux

package embed

import (
	"errors"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// parseIdentity reads an identity: {"user_id","tenant_id","roles","scopes","federation_id","service_name",
// "expires_at","token_id","issued_at"}, all optional; an absent text is the empty identity.
func parseIdentity(text []byte) (id fraiseql.Identity, err error) {
	if len(text) == 0 {
		return id, nil
	}
	errs := readObject(text, "identity", func(name string, m member) bool {
		switch name {
		case "user_id":
			m.address(&id.UserID)
		case "tenant_id":
			m.address(&id.TenantID)
		case "roles":
			m.texts(&id.Roles)
		case "scopes":
			m.texts(&id.Scopes)
		case "federation_id":
			m.address(&id.FederationID)
		case "service_name":
			m.address(&id.ServiceName)
		case "expires_at":
			m.instant(&id.ExpiresAt)
		case "token_id":
			m.address(&id.TokenID)
		case "issued_at":
			m.instant(&id.IssuedAt)
		default:
			return false
		}
		return true
	})
	return id, errors.Join(errs...)
}

// instant reads a time: RFC 3339, or seconds since 1970.
func (m member) instant(dst *time.Time) {
	switch m.t.Kind(m.ref) {
	case jsontape.Null:
	case jsontape.Number:
		var n float64
		if m.number(&n); n > maxInstant {
			m.fail("is after the year 9999")
			return
		}
		*dst = time.UnixMicro(int64(n * 1e6)).UTC()
	default:
		var text string
		before := len(*m.errs)
		if m.text(&text); len(*m.errs) > before {
			return
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			m.fail("must be a time as RFC 3339, or seconds since 1970")
			return
		}
		*dst = at
	}
}

// maxInstant is the end of the year 9999 in seconds since 1970.
const maxInstant = 253_402_300_799

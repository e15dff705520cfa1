//go:build linux

package embed

import (
	"context"
	"errors"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// Revoke refuses credentials from now on, on every node of the bus. text is a JSON object: token_id, user_id, tenant_id,
// issued_before, all optional and the first three not null, for which everything that is there must hold; one of the first three must be there, or
// everybody: true.
func (e *Engine) Revoke(text []byte) error {
	var r fraiseql.Revocation
	everybody := false
	errs := readObject(text, "revocation", func(name string, m member) bool {
		switch name {
		case "token_id":
			m.named(&r.TokenID)
		case "user_id":
			m.named(&r.UserID)
		case "tenant_id":
			m.named(&r.TenantID)
		case "issued_before":
			m.instant(&r.IssuedBefore)
		case "everybody":
			m.flag(&everybody)
		default:
			return false
		}
		return true
	})
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if named := r.TokenID != "" || r.UserID != "" || r.TenantID != ""; named == everybody {
		return &Fault{Code: code.InvalidValue, Message: "a revocation names a token, a user or a tenant, or everybody"}
	}
	return e.facade.Revoke(context.Background(), r)
}

// named reads what a revocation names: null, which is absent elsewhere, would name more than what was meant.
func (m member) named(dst *string) {
	if m.null() {
		m.fail("must not be null: leave it out")
		return
	}
	m.address(dst)
}

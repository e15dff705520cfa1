// Package identity says who is asking. It depends on the standard library only.
package identity

import "time"

// Identity is what authentication found out about a connection (docs/security.md). It is immutable once a
// connection carries it. Empty strings mean absent, and absent equals nothing.
type Identity struct {
	UserID       string
	TenantID     string
	Roles        []string
	Scopes       []string
	FederationID string
	ServiceName  string
	// Claims holds the raw claims that were asked for, nil when none were.
	Claims map[string]any
	// ExpiresAt is when the credentials end; zero means never.
	ExpiresAt time.Time
	// TokenID names the credentials, for revocation of just these.
	TokenID string
	// IssuedAt is when the credentials were issued, for revocation of all that were issued before a time. Zero: when they
	// were presented, which is true of those that are looked up rather than carried.
	IssuedAt time.Time
	// PresentedAt is when they were presented: the engine sets it where IssuedAt is zero, in a copy of its own.
	PresentedAt time.Time
}

const (
	maxName = 1024
	maxSet  = 64 << 10
)

// Bounded reports whether the texts of an identity are within bounds: 1 KiB each of user, tenant, federation, service and
// token, and 64 KiB of roles and scopes together. Whoever issues longer ones makes each connection as large.
func (i *Identity) Bounded() bool {
	if max(len(i.UserID), len(i.TenantID), len(i.FederationID), len(i.ServiceName), len(i.TokenID)) > maxName {
		return false
	}
	sum := 0
	for _, s := range i.Roles {
		sum += len(s) + 16
	}
	for _, s := range i.Scopes {
		sum += len(s) + 16
	}
	return sum <= maxSet
}

// SameAs reports whether both are one caller, to whom the same events are addressed: user, tenant, federation and
// service are equal. Roles, scopes, claims and expiry may differ.
func (i *Identity) SameAs(other *Identity) bool {
	return i.UserID == other.UserID && i.TenantID == other.TenantID &&
		i.FederationID == other.FederationID && i.ServiceName == other.ServiceName
}

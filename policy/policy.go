// Package policy holds the five security checks of CONTRACT 3. Everything in it fails closed.
package policy

import (
	"github.com/fraiseql/fraiseql-go/identity"
)

// Check names one of the five, in the order in which they run.
type Check uint8

const (
	Scope Check = iota
	Tenant
	Row
	Federation
	Role
	Checks int = iota
)

// String returns the name used in metrics and docs: scope, tenant, row, federation, rbac.
func (c Check) String() string { return [...]string{"scope", "tenant", "row", "federation", "rbac"}[c] }

// Claim is a value that a subscriber gave for a user or a tenant (check 1).
type Claim struct {
	Tenant bool   // else user
	Name   string // of the argument or member, for the message
	// Values must each equal the identity's; Invalid marks a value or operator that can never pass.
	Values  []string
	Invalid bool
}

// Requirement is what one selected or filtered field needs (check 5).
type Requirement struct {
	Coordinate    string // Type.field, for the message
	Authenticated bool
	Scopes        [][][]string
	Roles         [][]string
	// MaskBit is the index of the mask bit set when the caller falls short, -1 when that is a refusal.
	MaskBit int
}

// Mask says which selected fields are null for a caller.
type Mask uint64

// Refusal is why a subscribe was refused. Code is SCOPE_MISMATCH, FORBIDDEN or UNAUTHENTICATED.
type Refusal struct {
	Check   Check
	Code    string
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// AdmitScope runs check 1: every claimed user and tenant is the caller's own.
func AdmitScope(claims []Claim, id *identity.Identity) *Refusal { panic("") }

// AdmitRole runs check 5: the mask of fields that are null for the caller, or the first refusal.
func AdmitRole(reqs []Requirement, id *identity.Identity) (Mask, *Refusal) { panic("") }

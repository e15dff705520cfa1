package policy

import (
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/identity"
)

// Claim is a value that a subscriber gave for a user or a tenant (check 1).
type Claim struct {
	Tenant bool   // else user
	Name   string // of the argument or member, for the message
	// Values must each equal the identity's; Invalid marks a value or operator that can never pass.
	Values  []string
	Invalid bool
}

// AdmitScope runs check 1: every claimed user and tenant is the caller's own. A claim without a value, an
// invalid one, and any claim of a caller who has no such value himself are refused. A nil identity is one
// that has nothing.
func AdmitScope(claims []Claim, id *identity.Identity) *Refusal {
	for i := range claims {
		c := &claims[i]
		own := ""
		if id != nil {
			own = id.UserID
			if c.Tenant {
				own = id.TenantID
			}
		}
		if !c.holds(own) {
			return c.refusal()
		}
	}
	return nil
}

func (c *Claim) holds(own string) bool {
	if c.Invalid || own == "" || len(c.Values) == 0 {
		return false
	}
	for _, v := range c.Values {
		if v != own {
			return false
		}
	}
	return true
}

func (c *Claim) refusal() *Refusal {
	what := "user"
	if c.Tenant {
		what = "tenant"
	}
	text := c.Name + " must be your own " + what
	if c.Invalid {
		text = c.Name + " can only be compared with eq or in, and with your own " + what
	}
	return &Refusal{Check: Scope, Code: CodeScopeMismatch, Message: text}
}

// ScopeNames are the argument and member names that check 1 looks at, compared without _ and in lower case.
// The zero value means userId and tenantId.
type ScopeNames struct{ User, Tenant []string }

// Match reports whether a name claims a user or a tenant. A name that stands in both lists is a tenant's.
func (n *ScopeNames) Match(name string) (tenant, claims bool) {
	if matches(name, n.Tenant, "tenantid") {
		return true, true
	}
	return false, matches(name, n.User, "userid")
}

func matches(name string, configured []string, preset string) bool {
	if len(configured) == 0 {
		return FoldName(name) == preset
	}
	folded := FoldName(name)
	return slices.ContainsFunc(configured, func(c string) bool { return FoldName(c) == folded })
}

// FoldName returns a name as check 1 compares it: without _ and in lower case.
func FoldName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

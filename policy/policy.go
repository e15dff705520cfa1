// Package policy holds the five security checks of docs/security.md. Everything in it fails closed: what is
// missing, unknown or of the wrong type denies. It depends on event and identity only and does not allocate
// on the path of an event.
//
// Checks 1 (scope) and 5 (role) are decided when somebody subscribes, by AdmitScope and AdmitRole. Checks 2
// (tenant), 3 (row) and 4 (federation) are decided for each event: Rules.Address turns the envelope into an
// Audience, which the @tenant and @owner paths of a field narrow, and whose values are what the index is
// asked for.
package policy

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
func (c Check) String() string {
	if int(c) >= Checks {
		return "unknown"
	}
	return [...]string{"scope", "tenant", "row", "federation", "rbac"}[c]
}

// The client-visible codes of refusals.
const (
	CodeScopeMismatch = "SCOPE_MISMATCH"
	CodeForbidden     = "FORBIDDEN"
)

// Refusal is why a subscribe was refused. Its text is safe to send to the client.
type Refusal struct {
	Check   Check
	Code    string // SCOPE_MISMATCH or FORBIDDEN
	Message string
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

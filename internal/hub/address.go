package hub

import (
	"unsafe"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Addressing reads off an event whom it is for: the envelope, and the members of data that the row filter
// names. It is used at publishing doors and in the hub alike.
type Addressing struct {
	// Strict, RowTenant and RowUser are the settings of docs/security.md.
	Strict, RowTenant, RowUser bool
}

var (
	tenantMember = jsontape.MakeName(policy.RowTenantMember)
	userMember   = jsontape.MakeName(policy.RowUserMember)
	addressLeaf  = scalar.Leaf{Kind: scalar.ID}
)

// Audience sets aud to who may see an event, before the paths of any field narrow it and before isolation strict
// is applied. Texts are appended to buf, which must live as long as the audience; it is returned grown.
func (a *Addressing) Audience(aud *policy.Audience, ev *event.Event, t *jsontape.Tape, buf []byte) []byte {
	inTenant, inUser := jsontape.None, jsontape.None
	if a.RowTenant || a.RowUser {
		inTenant, inUser = t.PairNamed(jsontape.Root, tenantMember, userMember)
	}
	if inTenant == jsontape.None && inUser == jsontape.None && !ev.Broadcast {
		*aud = policy.Addressed(ev)
		return buf
	}
	rules := policy.Rules{RowTenant: a.RowTenant, RowUser: a.RowUser}
	var tenant, user policy.Address
	if a.RowTenant {
		tenant, buf = rowAddress(t, inTenant, buf)
	}
	if a.RowUser {
		user, buf = rowAddress(t, inUser, buf)
	}
	*aud = rules.Address(ev, tenant, user)
	return buf
}

// rowAddress reads a member that may be left out: null says the same as leaving it out.
func rowAddress(t *jsontape.Tape, r jsontape.Ref, buf []byte) (policy.Address, []byte) {
	if k := t.Kind(r); k == jsontape.Invalid || k == jsontape.Null {
		return policy.Address{}, buf
	}
	return pathAddress(t, r, buf)
}

// pathAddress reads the value at a path that must be there. A number with a fraction or an exponent is none, as in the envelope: two of them
// that differ can stand for the same double, and so for another's integer.
func pathAddress(t *jsontape.Tape, r jsontape.Ref, buf []byte) (policy.Address, []byte) {
	switch t.Kind(r) {
	case jsontape.Invalid:
		return policy.Address{Found: policy.Absent}, buf
	case jsontape.String:
	case jsontape.Number:
		if !t.IsInteger(r) {
			return policy.Address{Found: policy.Invalid}, buf
		}
	default:
		return policy.Address{Found: policy.Invalid}, buf
	}
	start := len(buf)
	buf, ok := addressLeaf.AppendKey(buf, t, r)
	if !ok || len(buf) == start {
		return policy.Address{Found: policy.Invalid}, buf
	}
	return policy.Address{Found: policy.Value, Text: view(buf[start:])}, buf
}

// ownerAddresses reads an @owner path that holds a list: its valid elements.
func ownerAddresses(t *jsontape.Tape, list jsontape.Ref, dst []string, buf []byte) ([]string, []byte) {
	for r := t.First(list); r != jsontape.None; r = t.After(list, r) {
		var at policy.Address
		if at, buf = pathAddress(t, r, buf); at.Found == policy.Value {
			dst = append(dst, at.Text)
		}
	}
	return dst, buf
}

// view is the bytes as a string without a copy; they must not change while it is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// HasAddress reports whether the value at a path names somebody: a non-empty string or an integer.
func HasAddress(t *jsontape.Tape, r jsontape.Ref) bool {
	var buf [64]byte
	at, _ := pathAddress(t, r, buf[:0])
	return at.Found == policy.Value
}

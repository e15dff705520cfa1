package policy

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/identity"
)

// Requirement is what one selected or filtered field needs (check 5). All of its parts must hold.
type Requirement struct {
	Coordinate    string // Type.field, for the message
	Authenticated bool
	Scopes        [][][]string // each @requiresScopes that applies: an OR of ANDs
	Roles         [][]string   // each @requiresRole that applies: any one of
	// MaskBit is the index of the mask bit set when the caller falls short, -1 when that is a refusal.
	MaskBit int
}

// Mask says which selected fields are null for a caller.
type Mask uint64

// MaskBits is how many bits a Mask has. A requirement with a bit beyond them refuses.
const MaskBits = 64

// AdmitRole runs check 5: the mask of fields that are null for the caller, or the first refusal. A nil
// identity is one that has nothing.
func AdmitRole(reqs []Requirement, id *identity.Identity) (Mask, *Refusal) {
	var mask Mask
	for i := range reqs {
		r := &reqs[i]
		if r.met(id) {
			continue
		}
		if r.MaskBit < 0 || r.MaskBit >= MaskBits {
			return 0, &Refusal{Check: Role, Code: CodeForbidden, Message: "not authorised for " + r.Coordinate}
		}
		mask |= 1 << r.MaskBit
	}
	return mask, nil
}

func (r *Requirement) met(id *identity.Identity) bool {
	if id == nil {
		id = &nobody
	}
	if r.Authenticated && id.UserID == "" {
		return false
	}
	for _, any := range r.Scopes {
		if !slices.ContainsFunc(any, func(all []string) bool { return holdsAll(id.Scopes, all) }) {
			return false
		}
	}
	for _, any := range r.Roles {
		if !slices.ContainsFunc(any, func(role string) bool { return role != "" && slices.Contains(id.Roles, role) }) {
			return false
		}
	}
	return true
}

var nobody identity.Identity

// holdsAll reports whether each of a non-empty list of scopes is held; an empty list is held by nobody.
func holdsAll(held, all []string) bool {
	for _, scope := range all {
		if scope == "" || !slices.Contains(held, scope) {
			return false
		}
	}
	return len(all) > 0
}

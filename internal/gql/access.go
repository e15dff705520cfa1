package gql

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
)

// accessOf reads @authenticated, @requiresScopes and @requiresRole of an element.
func (l *loader) accessOf(on any) Access {
	var a Access
	if l.taken(on, "authenticated") != nil {
		a.Authenticated = true
	}
	if u := l.taken(on, "requiresScopes"); u != nil {
		a.Scopes = [][][]string{l.scopes(u)}
	}
	if u := l.taken(on, "requiresRole"); u != nil {
		roles := u.list("roles")
		if len(roles) == 0 {
			l.errorAt(u.pos, "@requiresRole: the list of roles is empty, nobody could ever pass")
		}
		l.refuseEmpty(u, roles)
		a.Roles = [][]string{roles}
		a.Mask = u.text("deny") == "MASK"
	}
	return a
}

// scopes reads an OR of ANDs. Empty lists are errors: an empty AND would let everybody pass.
func (l *loader) scopes(u *use) [][]string {
	v := u.args["scopes"]
	var out [][]string
	if v.Kind != ast.ListValue { // a single value is a list of one, at both levels
		out = [][]string{{v.Raw}}
	} else {
		for _, c := range v.Children {
			out = append(out, stringsOf(c.Value))
		}
	}
	if len(out) == 0 {
		l.errorAt(u.pos, "@requiresScopes: the list of scopes is empty, nobody could ever pass")
	}
	for _, all := range out {
		if len(all) == 0 {
			l.errorAt(u.pos, "@requiresScopes: an empty list among the scopes would let everybody pass")
		}
		l.refuseEmpty(u, all)
	}
	return out
}

func (l *loader) refuseEmpty(u *use, names []string) {
	for _, name := range names {
		if name == "" {
			l.errorAt(u.pos, fmt.Sprintf("@%s: an empty name", u.name))
		}
	}
}

// checkMasks refuses deny: MASK where null is not a value of the field.
func (l *loader) checkMasks(s *Schema) {
	report := func(pos Position, where string) {
		l.errs = append(l.errs, &SchemaError{Position: pos, Message: fmt.Sprintf(
			"%s is non-null: deny: MASK would have to answer null", where)})
	}
	for _, t := range s.Order {
		fieldsMasked := t.Access.Mask && (t.abstract || t == s.Subscription || t.Kind == InterfaceType)
		for _, f := range t.Fields {
			if f.Type.NonNull && (f.Access.Mask || fieldsMasked || f.Type.Name().Access.Mask) {
				report(f.Position, t.Name+"."+f.Name)
			}
		}
	}
}

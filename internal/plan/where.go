package plan

import (
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/policy"
)

// combines reports whether a member of @where combines filters and names no member of data.
func combines(name string) bool { return name == "and" || name == "or" || name == "not" }

// whereReader walks a coerced @where value along its input type. It makes the predicate, and on the way the
// requirements of what the filter reads. Null members are as if they were not there.
type whereReader struct {
	schema   *gql.Schema
	tape     *jsontape.Tape
	payload  *gql.Type // of the root field
	path     []string
	needs    []policy.Requirement
	compared int // comparisons so far
	err      error
}

// maxComparisons is how many comparisons a @where may have: each is evaluated for events that reach the group, in
// their channel's turn, and takes some hundred bytes, many times what it takes in a variable. The values of a
// list are one comparison.
const maxComparisons = 1000

var errComparisons = fmt.Errorf("more than %d comparisons", maxComparisons)

// object reads a filter: all of its members must hold, {} is true. payload is the type that is filtered, nil
// if it is in no type.
func (w *whereReader) object(input, payload *gql.Type, r jsontape.Ref) *filter.Pred {
	var all []*filter.Pred
	for m := w.tape.First(r); m != jsontape.None; m = w.tape.After(r, m) {
		in := input.Input(string(w.tape.AppendName(nil, m)))
		if in == nil || !given(w.tape, m) {
			continue
		}
		named := in.Type.Name()
		switch in.Name {
		case "and":
			all = append(all, filter.And(w.list(named, payload, m)...))
		case "or":
			all = append(all, filter.Or(w.list(named, payload, m)...))
		case "not":
			all = append(all, filter.Not(w.object(named, payload, m)))
		default:
			all = append(all, w.member(in, payload, m))
		}
	}
	return filter.And(all...)
}

func (w *whereReader) list(input, payload *gql.Type, r jsontape.Ref) []*filter.Pred {
	var all []*filter.Pred
	for e := w.tape.First(r); e != jsontape.None; e = w.tape.After(r, e) {
		if given(w.tape, e) {
			all = append(all, w.object(input, payload, e))
		}
	}
	return all
}

// member reads a member that names one of data: operators on it, or a filter of the object there.
func (w *whereReader) member(in *gql.Argument, payload *gql.Type, r jsontape.Ref) *filter.Pred {
	name := w.schema.Member(payload, in.Name)
	w.path = append(w.path, name)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	named := in.Type.Name()
	if named.WhereLeaf() {
		return w.leaf(named, r)
	}
	return w.object(named, memberType(payload, name), r)
}

func (w *whereReader) leaf(input *gql.Type, r jsontape.Ref) *filter.Pred {
	var all []*filter.Pred
	for m := w.tape.First(r); m != jsontape.None; m = w.tape.After(r, m) {
		in := input.Input(string(w.tape.AppendName(nil, m)))
		if in == nil || !given(w.tape, m) {
			continue
		}
		if w.compared++; w.compared > maxComparisons {
			w.err = errComparisons
			break
		}
		op, _ := gql.WhereOp(in.Name) // the schema's loader has checked the names
		p, err := filter.Compare(w.path, in.Type.Name().Leaf, op, w.tape, m)
		if err != nil && w.err == nil {
			w.err = err
		}
		all = append(all, p)
	}
	if len(all) > 0 {
		w.needs = appendPathNeeds(w.needs, w.payload, w.path)
	}
	return filter.And(all...)
}

// memberType returns the type of the field that reads a member, nil if none does.
func memberType(t *gql.Type, member string) *gql.Type {
	if t == nil {
		return nil
	}
	for _, candidate := range withPossible(nil, t) {
		for _, f := range candidate.Fields {
			if f.From == member {
				return f.Type.Name()
			}
		}
	}
	return nil
}

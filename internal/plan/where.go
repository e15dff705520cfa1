package plan

import (
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// combines reports whether a member of @where combines filters and names no member of data.
func combines(name string) bool { return name == "and" || name == "or" || name == "not" }

// whereReader walks a coerced @where value along what it means. It makes the predicate, and on the way gathers the
// requirements of what the filter compares. Null members are as if they were not there.
type whereReader struct {
	tape     *jsontape.Tape
	needs    *needs // nil: nobody asks
	path     []string
	compared int // comparisons so far
	err      error
}

// maxComparisons is how many comparisons a @where may have: each is evaluated for events that reach the group, in
// their channel's turn, and takes some hundred bytes, many times what it takes in a variable. The values of a
// list are one comparison.
const maxComparisons = 1000

var errComparisons = fmt.Errorf("more than %d comparisons", maxComparisons)

// object reads a filter: all of its members must hold, {} is true.
func (w *whereReader) object(f *gql.Filter, r jsontape.Ref) *filter.Pred {
	var all []*filter.Pred
	for m := w.tape.First(r); m != jsontape.None; m = w.tape.After(r, m) {
		member, ok := f.Members[string(w.tape.AppendName(nil, m))]
		if !ok || !given(w.tape, m) {
			continue
		}
		switch member.Input.Name {
		case "and":
			all = append(all, filter.And(w.list(member.Filter, m)...))
		case "or":
			all = append(all, filter.Or(w.list(member.Filter, m)...))
		case "not":
			all = append(all, filter.Not(w.object(member.Filter, m)))
		default:
			all = append(all, w.member(member, m))
		}
	}
	return filter.And(all...)
}

func (w *whereReader) list(f *gql.Filter, r jsontape.Ref) []*filter.Pred {
	var all []*filter.Pred
	for e := w.tape.First(r); e != jsontape.None; e = w.tape.After(r, e) {
		if given(w.tape, e) {
			all = append(all, w.object(f, e))
		}
	}
	return all
}

// member reads a member that names one of data: operators on it, or a filter of the object there.
func (w *whereReader) member(m gql.FilterMember, r jsontape.Ref) *filter.Pred {
	w.path = append(w.path, m.Member)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	if m.Filter == nil {
		return w.leaf(m.Input.Type.Name(), r)
	}
	return w.object(m.Filter, r)
}

func (w *whereReader) leaf(input *gql.Type, r jsontape.Ref) *filter.Pred {
	var all []*filter.Pred
	compares := false
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
		compares = compares || op != filter.Exists
	}
	if len(all) > 0 && w.needs != nil {
		w.needs.path(w.path, compares)
	}
	return filter.And(all...)
}

package filter

import (
	"errors"
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// scratches holds buffers for texts that must be unescaped.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// manyValues is from how many values on a set is faster than comparing with each.
const manyValues = 8

// Compare compiles `value at path OP constant`. leaf is the leaf type of the argument (of its elements where
// it is a list); the constant is node c of tape consts, already coerced as an input of the argument's type;
// list operators take an array there.
//
// A constant that is null, or no node at all, is not given: the predicate is nil, which is true. Nulls
// within a list equal nothing. The text of an error may be shown to clients.
func Compare(path []string, leaf scalar.Leaf, op Op, consts *jsontape.Tape, c jsontape.Ref) (*Pred, error) {
	kind := consts.Kind(c)
	if kind == jsontape.Null || kind == jsontape.Invalid {
		return nil, nil
	}
	p := &Pred{leaf: leaf, path: jsontape.MakeNames(path)}
	p.test, p.negated = op.test()
	if op == Exists {
		if kind != jsontape.True && kind != jsontape.False {
			return nil, errors.New("EXISTS needs true or false")
		}
		p.negated = kind == jsontape.False
		return p, nil
	}
	if err := p.addConstant(op, consts, c); err != nil {
		return nil, err
	}
	if len(p.values) >= manyValues && (p.test == testIn || p.test == testContains) {
		p.set = &keySet{keys: make(map[string]struct{}, len(p.values))}
		for i := range p.values {
			key := p.values[i].Key()
			p.set.keys[key] = struct{}{}
			p.set.longest = max(p.set.longest, len(key))
		}
	}
	return p, nil
}

// addConstant prepares the constant, or the elements of a list.
func (p *Pred) addConstant(op Op, consts *jsontape.Tape, c jsontape.Ref) error {
	if !op.TakesList() {
		return p.addValue(op, consts, c)
	}
	if consts.Kind(c) != jsontape.Array {
		return errors.New(op.String() + " needs a list")
	}
	for e := consts.First(c); e != jsontape.None; e = consts.After(c, e) {
		if consts.Kind(e) == jsontape.Null {
			if op == Between {
				return errors.New("BETWEEN needs two values that are not null")
			}
			continue
		}
		if err := p.addValue(op, consts, e); err != nil {
			return err
		}
	}
	if op == Between && len(p.values) != 2 {
		return errors.New("BETWEEN needs exactly two values, the lower and the upper bound")
	}
	return nil
}

func (p *Pred) addValue(op Op, consts *jsontape.Tape, c jsontape.Ref) error {
	v, ok := p.leaf.Value(consts, c)
	if !ok {
		return errors.New(op.String() + " cannot compare with a value that is not of the argument's type")
	}
	p.values = append(p.values, v)
	switch p.test {
	case testContains, testStart, testEnd:
		switch p.leaf.Kind {
		case scalar.String, scalar.ID:
			p.texts = append(p.texts, []byte(v.Key()))
		case scalar.Custom, scalar.Untyped:
			if consts.Kind(c) == jsontape.String {
				p.texts = append(p.texts, consts.AppendString(nil, c))
			}
		}
	}
	return nil
}

// never is false for every event.
var never = &Pred{test: testOr}

// And is true where all are; And() and nil members are true.
func And(ps ...*Pred) *Pred {
	kids := make([]*Pred, 0, len(ps))
	for _, p := range ps {
		switch {
		case p == nil:
		case p.test == testAnd:
			kids = append(kids, p.kids...)
		default:
			kids = append(kids, p)
		}
	}
	switch len(kids) {
	case 0:
		return nil
	case 1:
		return kids[0]
	}
	return &Pred{test: testAnd, kids: kids}
}

// Or is true where one is; Or() is false, nil members are true.
func Or(ps ...*Pred) *Pred {
	kids := make([]*Pred, 0, len(ps))
	for _, p := range ps {
		switch {
		case p == nil:
			return nil
		case p.test == testOr:
			kids = append(kids, p.kids...)
		default:
			kids = append(kids, p)
		}
	}
	switch len(kids) {
	case 0:
		return never
	case 1:
		return kids[0]
	}
	return &Pred{test: testOr, kids: kids}
}

// Not is true where p is false; Not(nil) is false.
func Not(p *Pred) *Pred {
	switch {
	case p == nil:
		return never
	case p == never:
		return nil
	case p.test == testNot:
		return p.kids[0]
	}
	return &Pred{test: testNot, kids: []*Pred{p}}
}

package plan

import (
	"bytes"
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Variables is the tape of the object that CoerceVariables made; nil stands for the empty object.
type Variables = *jsontape.Tape

// Bound is a plan with its variables: what a group is made from. Immutable and safe for concurrent use.
type Bound struct {
	*Projection
	// Variables is the canonical JSON of the coerced variables.
	Variables []byte
	// Keys are the index keys. Arguments that are not given have no entry.
	Keys []Key
	// Filter is the rest of the predicate, nil for true. Arguments that are keys are left out of it.
	Filter *filter.Pred
	// Residual is Filter with all keys but the first in it, for channels past their limit of shapes.
	Residual *filter.Pred
}

// Key is one constrained path with its canonical values (scalar.Leaf.AppendKey): more than one is an IN.
type Key struct {
	Equality int // index into Plan.Equality
	Values   [][]byte
}

// maxIn is how many values of an IN are index keys; more are a predicate.
const maxIn = 32

// maxVariants bounds the projections that a plan keeps; beyond, they are made anew for each new group.
const maxVariants = 32

// Bind evaluates arguments and conditions with coerced variables (the object made by CoerceVariables) and
// the field mask.
func (p *Plan) Bind(vars Variables, mask policy.Mask) (*Bound, []*gql.Error) {
	return p.bind(vars, mask, false)
}

// BindUnkeyed is Bind without index keys: the filter holds every argument. It is for channels that have as many
// shapes as they may.
func (p *Plan) BindUnkeyed(vars Variables, mask policy.Mask) (*Bound, []*gql.Error) {
	return p.bind(vars, mask, true)
}

func (p *Plan) bind(vars Variables, mask policy.Mask, unkeyed bool) (*Bound, []*gql.Error) {
	projection, err := p.projectionFor(vars, mask)
	if err != nil {
		return nil, []*gql.Error{err}
	}
	s := getScratch()
	defer s.free()
	b := binder{plan: p, scratch: s, unkeyed: unkeyed}
	if len(p.args) > 0 {
		args, errs := s.arguments(p.root, vars)
		if errs != nil {
			return nil, errs
		}
		b.args = args
		for i := range p.args {
			if node := args.Member(rootNode, p.args[i].name); given(args, node) {
				b.argument(&p.args[i], node)
			}
		}
		if b.err != nil {
			return nil, []*gql.Error{b.err}
		}
	}
	bound := b.finish(vars)
	bound.Projection = projection
	return bound, nil
}

// projectionFor returns the projection for the values of the condition variables and the mask.
func (p *Plan) projectionFor(vars Variables, mask policy.Mask) (*Projection, *gql.Error) {
	if p.bare != nil && mask == 0 {
		return p.bare, nil
	}
	v := variant{p.inputs(vars), mask}
	p.mu.Lock()
	made := p.variants[v]
	p.mu.Unlock()
	if made != nil {
		return made, nil
	}
	made, err := p.compileProgram(v)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.variants[v]; have != nil {
		return have, nil
	}
	if p.variants == nil {
		p.variants = map[variant]*Projection{}
	}
	if len(p.variants) < maxVariants {
		p.variants[v] = made
	}
	return made, nil
}

// inputs evaluates what projections depend on besides the mask: see variant.
func (p *Plan) inputs(vars Variables) string {
	if len(p.conditions)+len(p.nested) == 0 {
		return ""
	}
	key := make([]byte, 0, 32)
	if vars == nil {
		vars = noVariables()
	}
	for _, name := range p.conditions {
		switch vars.Kind(vars.Member(rootNode, name)) {
		case jsontape.True:
			key = append(key, inputTrue)
		case jsontape.False:
			key = append(key, inputFalse)
		default:
			key = append(key, inputInvalid)
		}
	}
	s := getScratch()
	defer s.free()
	for _, f := range p.nested {
		if _, errs := s.arguments(f, vars); errs != nil {
			key = append(key, inputInvalid)
		} else {
			key = append(key, inputTrue)
		}
	}
	return string(key)
}

// binder gathers keys and predicates of the arguments that are given.
type binder struct {
	plan    *Plan
	args    *jsontape.Tape
	scratch *scratch
	unkeyed bool
	rest    []*filter.Pred
	others  []*filter.Pred // of keys after the first
	err     *gql.Error
}

func (b *binder) argument(a *argument, node jsontape.Ref) {
	if a.where != nil {
		b.where(a, node)
		return
	}
	if a.equality >= 0 && b.key(a.equality, node, a.op.TakesList()) {
		if len(b.scratch.marks) > 1 {
			b.others = append(b.others, b.compare(a, node))
		}
		return
	}
	b.rest = append(b.rest, b.compare(a, node))
}

func (b *binder) compare(a *argument, node jsontape.Ref) *filter.Pred {
	p, err := filter.Compare(a.path, a.leaf, a.op, b.args, node)
	if err != nil {
		b.fail(a, err)
	}
	return p
}

// fail says which rule of the operator is broken; filter writes its errors for clients.
func (b *binder) fail(a *argument, err error) {
	b.err = &gql.Error{Code: code.BadUserInput, Message: "Argument " + a.name + " cannot be compared with the events' values: " + err.Error() + "."}
}

// where adds the predicate of a @where. What of it can be a key becomes one besides: it only narrows.
func (b *binder) where(a *argument, node jsontape.Ref) {
	w := whereReader{tape: b.args}
	b.rest = append(b.rest, w.object(a.where.filter, node))
	if w.err == errComparisons {
		b.err = &gql.Error{Code: code.LimitExceeded, Message: "Argument " + a.name + " has " + errComparisons.Error() + ": use in for lists of values."}
	} else if w.err != nil {
		b.fail(a, w.err)
	}
	for _, k := range a.where.keys {
		operators := b.args.Member(node, k.member)
		if operators == jsontape.None {
			continue
		}
		if eq := b.args.Member(operators, "eq"); given(b.args, eq) {
			b.key(k.equality, eq, false)
		} else if in := b.args.Member(operators, "in"); k.in && given(b.args, in) {
			b.key(k.equality, in, true)
		}
	}
}

// key adds an index key if the value can be one: equal values once, at most maxIn. list says that they are the elements
// of the value, which may be a list itself without that: that of a custom scalar.
func (b *binder) key(equality int, node jsontape.Ref, list bool) bool {
	if b.unkeyed {
		return false
	}
	s := b.scratch
	m := mark{equality: equality, text: len(s.keys), value: len(s.ends)}
	leaf := &b.plan.Equality[equality].Leaf
	ok := true
	if list {
		for e := b.args.First(node); e != jsontape.None && ok; e = b.args.After(node, e) {
			// IN null matches nothing.
			ok = !given(b.args, e) || s.add(leaf, b.args, e, m.value)
		}
	} else {
		ok = s.add(leaf, b.args, node, m.value)
	}
	if n := len(s.ends) - m.value; !ok || n == 0 || n > maxIn {
		s.keys, s.ends = s.keys[:m.text], s.ends[:m.value]
		return false
	}
	s.marks = append(s.marks, m)
	return true
}

// boundWithKey is the usual case in one piece.
type boundWithKey struct {
	Bound
	keys   [1]Key
	values [1][]byte
}

// finish makes the bound plan of what was gathered; variables and canonical values share one text.
func (b *binder) finish(vars Variables) *Bound {
	s := b.scratch
	variables := emptyObject
	if vars != nil {
		variables = vars.Raw(rootNode)
	}
	text := append(append(make([]byte, 0, len(variables)+len(s.keys)), variables...), s.keys...)
	var bound *Bound
	var values [][]byte
	if len(s.marks) == 1 && len(s.ends) == 1 {
		one := &boundWithKey{}
		bound, values = &one.Bound, one.values[:0]
		bound.Keys = one.keys[:0]
	} else {
		bound, values = &Bound{Keys: make([]Key, 0, len(s.marks))}, make([][]byte, 0, len(s.ends))
	}
	bound.Variables = text[:len(variables):len(variables)]
	from := len(variables)
	for _, end := range s.ends {
		to := len(variables) + end
		values = append(values, text[from:to:to])
		from = to
	}
	for i, m := range s.marks {
		to := len(values)
		if i+1 < len(s.marks) {
			to = s.marks[i+1].value
		}
		bound.Keys = append(bound.Keys, Key{Equality: m.equality, Values: values[m.value:to:to]})
	}
	bound.Filter = combine(b.rest)
	bound.Residual = bound.Filter
	if len(b.others) > 0 {
		bound.Residual = combine(append(b.others, bound.Filter))
	}
	return bound
}

// combine is filter.And without the node around one predicate or none.
func combine(list []*filter.Pred) *filter.Pred {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return filter.And(list...)
}

// scratch is what a subscribe needs for a moment.
type scratch struct {
	text  []byte
	tape  jsontape.Tape
	keys  []byte // canonical values, one after the other
	ends  []int  // where each of them ends
	marks []mark // the keys
}

// mark is where a key's values begin.
type mark struct{ equality, text, value int }

// add appends a canonical value unless it is among those from first on.
func (s *scratch) add(leaf *scalar.Leaf, t *jsontape.Tape, r jsontape.Ref, first int) bool {
	start := len(s.keys)
	keys, ok := leaf.AppendKey(s.keys, t, r)
	if !ok || len(s.ends)-first > maxIn {
		return false
	}
	s.keys = keys
	for i := first; i < len(s.ends); i++ {
		from := 0
		if i > 0 {
			from = s.ends[i-1]
		}
		if bytes.Equal(keys[from:s.ends[i]], keys[start:]) {
			s.keys = keys[:start]
			return true
		}
	}
	s.ends = append(s.ends, len(keys))
	return true
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// maxScratch is the largest buffer that goes back to the pool.
const maxScratch = 64 << 10

func (s *scratch) free() {
	if cap(s.text) > maxScratch {
		return
	}
	s.keys, s.ends, s.marks = s.keys[:0], s.ends[:0], s.marks[:0]
	scratches.Put(s)
}

// arguments coerces a field's arguments and lays out their tape, which is valid until the next call.
func (s *scratch) arguments(f *gql.FieldSelection, vars Variables) (*jsontape.Tape, []*gql.Error) {
	if vars == nil {
		vars = noVariables()
	}
	text, errs := f.CoerceArguments(s.text[:0], vars)
	if len(errs) > 0 {
		return nil, errs
	}
	s.text = text
	if s.tape.Parse(text, jsontape.Limits{Depth: maxDepth, Bytes: len(text)}) != nil {
		return nil, []*gql.Error{{Code: code.BadUserInput, Message: "The arguments nest too deeply."}}
	}
	return &s.tape, nil
}

// maxDepth is how deep coerced arguments may nest.
const maxDepth = 256

const rootNode = jsontape.Root

var emptyObject = []byte("{}")

var noVariables = sync.OnceValue(func() *jsontape.Tape {
	t := new(jsontape.Tape)
	if err := t.Parse(emptyObject, jsontape.Limits{}); err != nil {
		panic(err)
	}
	return t
})

// given reports whether an argument or member has a value: null and absent do not filter.
func given(t *jsontape.Tape, r jsontape.Ref) bool { return t.Kind(r) > jsontape.Null }

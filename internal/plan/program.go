package plan

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Projection is what writes a plan's results, for fixed conditions and mask. It is shared by all groups of the
// plan to which these are equal, and is all that a group needs once it is in the index. Immutable and safe for
// concurrent use.
type Projection struct {
	Plan *Plan

	head []byte // `{"data":{"key":`
	key  string // response key of the root
	root value
	size int    // fields and objects in it
	flat *chunk // of the root object, if all that is selected are leaves of it
}

type valueKind uint8

const (
	leafValue valueKind = iota
	listValue
	objectValue
	abstractValue // which object: by __typename
	untypedValue  // without a schema: an object by __typename, or lists of them
	maskedValue   // null, whatever is there
	constantValue // what field.constant says
	invalidValue  // an error: the field's arguments could not be coerced
)

// value completes one value by its type.
type value struct {
	kind    valueKind
	nonNull bool
	wrap    bool         // listValue of a root: a value that is no list becomes a list of one
	leaf    *scalar.Leaf // leafValue
	elem    *value       // listValue
	object  *object      // objectValue
	choice  *choice      // abstractValue, untypedValue
	field   string       // Type.field, for messages
	typ     string       // name of the type inside lists, for messages
}

// choice is the objects that a value may be. bare and other are set without a schema only: for a value
// without __typename, and for one of a type that no condition names.
type choice struct {
	objects     []*object
	byName      map[string]*object // instead of a search, above 8 objects
	bare, other *object
}

// object is the selection on one object type, in chunks of at most chunkFields.
type object struct {
	name   string
	chunks []chunk
	failed bool // a condition in it is null: the object is a field error
}

// chunkFields bounds the scratch of one scan, on the stack: 32 × 4 bytes.
const chunkFields = 32

// chunk is fields whose members are found in one scan.
type chunk struct {
	set    jsontape.NameSet
	fields []field
	// members is the set of all that the type's fields read, for an event that several programs read; nil: none.
	members *jsontape.NameSet
	// leaves are the fields once more if all are leaves, in a fourth of the memory: 100 programs of an event read
	// that much less.
	leaves []leafField
	// plain: all fields are leaves of members of their own names, and the set has these in their order.
	plain bool
}

// leafField is a field that is a leaf.
type leafField struct {
	lead    string
	leaf    *scalar.Leaf
	member  int32
	nonNull bool
}

// field writes one response field.
type field struct {
	lead     []byte // `{"key":` or `,"key":`
	constant string // the whole value, where it does not depend on the event
	slot     int    // of the member in the chunk's set
	member   int    // of the member in the type's set
	key      string
	value    value
}

// maxProgram bounds fields and objects of a program: interfaces multiply selections.
const maxProgram = 20_000

// variant is what a program is specialised for.
type variant struct {
	inputs string // an input for each condition variable, then for each field of Plan.nested
	mask   policy.Mask
}

const (
	inputFalse   byte = '0'
	inputTrue    byte = '1' // of a field: its arguments are valid
	inputInvalid byte = '!' // null where it may not be
)

// compileProgram makes the program of a variant.
func (p *Plan) compileProgram(v variant) (*Projection, *gql.Error) {
	c := compiler{plan: p, variant: v, ids: map[*gql.FieldSelection]uint32{}, objects: map[string]*object{}}
	out := &Projection{Plan: p, key: p.root.ResponseKey, head: []byte(`{"data":{"` + p.root.ResponseKey + `":`)}
	fields := []*gql.FieldSelection{p.root}
	if p.Root == nil {
		out.root = c.untyped(fields, p.selections)
	} else {
		out.root = c.value(p.Root.Type, p.selections, fieldCoordinate(p.Root))
		for l := &out.root; l.kind == listValue; l = l.elem {
			l.wrap = true
		}
	}
	if c.size > maxProgram {
		return nil, &gql.Error{Code: code.LimitExceeded, Message: "The selection is too large: interfaces and fragments multiply it beyond the limit."}
	}
	if v.mask&p.access.maskOf(p.Root) != 0 {
		out.root = value{kind: maskedValue}
	}
	out.size = c.size
	if o := out.root.object; out.root.kind == objectValue && len(o.chunks) == 1 && o.chunks[0].members != nil && o.chunks[0].leaves != nil {
		out.flat = &o.chunks[0]
	}
	return out, nil
}

type compiler struct {
	plan *Plan
	variant
	ids     map[*gql.FieldSelection]uint32
	objects map[string]*object // by type and merged selections: equal parts are compiled once
	size    int
}

// value compiles the completion of a type; lists are the selection sets of the fields that merge there.
func (c *compiler) value(t *gql.TypeRef, lists [][]gql.Selection, coordinate string) value {
	v := value{nonNull: t.NonNull, field: coordinate, typ: t.Name().Name}
	if t.Elem != nil {
		elem := c.value(t.Elem, lists, coordinate)
		v.kind, v.elem = listValue, &elem
		return v
	}
	switch t.Named.Kind {
	case gql.ObjectType:
		v.kind, v.object = objectValue, c.object(t.Named, lists)
	case gql.InterfaceType, gql.UnionType:
		v.kind, v.choice = abstractValue, &choice{}
		for _, possible := range t.Named.Possible {
			v.choice.objects = append(v.choice.objects, c.object(possible, lists))
		}
		v.choice.indexNames()
	default:
		v.kind, v.leaf = leafValue, &t.Named.Leaf
	}
	return v
}

func (ch *choice) indexNames() {
	if len(ch.objects) <= 8 {
		return
	}
	ch.byName = make(map[string]*object, len(ch.objects))
	for _, o := range ch.objects {
		ch.byName[o.name] = o
	}
}

// object compiles merged selection sets on one object type.
func (c *compiler) object(t *gql.Type, lists [][]gql.Selection) *object {
	groups, ok := c.collect(lists, func(f *gql.FragmentSelection) bool { return holds(f, t) })
	if !ok {
		return &object{name: t.Name, failed: true}
	}
	key := c.objectKey(t.Name, groups)
	if o := c.objects[key]; o != nil {
		return o
	}
	o := &object{name: t.Name}
	c.objects[key] = o
	b := builder{object: o, members: t.Members}
	for _, g := range groups {
		if c.size++; c.size > maxProgram {
			break
		}
		name := g.fields[0].Name
		if name == "__typename" {
			b.constant(g.key, `"`+t.Name+`"`)
			continue
		}
		def := t.Field(name)
		if def == nil || c.masked(def, g.fields) {
			b.constant(g.key, "null")
			continue
		}
		if c.invalidArguments(g.fields[0]) {
			b.add(g.key, field{value: value{kind: invalidValue, nonNull: def.Type.NonNull, field: fieldCoordinate(def)}})
			continue
		}
		b.member(g.key, def.From, def.Slot, c.value(def.Type, g.lists(), fieldCoordinate(def)))
	}
	b.close()
	return o
}

// masked reports whether a field is null for the caller: by its own access, its type's, that of the type it
// stands in, or those of the interface through which it was selected. The schema has no non-null field there.
func (c *compiler) masked(def *gql.Field, through []*gql.FieldSelection) bool {
	if c.mask == 0 {
		return false
	}
	m := c.plan.access.maskOf(def)
	for _, f := range through {
		m |= c.plan.access.maskOf(f.Field)
	}
	return m&c.mask != 0
}

// group is the fields that merge under one response key.
type group struct {
	key    string
	fields []*gql.FieldSelection
}

func (g *group) lists() [][]gql.Selection {
	lists := make([][]gql.Selection, 0, len(g.fields))
	for _, f := range g.fields {
		if len(f.Selections) > 0 {
			lists = append(lists, f.Selections)
		}
	}
	return lists
}

// collect is CollectFields of the specification (https://spec.graphql.org, section 6.3.2) with the
// conditions' values known: response keys in the order of their first occurrence. ok is false if a condition
// that counts is null.
func (c *compiler) collect(lists [][]gql.Selection, applies func(*gql.FragmentSelection) bool) (groups []*group, ok bool) {
	ok = true
	byKey := map[string]*group{}
	seen := map[*gql.Selection]bool{}
	var walk func([]gql.Selection)
	walk = func(list []gql.Selection) {
		if len(list) == 0 || seen[&list[0]] {
			return
		}
		seen[&list[0]] = true
		for i := range list {
			s := &list[i]
			switch c.included(s.Conditions) {
			case inputFalse:
				continue
			case inputInvalid:
				ok = false
			}
			if s.Fragment != nil {
				if applies(s.Fragment) {
					walk(s.Fragment.Selections)
				}
				continue
			}
			g := byKey[s.Field.ResponseKey]
			if g == nil {
				g = &group{key: s.Field.ResponseKey}
				byKey[g.key] = g
				groups = append(groups, g)
			}
			g.fields = append(g.fields, s.Field)
		}
	}
	for _, list := range lists {
		walk(list)
	}
	return groups, ok
}

// included evaluates @skip, then @include.
func (c *compiler) included(conditions []gql.Condition) byte {
	for _, skip := range []bool{true, false} {
		for _, d := range conditions {
			if d.Skip != skip {
				continue
			}
			on := d.Value
			if d.Variable != "" {
				input := c.inputs[slices.Index(c.plan.conditions, d.Variable)]
				if input == inputInvalid {
					return inputInvalid
				}
				on = input == inputTrue
			}
			if on == skip {
				return inputFalse
			}
		}
	}
	return inputTrue
}

// invalidArguments reports whether the coercion of a field's arguments failed: a field error.
func (c *compiler) invalidArguments(f *gql.FieldSelection) bool {
	i := slices.Index(c.plan.nested, f)
	return i >= 0 && c.inputs[len(c.plan.conditions)+i] == inputInvalid
}

// objectKey names a type and the fields that were collected for it.
func (c *compiler) objectKey(name string, groups []*group) string {
	var b strings.Builder
	b.WriteString(name)
	for _, g := range groups {
		b.WriteByte(0)
		for _, f := range g.fields {
			id, ok := c.ids[f]
			if !ok {
				id = uint32(len(c.ids) + 1)
				c.ids[f] = id
			}
			b.Write(binary.LittleEndian.AppendUint32(nil, id))
		}
	}
	return b.String()
}

// builder cuts the fields of an object into chunks.
type builder struct {
	object  *object
	members *jsontape.NameSet
	names   []string
	fields  []field
	lead    byte
}

func (b *builder) add(key string, f field) {
	if b.lead == 0 {
		b.lead = '{'
	}
	f.key = key
	f.lead = []byte(string(b.lead) + `"` + key + `":`)
	b.lead = ','
	b.fields = append(b.fields, f)
}

func (b *builder) constant(key, text string) {
	b.add(key, field{constant: text, value: value{kind: constantValue}})
}

// member adds a field that reads a member; fields that read the same one share its slot.
func (b *builder) member(key, name string, member int, v value) {
	slot := 0
	for slot < len(b.names) && b.names[slot] != name {
		slot++
	}
	if slot == len(b.names) {
		if slot == chunkFields {
			b.cut()
			slot = 0
		}
		b.names = append(b.names, name)
	}
	b.add(key, field{slot: slot, member: member, value: v})
}

func (b *builder) cut() {
	b.object.chunks = append(b.object.chunks, chunk{jsontape.MakeNameSet(b.names), b.fields, b.members, leavesOf(b.fields), b.plain()})
	b.names, b.fields = nil, nil
}

func (b *builder) plain() bool {
	for i := range b.fields {
		if f := &b.fields[i]; f.value.kind != leafValue || f.slot != i || f.key != b.names[i] {
			return false
		}
	}
	return true
}

// leavesOf returns the fields as leaves, nil if one of them is none. Their texts lie side by side.
func leavesOf(fields []field) []leafField {
	leaves := make([]leafField, len(fields))
	var texts strings.Builder
	for i := range fields {
		f := &fields[i]
		if f.value.kind != leafValue {
			return nil
		}
		texts.Write(f.lead)
		leaves[i] = leafField{"", f.value.leaf, int32(f.member), f.value.nonNull}
	}
	rest := texts.String()
	for i := range fields {
		n := len(fields[i].lead)
		leaves[i].lead, rest = rest[:n], rest[n:]
	}
	return leaves
}

func (b *builder) close() {
	if len(b.fields) > 0 {
		b.cut()
	}
}

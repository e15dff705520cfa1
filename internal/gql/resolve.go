package gql

import (
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// resolve gives our directives their meaning, which needs the whole type system.
func (l *loader) resolve(s *Schema) {
	for _, t := range s.Order {
		def := s.ast.Types[t.Name]
		for _, f := range t.Fields {
			fd := def.Fields.ForName(f.Name)
			if t == s.Subscription {
				l.resolveRoot(f, fd)
			} else {
				l.refuseRootDirectives(f, fd)
			}
			if u := l.taken(fd, "from"); u != nil && t.Kind == InterfaceType {
				l.checkFrom(f, u)
			}
		}
	}
	l.checkMasks(s)
}

// rootDirectives stand on fields of the subscription root only.
var rootDirectives = []string{"source", "owner", "tenant", "delivery"}

func (l *loader) refuseRootDirectives(f *Field, fd *ast.FieldDefinition) {
	for _, name := range rootDirectives {
		if u := l.taken(fd, name); u != nil {
			l.errorAt(u.pos, fmt.Sprintf("@%s on %s.%s: only fields of the subscription root have it", name, f.Parent.Name, f.Name))
		}
	}
	for _, a := range fd.Arguments {
		for _, name := range []string{"match", "where"} {
			if u := l.taken(a, name); u != nil {
				l.errorAt(u.pos, fmt.Sprintf("@%s on argument %s of %s.%s: only arguments of the subscription root's fields filter",
					name, a.Name, f.Parent.Name, f.Name))
			}
		}
	}
}

// resolveFrom reads @from.
func (l *loader) resolveFrom(f *Field, fd *ast.FieldDefinition) {
	u := l.taken(fd, "from")
	if u == nil {
		return
	}
	member := u.text("path")
	switch {
	case member == "":
		l.errorAt(u.pos, "@from: the path is empty")
	case strings.Contains(member, "."):
		l.errorAt(u.pos, fmt.Sprintf("@from(path: %q): a field reads one member of its object, not a path", member))
	}
	f.From = member
}

// resolveRoot reads the directives of a field of the subscription root and of its arguments.
func (l *loader) resolveRoot(f *Field, fd *ast.FieldDefinition) {
	if u := l.taken(fd, "from"); u != nil {
		l.errorAt(u.pos, fmt.Sprintf("@from on %s.%s: the value of a subscription's field is the event's data itself", f.Parent.Name, f.Name))
	}
	f.Source = &Source{Channel: f.Name}
	at := fd.Position
	if u := l.taken(fd, "source"); u != nil {
		at = u.pos
		if u.has("channel") {
			f.Source.Channel = u.text("channel")
		}
		f.Source.Types = u.list("types")
		l.checkEventTypes(u)
	}
	if err := event.ValidateChannel(f.Source.Channel); err != nil {
		l.errorAt(at, fmt.Sprintf("channel %q of %s.%s %s", f.Source.Channel, f.Parent.Name, f.Name, err.Message))
	}
	payload := f.Type.Name()
	if payload.IsLeaf() && l.opt.Resolvers != nil && !l.opt.Resolvers(f.Name) {
		l.errorAt(fd.Position, fmt.Sprintf("%s.%s has the type %s: a field without parts needs a resolver", f.Parent.Name, f.Name, f.Type))
	}
	f.Owner = l.resolvePath(fd, "owner", payload)
	f.Tenant = l.resolvePath(fd, "tenant", payload)
	l.resolveDelivery(f, fd, payload)
	for i, a := range fd.Arguments {
		l.resolveArgument(f, f.Args[i], a, payload)
	}
}

func (l *loader) checkEventTypes(u *use) {
	if v := u.args["types"]; v != nil && v.Kind == ast.ListValue && len(v.Children) == 0 {
		l.errorAt(u.pos, "@source: types is empty; leave it out to take every type")
	}
	for _, name := range u.list("types") {
		if err := event.ValidateType(name); err != nil {
			l.errorAt(u.pos, fmt.Sprintf("event type %q of @source %s", name, err.Message))
		}
	}
}

// resolvePath reads the path of @owner or @tenant.
func (l *loader) resolvePath(fd *ast.FieldDefinition, name string, payload *Type) []string {
	u := l.taken(fd, name)
	if u == nil {
		return nil
	}
	return l.path(u, "path", payload)
}

// path splits a path into data and checks it as far as the payload type knows it.
func (l *loader) path(u *use, arg string, payload *Type) []string {
	path := strings.Split(u.text(arg), ".")
	for _, segment := range path {
		if segment == "" {
			l.errorAt(u.pos, fmt.Sprintf("@%s: path %q has an empty name", u.name, u.text(arg)))
			return path
		}
	}
	if at := listCrossing(payload, path); at >= 0 {
		l.errorAt(u.pos, fmt.Sprintf("@%s: path %q crosses the list %s", u.name, u.text(arg), strings.Join(path[:at+1], ".")))
	}
	return path
}

// listCrossing returns the index of a segment before the last that holds a list, -1 for none. Members that
// the payload type does not know end the walk.
func listCrossing(t *Type, path []string) int {
	p := payloadOf(t)
	for i, segment := range path[:len(path)-1] {
		inner, list := p.at(segment)
		if list != nil {
			return i
		}
		p = inner
	}
	return -1
}

func (l *loader) resolveDelivery(f *Field, fd *ast.FieldDefinition, payload *Type) {
	u := l.taken(fd, "delivery")
	if u == nil {
		return
	}
	d := &Delivery{}
	d.Overflow = map[string]Overflow{
		"CLOSE": OverflowClose, "DROP_OLDEST": OverflowDropOldest, "DROP_NEWEST": OverflowDropNewest, "LATEST": OverflowLatest,
	}[u.text("overflow")]
	switch {
	case u.has("key") && d.Overflow != OverflowLatest:
		l.errorAt(u.pos, "@delivery: key has a meaning with overflow: LATEST only")
	case !u.has("key") && d.Overflow == OverflowLatest:
		l.errorAt(u.pos, "@delivery: overflow: LATEST needs key, the path of the value of which the newest is kept")
	case u.has("key"):
		d.Key = l.path(u, "key", payload)
	}
	d.MaxMessages = l.positive(u, "maxMessages")
	d.MaxBytes = l.positive(u, "maxBytes")
	f.Delivery = d
}

func (l *loader) positive(u *use, arg string) int {
	if !u.has(arg) {
		return 0
	}
	n := 0
	if _, err := fmt.Sscanf(u.text(arg), "%d", &n); err != nil || n <= 0 {
		l.errorAt(u.pos, fmt.Sprintf("@%s: %s must be greater than 0", u.name, arg))
	}
	return n
}

// resolveArgument decides how an argument of a root field filters.
func (l *loader) resolveArgument(f *Field, a *Argument, def *ast.ArgumentDefinition, payload *Type) {
	if l.broken[def] {
		return
	}
	match, where := l.taken(def, "match"), l.taken(def, "where")
	coordinate := fmt.Sprintf("argument %s of %s.%s", a.Name, f.Parent.Name, f.Name)
	switch {
	case match != nil && where != nil:
		l.errorAt(where.pos, fmt.Sprintf("%s: @match and @where exclude each other", coordinate))
	case where != nil:
		l.resolveWhere(a, where.pos, coordinate, payload)
	case match != nil && match.has("path"):
		op, _ := filter.ParseOp(match.text("op")) // a value of enum MatchOp: it was checked
		l.matchArgument(a, match.pos, coordinate, l.path(match, "path", payload), op)
	default:
		l.resolveByName(a, def.Position, match, coordinate, payload)
	}
}

// resolveByName resolves an argument that compares the member of its name.
func (l *loader) resolveByName(a *Argument, pos *ast.Position, match *use, coordinate string, payload *Type) {
	member, problem := l.schema.member(payloadOf(payload), a.Name)
	op := filter.EQ
	if match != nil {
		pos = match.pos
		op, _ = filter.ParseOp(match.text("op"))
	}
	switch {
	case problem != "":
		l.errorAt(pos, fmt.Sprintf("%s: %s: say with @match(path:) which of them it compares", coordinate, problem))
	case match == nil && payload.reads(member) == nil:
		l.errorAt(pos, fmt.Sprintf("%s: %s has no field of that name; say with @match(path:) what it compares, or with @where that it is a filter",
			coordinate, payload.Name))
	default:
		l.matchArgument(a, pos, coordinate, []string{member}, op)
	}
}

// matchArgument makes an argument compare what is at a path.
func (l *loader) matchArgument(a *Argument, pos *ast.Position, coordinate string, path []string, op filter.Op) {
	if problem := operatorProblem(op, a.Type); problem != "" {
		l.errorAt(pos, fmt.Sprintf("%s: %s", coordinate, problem))
	} else if err := defaultProblem(a, func(t *jsontape.Tape) error { return operand(a, op, t, jsontape.Root) }); err != nil {
		l.errorAt(l.pending[a].value.Position, fmt.Sprintf("default of %s: %v", a.Name, err))
	}
	a.Match = &Match{Path: path, Op: op, Leaf: a.Type.Name().Leaf}
}

// defaultProblem applies a check to the coerced default of an argument, if it has one.
func defaultProblem(a *Argument, check func(t *jsontape.Tape) error) error {
	if a.Default == nil {
		return nil
	}
	var t jsontape.Tape
	if err := t.Parse(a.Default, jsontape.Limits{Bytes: len(a.Default)}); err != nil {
		return err
	}
	return check(&t)
}

// operand says what an operator finds wrong with a value of an argument or of a member of a filter, as it does at every
// subscribe.
func operand(a *Argument, op filter.Op, t *jsontape.Tape, r jsontape.Ref) error {
	_, err := filter.Compare(nil, a.Type.Name().Leaf, op, t, r)
	return err
}

// operatorProblem says why an operator cannot take an argument of a type, "" if it can.
func operatorProblem(op filter.Op, t *TypeRef) string {
	named := t.Name()
	if !named.IsLeaf() {
		return fmt.Sprintf("an argument of input object type %s filters with @where only", named.Name)
	}
	depth := 0
	for e := t.Elem; e != nil; e = e.Elem {
		depth++
	}
	if err := op.Check(depth, named.Leaf.Kind); err != nil {
		return fmt.Sprintf("%v; it is %s", err, t)
	}
	return ""
}

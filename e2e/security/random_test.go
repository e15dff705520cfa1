package security

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/policy"
)

const (
	worlds  = 100
	callers = 12
	events  = 24
)

// TestRandomCasesAgreeWithTheOracle makes schemas, identities and events at random and compares, for each
// (identity, event, schema), what arrives with what the oracle says: 100 × 12 × 24 = 28,800 cases. Events that the
// door refuses go onto the bus past it, since a bus may carry anything.
func TestRandomCasesAgreeWithTheOracle(t *testing.T) {
	var total tally
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := dice{rand.New(rand.NewPCG(seed, 0x5eed))}
			total.add(runWorld(t, d, d.world()))
		})
	}
	t.Logf("%+v", total)
	if total.cases < 10_000 || total.arrived < 500 || total.denied < 500 || total.refused < 200 || total.subscribesRefused < 50 {
		t.Errorf("the cases are too much alike: %+v", total)
	}
}

type tally struct{ cases, arrived, denied, refused, subscribesRefused int }

func (t *tally) add(u tally) {
	t.cases += u.cases
	t.arrived += u.arrived
	t.denied += u.denied
	t.refused += u.refused
	t.subscribesRefused += u.subscribesRefused
}

// runWorld subscribes callers, publishes events one by one and looks at every queue after each.
func runWorld(t *testing.T, d dice, w *world) (n tally) {
	b := membus.New(membus.Options{})
	seen := newCounts()
	cfg := fraiseql.Config{Bus: b, Observer: seen, Security: fraiseql.Security{RowFilter: w.filter}}
	if w.strict {
		cfg.Security.Isolation = fraiseql.IsolationStrict
	}
	if !w.schemaless {
		cfg.Schema = []fraiseql.SchemaSource{{Name: "random.graphql", Text: w.sdl()}}
	}
	e, err := fraiseql.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(t.Context()) }()

	all := make([]*caller, callers)
	subs := make([]*fraiseql.Subscription, callers)
	for i := range all {
		all[i] = d.caller(w)
		subs[i] = subscribe(t, e, w, all[i], i)
		if subs[i] == nil {
			n.subscribesRefused++
		}
	}
	for i := range events {
		ev := d.event(i)
		seen.reset()
		if !publishAnyhow(t, e, b, w, ev) {
			n.refused++
		}
		arrived, denied := 0, 0
		for k, c := range all {
			n.cases++
			if subs[k] == nil {
				continue
			}
			if compare(t, w, c, ev, subs[k]) {
				arrived++
			} else {
				denied++
			}
		}
		n.arrived += arrived
		n.denied += denied
		if !w.filtered && w.wants(ev.Type) {
			counted(t, seen, ev, arrived, denied)
		}
	}
	return n
}

// counted compares what the engine counted for one event with what happened, where no argument filters: who
// passed the last check got it, everybody else was denied by one of the three.
func counted(t *testing.T, seen *counts, ev *fraiseql.Event, arrived, denied int) {
	t.Helper()
	sum := 0
	for _, check := range []policy.Check{policy.Tenant, policy.Row, policy.Federation} {
		_, n := seen.of(check)
		sum += n
	}
	if allowed, _ := seen.of(policy.Federation); allowed != arrived || sum != denied {
		t.Fatalf("event %+v %s: %d allowed and %d denied counted, %d arrived and %d did not", *ev, ev.Data, allowed, sum, arrived, denied)
	}
}

// subscribe returns nil when the caller is refused, as the oracle must say too.
func subscribe(t *testing.T, e *fraiseql.Engine, w *world, c *caller, i int) *fraiseql.Subscription {
	t.Helper()
	code, ok := w.admitted(c)
	query, variables := w.query(c)
	sub, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: fmt.Sprint(i), SubscriptionID: "op", Query: query, Variables: variables, Identity: c.identity,
	})
	var refusal *fraiseql.Error
	switch {
	case ok && err != nil:
		t.Fatalf("%s %s of %+v: %v", query, variables, c.identity, err)
	case !ok && err == nil:
		t.Fatalf("%s %s of %+v: admitted, want %s", query, variables, c.identity, code)
	case !ok && (!errors.As(err, &refusal) || refusal.Code != code):
		t.Fatalf("%s %s of %+v: %v, want %s", query, variables, c.identity, err, code)
	}
	return sub
}

// publishAnyhow publishes by the door or, where that refuses, on the bus. It reports whether the door took it.
func publishAnyhow(t *testing.T, e *fraiseql.Engine, b *membus.Bus, w *world, ev *fraiseql.Event) bool {
	t.Helper()
	_, err := e.Publish(t.Context(), *ev)
	if want := w.published(ev); (err == nil) != want {
		t.Fatalf("%+v %s\nin %+v: published %v, want %v", ev, ev.Data, w, err, want)
	}
	if err == nil {
		return true
	}
	if _, err := b.Publish(t.Context(), []bus.Message{{Event: *ev}}); err != nil {
		t.Fatal(err)
	}
	return false
}

// compare looks at the queue of a subscriber after an event and reports whether it arrived.
func compare(t *testing.T, w *world, c *caller, ev *fraiseql.Event, sub *fraiseql.Subscription) bool {
	t.Helper()
	text, ok, err := sub.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := w.sees(c, ev); ok != want {
		t.Fatalf("event %+v\ndata %s\nfor %+v, arguments %v %v\nin %+v: arrived %v, want %v", *ev, ev.Data, c.identity, deref(c.userArg), deref(c.kindArg), w, ok, want)
	}
	if !ok {
		return false
	}
	if want := `{"id":"op","type":"next","payload":{"data":` + w.shows(c, ev) + `}}`; string(text) != want {
		t.Fatalf("for %+v in %+v: got  %s\nwant %s", c.identity, w, text, want)
	}
	if text, again, _ := sub.Next(nil); again {
		t.Fatalf("a second message: %s", text)
	}
	return true
}

func deref(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// dice draws what the tests are about: few values, so that they often meet, and many wrong ones.
type dice struct{ *rand.Rand }

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }

// some is true once in n times.
func (d dice) some(n int) bool { return d.IntN(n) == 0 }

func (d dice) world() *world {
	w := &world{strict: d.some(2), filtered: d.some(2), filter: fraiseql.RowFilter(d.IntN(5)), schemaless: d.some(5)}
	if w.schemaless {
		return w
	}
	w.owner = d.pick("", "", "owner", "meta.owner.id", "user_id")
	w.tenant = d.pick("", "", "org", "meta.org", "tenant_id")
	if d.some(4) {
		w.types = []string{"created", "updated"}
	}
	return w
}

func (w *world) sdl() string {
	directives := ""
	if w.owner != "" {
		directives += fmt.Sprintf(" @owner(path: %q)", w.owner)
	}
	if w.tenant != "" {
		directives += fmt.Sprintf(" @tenant(path: %q)", w.tenant)
	}
	types := ""
	if len(w.types) > 0 {
		types = `, types: ["` + strings.Join(w.types, `", "`) + `"]`
	}
	return `
type Subscription { item(userId: ID @match(path: "user_id"), kind: ID @match(path: "kind")): Item @source(channel: "item"` + types + `)` + directives + ` }
type Item {
  id: ID!
  secret: String @requiresRole(roles: ["admin", "audit"])
  scoped: String @requiresScopes(scopes: [["read", "all"], ["root"]])
  masked: String @requiresRole(roles: ["admin"], deny: MASK)
  mine: String @authenticated
}`
}

// query is the caller's document: arguments are literals or variables, as it comes.
func (w *world) query(c *caller) (query string, variables []byte) {
	selection := "id"
	for _, f := range []struct {
		on   bool
		name string
	}{{c.secret, "secret"}, {c.scoped, "scoped"}, {c.mine, "mine"}, {c.masked, "masked"}} {
		if f.on {
			selection += " " + f.name
		}
	}
	var args, defs []string
	values := map[string]string{}
	user := "userId"
	if w.schemaless {
		user = "user_id"
	}
	for i, a := range []struct {
		name  string
		value *string
	}{{user, c.userArg}, {"kind", c.kindArg}} {
		switch {
		case a.value == nil:
		case (len(c.identity.TenantID)+i)%2 == 0:
			args = append(args, fmt.Sprintf("%s: %q", a.name, *a.value))
		default:
			args = append(args, fmt.Sprintf("%s: $v%d", a.name, i))
			defs = append(defs, fmt.Sprintf("$v%d: ID", i))
			values[fmt.Sprintf("v%d", i)] = *a.value
		}
	}
	query = "subscription"
	if len(defs) > 0 {
		query += " (" + strings.Join(defs, ", ") + ")"
	}
	query += " { item"
	if len(args) > 0 {
		query += "(" + strings.Join(args, ", ") + ")"
	}
	variables, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return query + " { " + selection + " } }", variables
}

func (d dice) caller(w *world) *caller {
	c := &caller{secret: d.some(8), scoped: d.some(6), masked: d.some(3), mine: d.some(4)}
	c.identity = fraiseql.Identity{
		UserID: d.pick("", "alice", "alice", "alice", "bob", "7"), TenantID: d.pick("", "acme", "acme", "acme", "other", "5"),
		FederationID: d.pick("", "", "", "", "eu", "us"), ServiceName: d.pick("", "", "", "", "shop", "mail"),
	}
	for _, role := range []string{"admin", "audit", "user"} {
		if d.some(3) {
			c.identity.Roles = append(c.identity.Roles, role)
		}
	}
	for _, scope := range []string{"read", "all", "root"} {
		if d.some(2) {
			c.identity.Scopes = append(c.identity.Scopes, scope)
		}
	}
	if w.filtered && d.some(4) {
		s := d.pick(c.identity.UserID, c.identity.UserID, "alice", "eve", "")
		c.userArg = &s
	}
	if w.filtered && d.some(4) {
		s := d.pick("a", "b", "1")
		c.kindArg = &s
	}
	return c
}

func (d dice) event(i int) *fraiseql.Event {
	ev := &fraiseql.Event{
		Channel: "item", Type: d.pick("created", "updated", "deleted"), TenantID: d.pick("", "", "acme", "acme", "acme", "other", "5"), UserID: d.pick("", "", "", "", "alice", "alice", "bob", "7"),
		FederationID: d.pick("", "", "", "", "", "", "eu", "us"), ServiceName: d.pick("", "", "", "", "", "", "shop", "mail"),
	}
	if d.some(8) {
		ev.Broadcast, ev.TenantID, ev.UserID = true, "", ""
	}
	data := []string{fmt.Sprintf(`"id":"%d"`, i)}
	for _, name := range []string{"secret", "scoped", "masked", "mine"} {
		data = append(data, fmt.Sprintf(`%q:"of %d"`, name, i))
	}
	tenant, user := d.pick("acme", "acme", "acme", "other", ev.TenantID), d.pick("alice", "alice", "alice", "bob", "7", ev.UserID)
	data = d.member(data, "tenant_id", tenant, 4)
	data = d.member(data, "user_id", user, 4)
	data = d.member(data, "org", tenant, 1)
	data = d.member(data, "kind", d.pick("a", "b", "1"), 1)
	data = append(data, `"owner":`+d.owner(user))
	meta := d.member([]string{`"owner":{"id":` + d.owner(user) + `}`}, "org", tenant, 1)
	data = append(data, `"meta":{`+strings.Join(meta, ",")+`}`)
	d.Shuffle(len(data), func(i, k int) { data[i], data[k] = data[k], data[i] })
	ev.Data = []byte("{" + strings.Join(data, ",") + "}")
	return ev
}

// member adds a member once in n times: mostly a right value, sometimes as an integer, escaped, or twice (of
// which the last counts), and now and then something that is no address.
func (d dice) member(list []string, name, value string, n int) []string {
	if !d.some(n) {
		return list
	}
	switch d.IntN(12) {
	case 0:
		return append(list, fmt.Sprintf(`%q:%s`, name, d.pick("null", "true", "1.5", "[]", "{}", `[""]`, `""`, "-1e3", "7.0", "7e0")))
	case 1:
		return append(list, fmt.Sprintf(`%q:%s`, name, d.pick("7", "5", "1")))
	case 2:
		return append(list, fmt.Sprintf(`"\u%04x%s":"\u%04x%s"`, name[0], name[1:], append([]byte(value), ' ')[0], strings.TrimPrefix(value, value[:min(1, len(value))])))
	case 3:
		return append(list, fmt.Sprintf(`%q:"eve",%q:%q`, name, name, value))
	}
	return append(list, fmt.Sprintf(`%q:%q`, name, value))
}

func (d dice) owner(user string) string {
	return d.pick(fmt.Sprintf("%q", user), fmt.Sprintf("%q", user), fmt.Sprintf(`["eve",%q]`, user), fmt.Sprintf(`[7,null,%q]`, user), "7", "null", "[]", `{"id":"alice"}`, `[["alice"]]`, `""`, "true")
}

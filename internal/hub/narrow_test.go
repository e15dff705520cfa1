package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

const narrowSDL = `
type Subscription {
  thing(gt: Float @match(path: "f", op: GT), lte: Float @match(path: "f", op: LTE), between: [Int!] @match(path: "i", op: BETWEEN),
    ints: [Int!] @match(path: "i", op: IN), prefix: String @match(path: "s", op: STARTS_WITH), from: ID @match(path: "id", op: GTE),
    before: ID @match(path: "id", op: LT), tag: String @match(path: "tags", op: CONTAINS), tags: [String!] @match(path: "tags", op: CONTAINS_ANY),
    number: Float @match(path: "numbers", op: CONTAINS), not: Int @match(path: "i", op: NE), deep: String @match(path: "in.s", op: GTE),
    where: ThingWhere @where): Thing
}
type Thing { f: Float i: Int s: String id: ID in: Inner }
type Inner { s: String n: Float }
input ThingWhere { in: InnerWhere f: FloatOps or: [ThingWhere!] not: ThingWhere }
input InnerWhere { s: TextOps n: FloatOps }
input TextOps { eq: String in: [String!] startsWith: String }
input FloatOps { eq: Float gt: Float lt: Float between: [Float!] }
`

// narrowMaker makes arguments that are often equal, nested or empty intervals, and events on and beside their ends.
type narrowMaker struct{ *rand.Rand }

func (m narrowMaker) one(of ...any) any { return of[m.IntN(len(of))] }

func (m narrowMaker) float() any {
	return m.one(0, 1, -1, 1.5, 0.1, 1e300, -1e300, 1e-300, json.Number("0.1000000000000000055511151231257827"), json.Number("9007199254740993"), m.IntN(20))
}
func (m narrowMaker) int() any  { return m.one(0, -1, 2147483647, -2147483648, m.IntN(10)) }
func (m narrowMaker) text() any { return m.one("", "a", "ab", "abc", "b", "é", "1", "10", "\u00ff") }
func (m narrowMaker) texts(n int) any {
	list := make([]any, n)
	for i := range list {
		list[i] = m.text()
	}
	return list
}

func (m narrowMaker) variables() map[string]any {
	v := map[string]any{}
	for range 1 + m.IntN(3) {
		switch m.IntN(12) {
		case 0:
			v["gt"] = m.float()
		case 1:
			v["lte"] = m.float()
		case 2:
			v["between"] = []any{m.int(), m.int()}
		case 3:
			list := []any{} // more than are index keys
			for i := range 40 * m.IntN(3) {
				list = append(list, i)
			}
			v["ints"] = list
		case 4:
			v["prefix"] = m.text()
		case 5:
			v["from"], v["before"] = m.text(), m.one(m.text(), nil)
		case 6:
			v["tag"] = m.text()
		case 7:
			v["tags"] = m.texts(m.IntN(3))
		case 8:
			v["number"] = m.float()
		case 9:
			v["not"] = m.int()
		case 10:
			v["deep"] = m.text()
		case 11:
			v["where"] = m.where(2)
		}
	}
	return v
}

func (m narrowMaker) where(depth int) any {
	if depth > 0 && m.IntN(3) == 0 {
		return m.one(map[string]any{"not": m.where(depth - 1)}, map[string]any{"or": []any{m.where(depth - 1), m.where(depth - 1)}})
	}
	return m.one(map[string]any{}, map[string]any{"in": map[string]any{"s": m.one(map[string]any{"eq": m.text()}, map[string]any{"in": m.texts(m.IntN(4))},
		map[string]any{"startsWith": m.text()}), "n": map[string]any{"gt": m.float()}}}, map[string]any{"f": map[string]any{"between": []any{m.float(), m.float()}}})
}

func (m narrowMaker) event() string {
	v := map[string]any{}
	value := func() any {
		return m.one(m.float(), m.int(), m.text(), nil, true, false, "1.5", " 1 ", 1e9, []any{1}, map[string]any{})
	}
	for _, name := range []string{"f", "i", "s", "id"} {
		if m.IntN(6) > 0 {
			v[name] = m.one(m.float(), m.int(), m.text(), value())
		}
	}
	v["tags"] = m.one(m.texts(m.IntN(4)), m.text(), []any{value(), value()}, nil)
	v["numbers"] = m.one([]any{m.float(), value(), m.float()}, m.float())
	if m.IntN(3) == 0 { // many that are equal, and others behind them
		v["tags"] = slices.Concat(slices.Repeat(m.texts(1+m.IntN(2)).([]any), 200), m.texts(2).([]any))
		v["numbers"] = slices.Concat(slices.Repeat([]any{m.float()}, 200), []any{m.float(), value()})
	}
	v["in"] = m.one(map[string]any{"s": value(), "n": value()}, map[string]any{"s": m.text()}, nil, "x")
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// plain is a subscription with what it should receive by the plain evaluation of its filter.
type plain struct {
	sub    *Subscription
	filter *filter.Pred
	who    *identity.Identity
}

// narrowWorld has the schema above, and a plan with each of its arguments as a variable.
func narrowWorld(t *testing.T) (*world, *plan.Plan) {
	t.Helper()
	w := newWorld(t, Addressing{})
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "narrow.graphql", Text: narrowSDL}}, gql.SchemaOptions{})
	for _, err := range errs {
		t.Fatal(err)
	}
	w.schema = schema
	return w, w.plan(`subscription($gt: Float, $lte: Float, $between: [Int!], $ints: [Int!], $prefix: String, $from: ID, $before: ID, $tag: String, $tags: [String!], $number: Float,
		$not: Int, $deep: String, $where: ThingWhere) { thing(gt: $gt, lte: $lte, between: $between, ints: $ints, prefix: $prefix, from: $from, before: $before, tag: $tag,
		tags: $tags, number: $number, not: $not, deep: $deep, where: $where) { id } }`)
}

func joinPlain(w *world, p *plan.Plan, variables string, who *identity.Identity) plain {
	w.tb.Helper()
	j := w.request(newConn(), p, variables, who)
	bound, failed := p.BindUnkeyed(j.Tape, 0)
	if failed != nil {
		w.tb.Fatal(failed[0])
	}
	s, failed := w.hub.Join(j, nil)
	if failed != nil {
		w.tb.Fatal(failed[0])
	}
	return plain{s, bound.Filter, who}
}

// TestNarrowAnswersAsPlainEvaluation compares deliveries and counts among hundreds of subscriptions that come and go
// with the evaluation of each one's filter.
func TestNarrowAnswersAsPlainEvaluation(t *testing.T) {
	for seed := range uint64(12) {
		m := narrowMaker{rand.New(rand.NewPCG(seed, 7))}
		w, p := narrowWorld(t)
		tenants := 1 + m.IntN(2)
		var live []plain
		for range 60 {
			for range m.IntN(40) {
				text, err := json.Marshal(m.variables())
				if err != nil {
					t.Fatal(err)
				}
				who := &identity.Identity{TenantID: fmt.Sprint(m.IntN(tenants)), UserID: fmt.Sprint(m.IntN(3)), ServiceName: m.one("", "", "", "s").(string)}
				live = append(live, joinPlain(w, p, string(text), who))
			}
			for range m.IntN(1 + len(live)/3) {
				i := m.IntN(len(live))
				live[i].sub.Complete()
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
			}
			ev := event.Event{Channel: "thing", Type: "t", Data: []byte(m.event()), TenantID: m.one("", "0", "1").(string), UserID: m.one("", "", "", "1").(string),
				ServiceName: m.one("", "", "", "s", "other").(string)}
			comparePlain(t, w, live, ev)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// TestNarrowLooksAtEveryElement: elements of a list that find the same groups again and again hide none that only a later
// one finds.
func TestNarrowLooksAtEveryElement(t *testing.T) {
	for name, c := range map[string]struct {
		variables func(i int) string // of subscription i
		event     string
	}{
		"an element that repeats": {
			func(i int) string { return fmt.Sprintf(`{"tags":["t%d"]}`, i) },
			`{"tags":[` + strings.Repeat(`"t0",`, 2*minNarrowed) + `"t1"]}`,
		},
		"groups that have most in common": {
			func(i int) string {
				if i < 20 {
					return fmt.Sprintf(`{"tags":["a","b","c","d","x%d"]}`, i)
				}
				return fmt.Sprintf(`{"tags":["y%d"]}`, i)
			},
			`{"tags":["a","b","c","d","y20"]}`,
		},
		"a number that repeats": {
			func(i int) string { return fmt.Sprintf(`{"number":%d}`, i) },
			`{"numbers":[` + strings.Repeat(`1,1.0,`, minNarrowed) + `2]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := narrowWorld(t)
			var live []plain
			for i := range minNarrowed + 2 {
				live = append(live, joinPlain(w, p, c.variables(i), user("u")))
			}
			for range idleEvents + 2 {
				comparePlain(t, w, live, event.Event{Channel: "thing", Type: "t", Data: []byte(c.event)})
			}
		})
	}
}

// comparePlain publishes an event and compares who has it, and the counts.
func comparePlain(t *testing.T, w *world, live []plain, ev event.Event) {
	t.Helper()
	w.publish(ev)
	var tape jsontape.Tape
	if err := tape.Parse(ev.Data, jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	aud := policy.Addressed(&ev)
	var denied, allowed [policy.Checks]int
	for _, l := range live {
		check, ok := aud.Admits(l.who)
		if !ok {
			denied[check]++
		}
		for c := policy.Tenant; c <= policy.Federation; c++ {
			if ok || c < check {
				allowed[c]++
			}
		}
		if want, got := ok && l.filter.Match(&tape, jsontape.Root), next(l.sub) != ""; got != want {
			t.Errorf("delivered: %v, want %v; event %s", got, want, ev.Data)
		}
		if next(l.sub) != "" {
			t.Errorf("delivered twice; event %s", ev.Data)
		}
	}
	// A bucket of an equality key that the event misses counts nobody, and there is none here: lists of few values are
	// index keys, which is why those of the test have none or many.
	if diff := cmp.Diff(denied, w.counts.last.Denied); diff != "" {
		t.Errorf("denied: %s", diff)
	}
	if diff := cmp.Diff(allowed, w.counts.last.Allowed); diff != "" && ev.TenantID == "" {
		t.Errorf("allowed: %s", diff)
	}
}

// TestNarrowGoesAway leaves nothing behind when subscriptions have left.
func TestNarrowGoesAway(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($a: Float, $b: Float, $s: String) { order(from: $a, to: $b, prefix: $s) { id } }`)
	var subs []*Subscription
	for i := range 500 {
		subs = append(subs, w.join(newConn(), p, fmt.Sprintf(`{"a":%d,"b":%d}`, i%7, i), user("u")))
		subs = append(subs, w.join(newConn(), p, fmt.Sprintf(`{"s":"%d"}`, i), user("u")))
	}
	tenant := subs[0].channel.shapes[0].all.many.byTenant[""]
	n := tenant.narrowing
	if n == nil || n.rest.n != 0 || len(n.sets) != 2 || n.sets[0].numbers.n != 500 || n.sets[1].texts.n != 500 {
		t.Fatalf("%+v", n)
	}
	for _, s := range subs[:len(subs)-40] {
		s.Complete()
	}
	if n.sets[0].numbers.n != 20 || n.sets[1].texts.n != 20 || n.domains[subs[999].cell.domain] != 40 {
		t.Errorf("%+v", n)
	}
	for _, s := range subs[len(subs)-40:] {
		s.Complete()
	}
	if tenant.narrowing != nil || len(tenant.cells) != 0 {
		t.Errorf("%+v", tenant)
	}
}

// narrowBudget is what being found by a bound may take for each subscription.
const narrowBudget = 96

func TestMemoryOfNarrowing(t *testing.T) {
	const n = 50_000
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($a: Float, $b: Float) { order(from: $a, to: $b) { id } }`)
	conn, pol := newConn(), &queue.Policy{Messages: 1000, Bytes: 4 << 20}
	subs := make([]*Subscription, n)
	for i := range subs {
		j := w.request(conn, p, fmt.Sprintf(`{"a":%d,"b":%d}`, i, i+1), user("u"))
		j.Policy = pol
		subs[i], _ = w.hub.Join(j, nil)
	}
	tenant := subs[0].channel.shapes[0].all.many.byTenant[""]
	with := liveBytes()
	tenant.narrowing = nil
	per := (with - liveBytes()) / n
	t.Logf("%d bytes for each", per)
	if per > narrowBudget {
		t.Errorf("%d live bytes for each subscription, budget %d", per, narrowBudget)
	}
	tenant.narrowing = newNarrowing(tenant.cells)
	runtime.KeepAlive(subs)
}

package graphqljs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

// projections is how many executed cases the comparison needs.
const projections = 6000

// TestProjectsAsGraphQLJSExecutes compares what subscribers get for an event with what graphql-js makes of it:
// data byte by byte but for the text of numbers, and the paths of field errors in their order. Differences that
// are right are listed in DEVIATIONS.md.
func TestProjectsAsGraphQLJSExecutes(t *testing.T) {
	oracle := graphqljs.Start(t)
	executed, withErrors, failures := 0, 0, 0
	known := map[string]int{}
	for seed := uint64(10_000); executed < projections; seed++ {
		g := gqlgen.New(seed)
		g.Invalid = 4
		schema := g.Schema()
		ours, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "generated.graphql", Text: schema.SDL}}, gql.SchemaOptions{})
		if len(errs) > 0 {
			t.Fatalf("seed %d: %v\n%s", seed, errs[0], schema.SDL)
		}
		cases := make([]gqlgen.Case, casesPerSchema)
		reqs := make([]graphqljs.Request, casesPerSchema)
		for i := range cases {
			cases[i] = g.Case(schema)
			reqs[i] = request("execute", &cases[i])
			reqs[i].Loose = true
		}
		for i, answer := range oracle.AskAll(reqs) {
			if answer.Stage != "execute" {
				continue
			}
			got, deviation := project(t, ours, &cases[i])
			if deviation != "" {
				known[deviation]++
				continue
			}
			executed++
			var want, have result
			mustDecode(t, answer.Result, &want)
			mustDecode(t, got, &have)
			if len(want.Errors) > 0 {
				withErrors++
			}
			problem := differs(&have, &want)
			if problem == "" {
				continue
			}
			t.Errorf("seed %d case %d: %s\nschema:\n%s\ndocument:\n%s\nvariables: %s\nevent: %s\ngraphql-js: %s\nwe:         %s",
				seed, i, problem, schema.SDL, cases[i].Document, cases[i].Variables, cases[i].Event, answer.Result, got)
			if failures++; failures >= 5 {
				t.FailNow()
			}
		}
	}
	t.Logf("%d cases, %d with field errors, not executed: %v", executed, withErrors, known)
	if withErrors < projections/20 {
		t.Errorf("only %d cases have field errors: the generator is too tame", withErrors)
	}
}

// project runs a case that graphql-js executed. deviation names why we do not execute it.
func project(t *testing.T, s *gql.Schema, c *gqlgen.Case) (payload []byte, deviation string) {
	t.Helper()
	doc, errs := s.Parse(c.Document, limits)
	if len(errs) > 0 {
		if stricter(errs) {
			return nil, "stricter validation"
		}
		t.Fatalf("Parse: %v\n%s", errs[0], c.Document)
	}
	op, opErr := doc.Operation(c.OperationName)
	if opErr != nil {
		t.Fatal(opErr)
	}
	raw, err := op.CoerceVariables(nil, tapeOf(t, []byte(c.Variables)), jsontape.Root)
	if err != nil {
		t.Fatalf("CoerceVariables: %v", err[0])
	}
	p, compileErr := plan.Compile(op, plan.Options{})
	if compileErr != nil {
		t.Fatal(compileErr)
	}
	b, bindErrs := p.Bind(tapeOf(t, raw), 0)
	if bindErrs != nil {
		return nil, "arguments of the root field are coerced at subscribe"
	}
	return append(b.AppendPayload(nil, tapeOf(t, []byte(c.Event)), jsontape.Root), '}'), ""
}

func tapeOf(t *testing.T, text []byte) *jsontape.Tape {
	t.Helper()
	tape := new(jsontape.Tape)
	if err := tape.Parse(text, jsontape.Limits{}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return tape
}

type result struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Path []any `json:"path"`
	} `json:"errors"`
}

func mustDecode(t *testing.T, text []byte, into *result) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// differs returns what differs, "" for nothing.
func differs(got, want *result) string {
	if len(got.Errors) != len(want.Errors) {
		return fmt.Sprintf("%d errors, want %d", len(got.Errors), len(want.Errors))
	}
	for i := range got.Errors {
		if g, w := fmt.Sprint(got.Errors[i].Path), fmt.Sprint(want.Errors[i].Path); g != w {
			return fmt.Sprintf("error %d is at %s, want %s", i, g, w)
		}
	}
	if !bytes.Equal(got.Data, want.Data) && tokens(got.Data) != tokens(want.Data) {
		return "data differs"
	}
	return ""
}

// tokens writes JSON as a list of tokens in their order; numbers as their float64.
func tokens(text []byte) string {
	var out bytes.Buffer
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return out.String()
		}
		fmt.Fprintf(&out, "%T %v\n", token, token)
	}
}

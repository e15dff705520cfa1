package plan_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/policy"
)

// mustSchema loads SDL; "" is the schema that knows no types.
func mustSchema(t testing.TB, sdl string) *gql.Schema {
	t.Helper()
	if sdl == "" {
		return gql.Schemaless()
	}
	s, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: sdl}}, gql.SchemaOptions{})
	for _, err := range errs {
		t.Errorf("LoadSchema: %v", err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	return s
}

func mustOperation(t testing.TB, s *gql.Schema, document string) *gql.Operation {
	t.Helper()
	doc, errs := s.Parse(document, gql.Limits{Depth: 100})
	for _, err := range errs {
		t.Fatalf("Parse(%s): %v", document, err)
	}
	op, err := doc.Operation("")
	if err != nil {
		t.Fatalf("Operation: %v", err)
	}
	return op
}

func mustCompile(t testing.TB, s *gql.Schema, document string) *plan.Plan {
	t.Helper()
	p, err := plan.Compile(mustOperation(t, s, document), plan.Options{})
	if err != nil {
		t.Fatalf("Compile(%s): %v", document, err)
	}
	return p
}

func mustTape(t testing.TB, text string) *jsontape.Tape {
	t.Helper()
	tape := new(jsontape.Tape)
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return tape
}

// mustVariables coerces variables, "" for none.
func mustVariables(t testing.TB, p *plan.Plan, variables string) plan.Variables {
	t.Helper()
	raw := jsontape.None
	tape := new(jsontape.Tape)
	if variables != "" {
		tape, raw = mustTape(t, variables), jsontape.Root
	}
	text, errs := p.Operation.CoerceVariables(nil, tape, raw)
	for _, err := range errs {
		t.Fatalf("CoerceVariables(%s): %v", variables, err)
	}
	return mustTape(t, string(text))
}

func mustBind(t testing.TB, p *plan.Plan, variables string, mask policy.Mask) *plan.Bound {
	t.Helper()
	b, errs := p.Bind(mustVariables(t, p, variables), mask)
	for _, err := range errs {
		t.Fatalf("Bind(%s): %v", variables, err)
	}
	return b
}

// payload projects data through a document.
func payload(t testing.TB, s *gql.Schema, document, variables, data string) string {
	t.Helper()
	b := mustBind(t, mustCompile(t, s, document), variables, 0)
	return string(b.AppendPayload(nil, mustTape(t, data), jsontape.Root)) + "}"
}

// Package graphqljs compares this project's GraphQL with graphql-js, case by case.
package graphqljs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

const (
	schemas        = 120
	casesPerSchema = 50
)

// limits are wide enough for every generated document.
var limits = gql.Limits{Depth: 100, Aliases: 10_000}

// TestAgreesWithGraphQLJS compares, on 6,000 generated cases, whether a document is valid, whether variables
// are accepted and with which messages they are refused, what they are coerced to, and to what the arguments
// of every field are then coerced.
func TestAgreesWithGraphQLJS(t *testing.T) {
	oracle := graphqljs.Start(t)
	counts := map[string]int{}
	failures := 0
	for seed := range uint64(schemas) {
		g := gqlgen.New(seed)
		schema := g.Schema()
		ours, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "generated.graphql", Text: schema.SDL}}, gql.SchemaOptions{})
		if len(errs) > 0 {
			t.Fatalf("seed %d: %v\n%s", seed, errs[0], schema.SDL)
		}
		cases := make([]gqlgen.Case, casesPerSchema)
		reqs := make([]graphqljs.Request, casesPerSchema)
		for i := range cases {
			cases[i] = g.Case(schema)
			reqs[i] = request("arguments", &cases[i])
		}
		for i, answer := range oracle.AskAll(reqs) {
			stage := answer.Stage
			if len(answer.Errors) == 0 {
				stage = "accepted"
			}
			counts[stage]++
			switch problem := compare(ours, &cases[i], stage, &answer); problem {
			case "":
			case explained:
				counts[explained]++
			default:
				t.Errorf("seed %d case %d: %s\nschema:\n%s\ndocument:\n%s\nvariables: %s\ngraphql-js: %s %q %s",
					seed, i, problem, schema.SDL, cases[i].Document, cases[i].Variables, stage, answer.Errors, answer.Variables)
				if failures++; failures >= 5 {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("graphql-js: %v", counts)
	for _, stage := range []string{"parse", "validate", "coerce", "accepted"} {
		if counts[stage] < 100 {
			t.Errorf("only %d cases ended in %s: the generator is too tame", counts[stage], stage)
		}
	}
}

func request(op string, c *gqlgen.Case) graphqljs.Request {
	return graphqljs.Request{
		Op: op, SDL: c.SDL, Document: c.Document, OperationName: c.OperationName,
		Variables: json.RawMessage(c.Variables), Event: json.RawMessage(c.Event),
	}
}

// compare returns what differs, "" for nothing.
func compare(s *gql.Schema, c *gqlgen.Case, stage string, want *graphqljs.Answer) string {
	doc, errs := s.Parse(c.Document, limits)
	if len(errs) > 0 {
		got := map[string]string{"GRAPHQL_PARSE_FAILED": "parse", "GRAPHQL_VALIDATION_FAILED": "validate"}[errs[0].Code]
		if got != stage && stricter(errs) {
			return explained
		}
		if got == stage || got == "parse" && stage == "validate" && len(want.Errors) > 0 && isTypeSystem(want.Errors) {
			return ""
		}
		return fmt.Sprintf("we end in %s: %s", errs[0].Code, errs[0].Message)
	}
	if stage == "parse" || stage == "validate" {
		return "we accept the document"
	}
	op, err := doc.Operation(c.OperationName)
	if err != nil {
		if stage == "operation" {
			return ""
		}
		return err.Message
	}
	var tape jsontape.Tape
	if err := tape.Parse([]byte(c.Variables), jsontape.Limits{}); err != nil {
		return "the variables are not JSON: " + err.Error()
	}
	got, errs := op.CoerceVariables(nil, &tape, jsontape.Root)
	if len(errs) > 0 {
		return compareErrors(stage, errs, want)
	}
	if stage != "accepted" {
		return fmt.Sprintf("we accept the variables: %s", got)
	}
	if !bytes.Equal(got, want.Variables) && !sameJSON(got, want.Variables) {
		return fmt.Sprintf("we coerce to %s", got)
	}
	var vars jsontape.Tape
	if err := vars.Parse(got, jsontape.Limits{}); err != nil {
		return fmt.Sprintf("our variables are not JSON: %v", err)
	}
	seen := map[*gql.FieldSelection]bool{}
	return compareArguments(op.Selections, &vars, want, seen)
}

// compareArguments compares the arguments of every field of a selection.
func compareArguments(list []gql.Selection, vars *jsontape.Tape, want *graphqljs.Answer, seen map[*gql.FieldSelection]bool) string {
	for _, sel := range list {
		if sel.Fragment != nil {
			if problem := compareArguments(sel.Fragment.Selections, vars, want, seen); problem != "" {
				return problem
			}
			continue
		}
		f := sel.Field
		if seen[f] {
			continue
		}
		seen[f] = true
		if f.Field != nil && len(f.Field.Args) > 0 {
			at := fmt.Sprintf("%d:%d", f.Position.Line, f.Position.Column)
			theirs, known := want.Arguments[at]
			got, errs := f.CoerceArguments(nil, vars)
			switch {
			case !known:
				return "graphql-js knows no field at " + at
			case len(errs) > 0 && errs[0].Message != theirs.Error:
				return fmt.Sprintf("arguments at %s: we say %s, graphql-js %q %s", at, errs[0].Message, theirs.Error, theirs.Value)
			case len(errs) == 0 && !bytes.Equal(got, theirs.Value) && !sameJSON(got, theirs.Value):
				return fmt.Sprintf("arguments at %s: we coerce to %s, graphql-js %q %s", at, got, theirs.Error, theirs.Value)
			}
		}
		if problem := compareArguments(f.Selections, vars, want, seen); problem != "" {
			return problem
		}
	}
	return ""
}

// explained stands for a difference that is known and right.
const explained = "explained"

// stricter recognises documents that the specification refuses and graphql-js does not: it overlooks that a
// nullable variable may not stand in a OneOf input object if the object's own position is non-null.
func stricter(errs []*gql.Error) bool {
	for _, e := range errs {
		if !strings.Contains(e.Message, "must be non-nullable to be used for OneOf Input Object") {
			return false
		}
	}
	return true
}

// isTypeSystem recognises documents with type definitions: graphql-js parses and then refuses them.
func isTypeSystem(errors []string) bool {
	for _, e := range errors {
		if strings.Contains(e, "is not executable") {
			return true
		}
	}
	return false
}

// compareErrors compares the messages, but for suggestions.
func compareErrors(stage string, errs []*gql.Error, want *graphqljs.Answer) string {
	if stage != "coerce" {
		return "we refuse the variables: " + errs[0].Message
	}
	if len(errs) != len(want.Errors) {
		return fmt.Sprintf("we report %d errors, first: %s", len(errs), errs[0].Message)
	}
	for i := range errs {
		if errs[i].Message != want.Errors[i] {
			return fmt.Sprintf("message %d is %s", i, errs[i].Message)
		}
	}
	return ""
}

// sameJSON compares values: graphql-js keeps the member order and number text of custom scalars as JavaScript
// does.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}

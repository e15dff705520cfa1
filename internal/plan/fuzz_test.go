package plan_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

// FuzzProject projects any JSON: every payload is valid JSON and UTF-8, has data, and is the same whether it is
// appended to something or not.
func FuzzProject(f *testing.F) {
	for _, data := range []string{
		event370, `{}`, `[]`, `"x"`, `7`, `{"__typename":"Customer","id":1,"email":null}`, `[{"__typename":"Order","parent":{"__typename":"Line"}},null]`,
		`{"id":"1","total":1,"note":"x","paid":true}`, `{"x":0,"id":"1","total":12,"note":"\u0041","paid":false,"id2":{}}`, `{"id":"1","total":-0,"total":7,"note":null}`,
		`{"id":"1","tot\u0061l":1,"note":"x","paid":true}`, `{"id":"1", "total":1,"note":"x","paid":true}`, `{"id":7,"total":1234567890,"note":"x","paid":1}`,
		`{"grid":[[1,[2],"3"],{}],"lines":[{"sku":5},{"sku":null}],"state":"open","extra":{"a":[1e999,"\ud800"]}}`,
	} {
		f.Add(data)
	}
	typed, untyped := mustSchema(f, shopSDL), mustSchema(f, "")
	var bounds []*plan.Bound
	for _, document := range []string{
		`subscription { order { id total count note paid state extra tags grid lines { sku qty } customer { name email } strict { sku } } }`,
		`subscription { order { id total note paid } }`,
		`subscription { matrix { id lines { qty } } }`,
		`subscription { node { id __typename parent { id ... on Order { state } } ... on Customer { email } } }`,
		`subscription { any { ... on Line { sku } ... on Node { id } } }`,
	} {
		bounds = append(bounds, mustBind(f, mustCompile(f, typed, document), "", 0))
	}
	for _, document := range []string{`subscription { users }`, `subscription { users { id total note } }`, `subscription { users { id lines { sku } ... on Order { total parent { id } } __typename } }`} {
		bounds = append(bounds, mustBind(f, mustCompile(f, untyped, document), "", 0))
	}
	f.Fuzz(func(t *testing.T, data string) {
		var tape jsontape.Tape
		if tape.Parse([]byte(data), jsontape.Limits{}) != nil {
			return
		}
		for _, b := range bounds {
			out := append(b.AppendPayload(nil, &tape, jsontape.Root), '}')
			var got struct {
				Data   *json.RawMessage
				Errors []struct{ Message string }
			}
			if err := json.Unmarshal(out, &got); err != nil || !utf8.Valid(out) {
				t.Fatalf("%s\non %q gives %q: %v", b.Plan.Operation.Document.Text, data, out, err)
			}
			if got.Data == nil && len(got.Errors) == 0 {
				t.Fatalf("%s\non %q gives %q: no data and no error", b.Plan.Operation.Document.Text, data, out)
			}
			var memo plan.Memo
			if shared := b.AppendShared(nil, &tape, &memo); string(shared)+"}" != string(out) {
				t.Fatalf("%s\non %q gives %q, shared %q", b.Plan.Operation.Document.Text, data, out, shared)
			}
			if again := b.AppendPayload([]byte("head"), &tape, jsontape.Root); string(again)+"}" != "head"+string(out) {
				t.Fatalf("%s\non %q gives %q, appended %q", b.Plan.Operation.Document.Text, data, out, again)
			}
		}
	})
}

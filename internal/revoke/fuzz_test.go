package revoke

import (
	"encoding/json"
	"testing"
)

// FuzzParse reads rules of other nodes and of those who ask: what is taken is JSON, and stays itself on its way to the other nodes.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"token_id":"j"}`, `{"user_id":"u","tenant_id":"t","issued_before":"2026-11-28T12:00:00Z"}`, `{"issued_before":"2026-11-28T12:00:00.5+01:00","more":1}`,
		`{"issued_before":"0000-01-01T00:00:00+01:00"}`, `{"issued_before":"9999-12-31T23:59:59-05:00"}`, `{} {}`, `{"token_id":"j"}]`, `null`, `{"token_id":1}`, `{"token_id":"\ud800"}`,
		`{"token_id":"j","issued_before":"2026-11-28T12:00:00+00:01"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rule, err := Parse(text)
		asked, strict := ParseRequest(text)
		if strict == nil && (err != nil || asked != rule) {
			t.Fatalf("%q: a request gives %+v, a node %+v, %v", text, asked, rule, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is taken", text)
		}
		if rule.Validate() != nil {
			return
		}
		if again, err := Parse(rule.Append(nil)); err != nil || again.TokenID != rule.TokenID || again.UserID != rule.UserID || again.TenantID != rule.TenantID || !again.IssuedBefore.Equal(rule.IssuedBefore) {
			t.Fatalf("%q: %+v becomes %+v, %v", text, rule, again, err)
		}
	})
}

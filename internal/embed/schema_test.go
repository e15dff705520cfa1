//go:build linux

package embed

import (
	"strings"
	"testing"
)

func TestSetSchema(t *testing.T) {
	const sources = `{"schema":[{"name":"s.graphql","text":"type Subscription { orders: Order } type Order { id: ID! %s: String }"}]}`
	schema := func(member string) []byte { return []byte(strings.Replace(sources, "%s", member, 1)) }
	e := open(t, string(schema("note")))
	if moved, ended, err := e.SetSchema(schema("remark")); moved+ended != 0 || err != nil {
		t.Errorf("%d %d %v", moved, ended, err)
	}
	for text, want := range map[string]string{
		`{"schema":[{"name":"s.graphql","text":"type Subscription { orders: Missing }"}]}`: "s.graphql:1:",
		`{"schema":[]}`: "without", `{"other":1}`: "other", `[]`: "object", ``: "",
	} {
		_, _, err := e.SetSchema([]byte(text))
		if err == nil || !strings.Contains(string(AppendError(nil, err)), want) {
			t.Errorf("%s: %s", text, AppendError(nil, err))
		}
	}
}

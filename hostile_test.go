package fraiseql_test

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// TestDocumentBytesCountBesideAKnownPlan: a document that differs from a known one in comments only is as long
// as it is, and the plan cache keeps texts.
func TestDocumentBytesCountBesideAKnownPlan(t *testing.T) {
	e := chatEngine(t)
	const query = `subscription { everything { text } }`
	register(t, e, "1", query, "")
	padding := "#" + strings.Repeat("x", 64<<10) + "\n"
	_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "2", Query: padding + query})
	if err == nil || !strings.Contains(err.Error(), "LIMIT_EXCEEDED") {
		t.Errorf("%d bytes of comment: %v", len(padding), err)
	}
	register(t, e, "3", padding[:1000]+"\n"+query, "")
}

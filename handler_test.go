package fraiseql

import (
	"context"
	"net/http"
	"testing"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Browsers add cookies to the requests of any page. One counts only where the page is ours or was named.
func TestCookieNeedsAPageOfOurs(t *testing.T) {
	cfg := HandlerConfig{Cookie: "session"}
	for _, tt := range []struct {
		allowed []string
		origin  string
		want    string
	}{
		{nil, "https://api.example.com", "token"},
		{[]string{"https://app.example.com:443"}, "https://app.example.com", "token"},
		{[]string{"*", "https://app.example.com"}, "https://app.example.com", "token"},
		{[]string{"*"}, "https://evil.org", ""},
		{nil, "https://evil.org", ""},
		{[]string{"*"}, "", ""},
	} {
		r := &http.Request{Host: "api.example.com", Header: http.Header{"Cookie": {"session=token"}}}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if h := cfg.handshake(r, newPages(tt.allowed, cfg.Cookie)); h.Cookie != tt.want {
			t.Errorf("%v, from %q: cookie %q, want %q", tt.allowed, tt.origin, h.Cookie, tt.want)
		}
	}
}

// byTicket authenticates by a member of the payload that is not `authorization`.
type byTicket struct{}

func (byTicket) Authenticate(_ context.Context, c Credentials) (*Identity, error) {
	switch string(c.Payload) {
	case `{"ticket":"good"}`:
		return &Identity{UserID: "u"}, nil
	case ``:
		return nil, &identity.Error{Reason: identity.Missing}
	}
	return nil, &identity.Error{Reason: identity.Malformed}
}

// Anonymous is for those who present nothing, and it is the Authenticator who knows what that is.
func TestAnonymousBesideAnAuthenticator(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	for _, anonymous := range []bool{true, false} {
		g := &gate{engine: e, cfg: &HandlerConfig{Authenticator: byTicket{}, Anonymous: anonymous}}
		if id, err := g.Authenticate(t.Context(), &session.Handshake{}, []byte(`{"ticket":"good"}`)); err != nil || id.UserID != "u" {
			t.Errorf("good: %+v, %v", id, err)
		}
		if id, err := g.Authenticate(t.Context(), &session.Handshake{}, []byte(`{"ticket":"bad"}`)); err == nil {
			t.Errorf("bad: %+v", id)
		}
		id, err := g.Authenticate(t.Context(), &session.Handshake{}, nil)
		if (err == nil) != anonymous || err == nil && id.UserID != "" {
			t.Errorf("nothing presented, anonymous %v: %+v, %v", anonymous, id, err)
		}
	}
}

// counting notes what is counted.
type counting struct {
	observe.Discard
	labels map[observe.Counter][]string
}

func (c *counting) Counted(k observe.Counter, label string, _ int) {
	c.labels[k] = append(c.labels[k], label)
}

// A subscription counts as started when nothing refuses it any more.
func TestSubscribedCountsWhatStands(t *testing.T) {
	c := &counting{labels: map[observe.Counter][]string{}}
	e, err := New(Config{Observer: c, Schema: []SchemaSource{{Text: `
		type Subscription { x(n: Int @match): X secret: X @requiresRole(roles: ["r"]) }
		type X { n: Int }`}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	for i, query := range []string{
		`subscription { x { n } }`, `subscription { x { n } }`, `subscription { secret { n } }`, `subscription { secret { n } }`,
		`subscription($n: Int!) { x(n: $n) { n } }`,
	} {
		_, err := e.Register(t.Context(), Registration{ConnectionID: "c", SubscriptionID: string(rune('a' + i)), Query: query})
		if (err == nil) != (i < 2) {
			t.Errorf("%s: %v", query, err)
		}
	}
	if got := c.labels[observe.Subscribed]; len(got) != 2 || got[0] != "compiled" || got[1] != "cached" {
		t.Errorf("started: %v", got)
	}
	if got := c.labels[observe.SubscribesRefused]; len(got) != 3 || got[0] != "FORBIDDEN" || got[2] != "BAD_USER_INPUT" {
		t.Errorf("refused: %v", got)
	}
}

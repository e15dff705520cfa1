package publishtoken

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

const (
	all    = "a token for everything"
	some   = "a token for some channels"
	tenant = "a token for two tenants"
	one    = "0123456789abcdef"
)

func tokens(t testing.TB) *Set {
	t.Helper()
	s, err := New([]Token{
		{Token: all, Broadcast: true},
		{Token: some, Channels: []string{"orders", "users.*"}},
		{Token: tenant, Tenants: []string{"acme", "7"}},
		{Token: one, Channels: []string{"*"}, Tenants: []string{"acme"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFind(t *testing.T) {
	s := tokens(t)
	for i, token := range []string{all, some, tenant, one} {
		if got := s.Find(token); got != &s.grants[i] {
			t.Errorf("token %d: %v", i, got)
		}
	}
	for _, wrong := range []string{"", "a", all + " ", all[1:], strings.ToUpper(all), "Bearer " + all, strings.Repeat("x", 1<<20)} {
		if s.Find(wrong) != nil {
			t.Errorf("%.20q found", wrong)
		}
	}
	if empty, err := New(nil); err != nil || empty.Find("") != nil {
		t.Error("an empty set has a token")
	}
}

func TestAllow(t *testing.T) {
	s := tokens(t)
	for _, tt := range []struct {
		token  string
		event  event.Event
		member string // of the refusal; "ok": allowed
	}{
		{all, event.Event{Channel: "x"}, "ok"},
		{all, event.Event{Channel: "x", Broadcast: true}, "ok"},
		{all, event.Event{Channel: "x", TenantID: "acme"}, "ok"},
		{some, event.Event{Channel: "orders"}, "ok"},
		{some, event.Event{Channel: "users."}, "ok"},
		{some, event.Event{Channel: "users.created", TenantID: "any"}, "ok"},
		{some, event.Event{Channel: "orders.created"}, "channel"},
		{some, event.Event{Channel: "Orders"}, "channel"},
		{some, event.Event{Channel: "users"}, "channel"},
		{some, event.Event{Channel: "user"}, "channel"},
		{some, event.Event{Channel: "users.*"}, "ok"}, // no such channel gets as far as this
		{some, event.Event{}, "channel"},
		{some, event.Event{Channel: "orders", Broadcast: true}, "broadcast"},
		{tenant, event.Event{Channel: "x", TenantID: "acme"}, "ok"},
		{tenant, event.Event{Channel: "x", TenantID: "7", UserID: "u"}, "ok"},
		{tenant, event.Event{Channel: "x"}, "tenant_id"},
		{tenant, event.Event{Channel: "x", UserID: "u"}, "tenant_id"},
		{tenant, event.Event{Channel: "x", TenantID: "other"}, "tenant_id"},
		{tenant, event.Event{Channel: "x", TenantID: "ACME"}, "tenant_id"},
		{tenant, event.Event{Channel: "x", Broadcast: true}, "broadcast"},
		{one, event.Event{Channel: "anything", TenantID: "acme"}, "ok"},
		{one, event.Event{Channel: "anything", TenantID: "7"}, "tenant_id"},
		{"unknown", event.Event{Channel: "orders", TenantID: "acme"}, ""},
	} {
		err := s.Find(tt.token).Allow(&tt.event)
		switch {
		case tt.member == "ok" && err != nil:
			t.Errorf("%s, %+v: %v", tt.token, tt.event, err)
		case tt.member != "ok" && (err == nil || err.Member != tt.member || err.Code != code.Forbidden):
			t.Errorf("%s, %+v: got %v, want a refusal of %q", tt.token, tt.event, err, tt.member)
		}
	}
}

func TestProblemsAreReportedTogetherAndWithoutTheToken(t *testing.T) {
	const secret = "very secret token!"
	_, err := New([]Token{
		{Token: secret[:15]},
		{Token: secret, Channels: []string{}},
		{Token: secret, Tenants: []string{}},
		{Token: secret, Tenants: []string{"a"}, Broadcast: true},
		{Token: secret, Tenants: []string{""}},
		{Token: secret, Channels: []string{"a*b"}},
		{Token: secret, Channels: []string{"$control"}},
		{Token: secret, Channels: []string{"__x*"}},
		{Token: secret, Channels: []string{"a**"}},
		{Token: secret, Channels: []string{""}},
		{Token: secret},
		{Token: secret},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 11 {
		t.Errorf("%d problems:\n%v", len(lines), err)
	}
	if strings.Contains(err.Error(), secret[:15]) {
		t.Errorf("the token is in the text: %v", err)
	}
}

func TestFindAndAllowDoNotAllocate(t *testing.T) {
	s := tokens(t)
	ev := event.Event{Channel: "users.created", TenantID: "acme"}
	if n := testing.AllocsPerRun(100, func() { _ = s.Find(some).Allow(&ev) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFindAndAllow(b *testing.B) {
	s := tokens(b)
	ev := event.Event{Channel: "users.created"}
	for b.Loop() {
		_ = s.Find(some).Allow(&ev)
	}
}

// BenchmarkFind shows that the time does not tell how much of a token was right: its cases take the same, within what runs differ.
func BenchmarkFind(b *testing.B) {
	s := tokens(b)
	for _, c := range []struct{ name, token string }{
		{"right", one}, {"first byte wrong", "x" + one[1:]}, {"half of it right", one[:8] + "xxxxxxxx"}, {"last byte wrong", one[:15] + "x"}, {"right one of another place", all[:16]},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s.Find(c.token)
			}
		})
	}
}

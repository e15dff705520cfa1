package revoke

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestMatches(t *testing.T) {
	u1 := &identity.Identity{UserID: "u1", TenantID: "t1", TokenID: "j1", IssuedAt: noon}
	presented := func(d time.Duration) *identity.Identity {
		return &identity.Identity{UserID: "u1", PresentedAt: noon.Add(d)}
	}
	for _, tt := range []struct {
		rule Rule
		who  *identity.Identity
		want bool
	}{
		{Rule{TokenID: "j1"}, u1, true},
		{Rule{TokenID: "j2"}, u1, false},
		{Rule{TokenID: "j1", UserID: "u2"}, u1, false},
		{Rule{TokenID: "j1", IssuedBefore: noon}, u1, false},
		{Rule{TokenID: "j1"}, &identity.Identity{}, false},
		{Rule{UserID: "u1", IssuedBefore: noon.Add(1)}, u1, true},
		{Rule{UserID: "u1", IssuedBefore: noon}, u1, false},
		{Rule{UserID: "u1", TenantID: "t2", IssuedBefore: noon.Add(1)}, u1, false},
		{Rule{UserID: "u1", TenantID: "t1", IssuedBefore: noon.Add(1)}, u1, true},
		{Rule{TenantID: "t1", IssuedBefore: noon.Add(1)}, u1, true},
		{Rule{TenantID: "t1", IssuedBefore: noon.Add(1)}, &identity.Identity{UserID: "u1"}, false},
		{Rule{IssuedBefore: noon.Add(1)}, u1, true},
		{Rule{IssuedBefore: noon}, &identity.Identity{}, true},
		{Rule{UserID: "u1", IssuedBefore: noon}, presented(-1), true},
		{Rule{UserID: "u1", IssuedBefore: noon}, presented(time.Minute - 1), true}, // the rule was heard of a minute later
		{Rule{UserID: "u1", IssuedBefore: noon}, presented(time.Minute), false},
	} {
		s := NewSet(10)
		if fresh, ok := s.Add(tt.rule, noon.Add(time.Minute), noon, noon.Add(time.Hour)); !fresh || !ok {
			t.Fatalf("%+v: not added", tt.rule)
		}
		if got := s.Matches(tt.who); got != tt.want {
			t.Errorf("%+v of %+v: %v", tt.rule, tt.who, got)
		}
	}
}

// A rule that is heard of again refuses nothing that came since, one of the same names that is newer does.
func TestHeardAgain(t *testing.T) {
	s := NewSet(3)
	rule, who := Rule{UserID: "u", IssuedBefore: noon}, &identity.Identity{UserID: "u", PresentedAt: noon.Add(2)}
	for i, tt := range []struct {
		issued, presented time.Duration
		refused           bool
	}{{0, 1, false}, {0, 5, false}, {1, 1, false}, {3, 5, true}, {4, 4, true}} {
		rule.IssuedBefore = noon.Add(tt.issued)
		s.Add(rule, noon.Add(tt.presented), noon, noon.Add(time.Hour))
		if got := s.Matches(who); got != tt.refused {
			t.Errorf("%d: refused %v", i, got)
		}
	}
}

// Rules of the same names are one, rules that are over are forgotten, and there are no more than the limit.
func TestSetIsBounded(t *testing.T) {
	s := NewSet(3)
	add := func(r Rule, now, until time.Duration) (fresh, ok bool) {
		return s.Add(r, r.IssuedBefore, noon.Add(now), noon.Add(until))
	}
	before := func(d time.Duration) Rule { return Rule{UserID: "u", IssuedBefore: noon.Add(d)} }
	for i, tt := range []struct {
		rule       Rule
		now, until time.Duration
		fresh, ok  bool
		n          int
	}{
		{before(0), 0, time.Minute, true, true, 1},
		{before(0), 0, time.Minute, false, true, 1},
		{before(-1), 0, time.Hour, false, true, 1},
		{before(1), 0, time.Minute, true, true, 1},
		{Rule{TokenID: "a"}, 0, time.Minute, true, true, 2},
		{Rule{TenantID: "t", IssuedBefore: noon}, 0, time.Hour, true, true, 3},
		{Rule{TokenID: "b"}, 0, time.Hour, false, false, 3},
		{Rule{TokenID: "b"}, time.Minute, time.Hour, true, true, 3},
		{Rule{TokenID: "c"}, time.Minute, time.Minute, false, true, 3},
		{Rule{IssuedBefore: noon}, 2 * time.Hour, 3 * time.Hour, true, true, 1},
	} {
		if fresh, ok := add(tt.rule, tt.now, tt.until); fresh != tt.fresh || ok != tt.ok || s.Len() != tt.n {
			t.Errorf("%d: fresh %v, ok %v, %d rules", i, fresh, ok, s.Len())
		}
	}
	for i, tt := range []struct {
		rule  Rule
		limit int
		now   time.Duration
		full  bool
	}{
		{Rule{TokenID: "a"}, 2, 2 * time.Hour, false},
		{Rule{TokenID: "a"}, 1, 2 * time.Hour, true},
		{Rule{IssuedBefore: noon.Add(1)}, 1, 2 * time.Hour, false}, // is one with that which is there
		{Rule{TokenID: "a"}, 1, 4 * time.Hour, false},
	} {
		if full := s.Full(&tt.rule, tt.limit, noon.Add(tt.now)); full != tt.full {
			t.Errorf("%d: full %v", i, full)
		}
	}
	if s.Len() != 0 {
		t.Errorf("%d rules are left", s.Len())
	}
}

func TestForm(t *testing.T) {
	for _, r := range []Rule{{}, {TokenID: `"<é`}, {UserID: "u", TenantID: "t", IssuedBefore: noon.Add(time.Millisecond)}} {
		text := r.Append(nil)
		if got, err := Parse(text); err != nil || got != r {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if r, err := Parse([]byte(`{"user_id":"u","later":1}`)); err != nil || r.UserID != "u" {
		t.Errorf("a later version: %+v, %v", r, err)
	}
	for _, bad := range []Rule{
		{UserID: "u", IssuedBefore: time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)},
		{TokenID: "j", IssuedBefore: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -5*3600))},
		{}, {UserID: "u"}, {TokenID: strings.Repeat("x", maxText+1)}, {TokenID: "\xff"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

// What would name more than it says is refused in a request, with its member.
func TestRequest(t *testing.T) {
	for _, tt := range []struct{ text, code, member string }{
		{`{"user_id":"u","tenant_id":"t","issued_before":"2026-11-28T13:00:00+01:00"}`, "", ""},
		{``, code.BadUserInput, ""},
		{`[]`, code.BadUserInput, ""},
		{`{"user_id":"u"}{}`, code.BadUserInput, ""},
		{`{"user_id":"u","more":1}`, code.BadUserInput, ""},
		{`{"USER_ID":"u"}`, code.BadUserInput, ""},
		{`{"user_id":"","tenant_id":"t"}`, code.InvalidValue, "user_id"},
		{`{"user_id":null,"tenant_id":"t"}`, code.InvalidValue, "user_id"},
		{`{"user_id":"u","tenant_id":""}`, code.InvalidValue, "tenant_id"},
		{`{"user_id":"u","tenant_id":["t"]}`, code.InvalidValue, "tenant_id"},
		{`{"token_id":"","issued_before":"2026-11-28T12:00:00Z"}`, code.InvalidValue, "token_id"},
		{`{"user_id":"u","user_id":"v"}`, code.InvalidValue, "user_id"},
		{`{"user_id":"u","user_\u0069d":"u"}`, code.InvalidValue, "user_id"},
		{`{"user_id":1}`, code.InvalidValue, "user_id"},
		{`{"issued_before":"noon"}`, code.InvalidValue, "issued_before"},
		{`{"user_id":"u","issued_before":null}`, code.InvalidValue, "issued_before"},
		{`{"token_id":"j","issued_before":"0001-01-01T00:00:00Z"}`, code.InvalidValue, "issued_before"},
	} {
		r, err := ParseRequest([]byte(tt.text))
		wrong := &Error{}
		if errors.As(err, &wrong); wrong.Code != tt.code || wrong.Member != tt.member {
			t.Errorf("%s: %+v, %v", tt.text, r, err)
		}
		if want := (Rule{UserID: "u", TenantID: "t", IssuedBefore: noon}); err == nil && r != want {
			t.Errorf("%s: %+v", tt.text, r)
		}
	}
}

func BenchmarkMatches(b *testing.B) {
	s := NewSet(1 << 20)
	for i := range 100_000 {
		s.Add(Rule{UserID: fmt.Sprint(i), IssuedBefore: noon}, noon, noon, noon.Add(time.Hour))
	}
	who := &identity.Identity{UserID: "77", TenantID: "t", TokenID: "j", IssuedAt: noon}
	for b.Loop() {
		s.Matches(who)
	}
}

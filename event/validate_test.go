package event

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func valid() Event {
	return Event{Channel: "orders", Type: "created", Data: []byte(`{}`)}
}

func TestValidEvents(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"least":              func(*Event) {},
		"everything":         func(e *Event) { e.ID, e.TenantID, e.UserID, e.FederationID, e.ServiceName = "1", "2", "3", "4", "5" },
		"broadcast":          func(e *Event) { e.Broadcast = true },
		"broadcast, service": func(e *Event) { e.Broadcast, e.ServiceName = true, "s" },
		"longest names": func(e *Event) {
			e.Channel, e.Type, e.ID = strings.Repeat("c", 255), strings.Repeat("é", 127), strings.Repeat("i", 255)
		},
		"one byte":               func(e *Event) { e.Channel, e.Type, e.ID = "c", "t", "i" },
		"spaces in addresses":    func(e *Event) { e.TenantID, e.UserID = "Acme Ltd", "John Smith\u00a0" },
		"one underscore":         func(e *Event) { e.Channel = "_x" },
		"underscores inside":     func(e *Event) { e.Channel = "x__y" },
		"dollar inside":          func(e *Event) { e.Channel = "x$" },
		"quotes and backslashes": func(e *Event) { e.Channel = `'"\` },
		"reserved as a type":     func(e *Event) { e.Type, e.ID = "__$*>{}", "$*" },
		"emoji":                  func(e *Event) { e.Channel = "\U0001f600" },
		"year 9999":              func(e *Event) { e.Timestamp = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		"data is not looked at":  func(e *Event) { e.Data = []byte("x") },
	} {
		e := valid()
		change(&e)
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvalidEvents(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Event)
		member string
		text   string
	}{
		{"no channel", func(e *Event) { e.Channel = "" }, "channel", "required"},
		{"reserved __", func(e *Event) { e.Channel = "__a" }, "channel", "reserved"},
		{"only __", func(e *Event) { e.Channel = "__" }, "channel", "reserved"},
		{"reserved $", func(e *Event) { e.Channel = "$control" }, "channel", "reserved"},
		{"only $", func(e *Event) { e.Channel = "$" }, "channel", "reserved"},
		{"no type", func(e *Event) { e.Type = "" }, "type", "required"},
		{"no data", func(e *Event) { e.Data = nil }, "data", "required"},
		{"broadcast with tenant", func(e *Event) { e.Broadcast, e.TenantID = true, "t" }, "broadcast", "tenant_id"},
		{"broadcast with user", func(e *Event) { e.Broadcast, e.UserID = true, "u" }, "broadcast", "user_id"},
		{"year 10000", func(e *Event) { e.Timestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "timestamp", "9999"},
		{"year -1", func(e *Event) { e.Timestamp = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }, "timestamp", "0000"},
	}
	for _, c := range []string{"*", ">", "{", "}"} {
		cases = append(cases, struct {
			name   string
			change func(*Event)
			member string
			text   string
		}{"channel with " + c, func(e *Event) { e.Channel = "a" + c + "b" }, "channel", "reserved"})
	}
	set := map[string]func(*Event, string){
		"channel": func(e *Event, s string) { e.Channel = s }, "type": func(e *Event, s string) { e.Type = s }, "id": func(e *Event, s string) { e.ID = s },
		"tenant_id": func(e *Event, s string) { e.TenantID = s }, "user_id": func(e *Event, s string) { e.UserID = s },
		"federation_id": func(e *Event, s string) { e.FederationID = s }, "service_name": func(e *Event, s string) { e.ServiceName = s },
	}
	for member, assign := range set {
		bad := map[string]string{
			strings.Repeat("x", 256): "255", "a\x00": "control", "a\x1f": "control", "a\x7f": "control", "é\u0085": "", "a\xff": "UTF-8", "\xed\xa0\x80": "UTF-8", "é\xc3": "UTF-8",
		}
		if member == "channel" || member == "type" || member == "id" {
			for _, space := range []string{" ", "a b", "a\t", "\n", "a\u00a0", "\u2003b", "\u2028", "\u3000"} {
				bad[space] = ""
			}
		}
		for value, text := range bad {
			cases = append(cases, struct {
				name   string
				change func(*Event)
				member string
				text   string
			}{member + " " + value[:min(len(value), 10)], func(e *Event) { assign(e, value) }, member, text})
		}
	}
	for _, tt := range cases {
		e := valid()
		tt.change(&e)
		err := e.Validate()
		switch {
		case err == nil:
			t.Errorf("%q accepted", tt.name)
		case err.Member != tt.member || err.Code != CodeInvalidValue || !strings.Contains(err.Message, tt.text):
			t.Errorf("%q: %v (%s), want …%s…", tt.name, err, err.Code, tt.text)
		case !strings.Contains(err.Error(), tt.member):
			t.Errorf("%q: the text does not name the member: %v", tt.name, err)
		}
	}
}

// simpleChannel is the rule as docs/reference/http.md has it, in other words.
func simpleChannel(s string) bool {
	if len(s) < 1 || len(s) > 255 || !utf8.ValidString(s) || strings.HasPrefix(s, "__") || strings.HasPrefix(s, "$") {
		return false
	}
	return !strings.ContainsAny(s, "*>{}") && strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) < 0
}

func FuzzValidateChannel(f *testing.F) {
	for _, s := range []string{"", "a", "__", "$x", "a*", "é ", "\u2028", "\xff", "a\x7fb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := ValidateChannel(s) == nil; got != simpleChannel(s) {
			t.Errorf("%q: accepted %v", s, got)
		}
	})
}

func TestValidateDoesNotAllocate(t *testing.T) {
	good, bad := valid(), valid()
	good.ID, good.TenantID, good.UserID = "0190a6f0-0000-7000-8000-000000000000", "acmé", "7"
	bad.UserID = "a\x00"
	if n := testing.AllocsPerRun(100, func() {
		if good.Validate() != nil || bad.Validate() == nil {
			t.Error("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	e := valid()
	e.ID, e.TenantID, e.UserID = "0190a6f0-0000-7000-8000-000000000000", "tenant1", "user1"
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

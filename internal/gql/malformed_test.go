package gql

import (
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// TestMalformedDocuments wants a code, a place and a safe text for each document of the table.
func TestMalformedDocuments(t *testing.T) {
	data, err := os.ReadFile("testdata/malformed.txt")
	if err != nil {
		t.Fatal(err)
	}
	s := mustLoad(t, ordersSDL)
	want, count := "", 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# One") {
			continue
		}
		if heading, ok := strings.CutPrefix(line, "== "); ok {
			want = heading
			continue
		}
		count++
		doc := strings.ReplaceAll(line, `\n`, "\n")
		parsed, errs := s.Parse(doc, Limits{})
		if parsed != nil || len(errs) == 0 {
			t.Errorf("%q is accepted", doc)
			continue
		}
		if errs[0].Code != want {
			t.Errorf("%q: code %s (%s), want %s", doc, errs[0].Code, errs[0].Message, want)
		}
		for _, e := range errs {
			checkClientError(t, doc, e)
		}
	}
	if count < 200 {
		t.Errorf("only %d documents", count)
	}
	t.Logf("%d documents", count)
}

// checkClientError checks what every error for clients must be.
func checkClientError(t *testing.T, doc string, e *Error) {
	t.Helper()
	if e.Message == "" || len(e.Message) > maxMessage+len("…") || !utf8.ValidString(e.Message) {
		t.Errorf("%q: message %q", doc, e.Message)
	}
	if i := strings.IndexFunc(e.Message, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		t.Errorf("%q: message %q has control characters", doc, e.Message)
	}
	if len(e.Locations) == 0 {
		t.Errorf("%q: %s has no location", doc, e.Message)
	}
	lines := strings.Split(doc, "\n")
	for _, l := range e.Locations {
		if l.Line < 1 || l.Line > len(lines)+1 || l.Column < 1 {
			t.Errorf("%q: %s stands at %v", doc, e.Message, l)
		}
	}
}

// TestTokensThatCannotBeRead: the error says what is wrong with the token.
func TestTokensThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`subscription { a(x: "abc) }`, `Syntax Error: Unterminated string.`},
		{`subscription { a(x: "\x") }`, `Syntax Error: Invalid character escape sequence: \x.`},
		{"subscription { a(x: \"\x01\") }", `Syntax Error: Invalid character within String: "\u0001".`},
		{`subscription { a(x: 01) }`, `Syntax Error: Invalid number, unexpected digit after 0: "1".`},
		{`subscription { a ~ }`, `Syntax Error: Cannot parse the unexpected character "~".`},
		{`subscription { a é { n } }`, `Syntax Error: Cannot parse the unexpected character "é".`},
		{`subscription { a(x: "ü猫") { #ü 猫` + "\n" + `x 🐈 } }`, `Syntax Error: Cannot parse the unexpected character "🐈".`},
		{`subscription { a(x: -猫) }`, `Syntax Error: Invalid number, expected digit but got: "猫".`},
		{`subscription { a(x: "é\ü") }`, `Syntax Error: Invalid character escape sequence: \ü.`},
		{`subscription { a(x: "\u00Cé") }`, `Syntax Error: Invalid character escape sequence: \u00C.`},
	} {
		_, errs := Schemaless().Parse(c.text, Limits{})
		if len(errs) != 1 || errs[0].Message != c.want || errs[0].Locations[0].Line == 1 && errs[0].Locations[0].Column < 16 {
			t.Errorf("%s: %v", c.text, errs)
		}
		_, problems := LoadSchema([]SchemaSource{{"s", "type T { a(x: Int = " + c.text[20:] + "): Int }"}}, SchemaOptions{})
		if len(problems) != 1 || strings.Contains(problems[0].Message, "<Invalid>") {
			t.Errorf("%s in a schema: %v", c.text, problems)
		}
	}
}

// TestHostileDocuments wants documents that make naive rules slow to be refused by a limit or a rule, or to be
// cheap; BenchmarkParseHostile says what each costs.
func TestHostileDocuments(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	for name, doc := range hostile() {
		_, errs := s.Parse(doc, Limits{})
		for _, e := range errs {
			checkClientError(t, name, &Error{Message: e.Message, Locations: []Location{{1, 1}}})
		}
		if len(errs) > maxErrors+1 {
			t.Errorf("%s: %d errors", name, len(errs))
		}
		if strings.HasSuffix(name, "!") && (len(errs) == 0 || errs[0].Code != code.LimitExceeded) {
			t.Errorf("%s: no limit was exceeded: %v", name, errs)
		}
	}
}

// TestLimits has one document on each side of each limit.
func TestLimits(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	for _, c := range []struct {
		name, doc string
		lim       Limits
		refused   string
		at        Location
	}{
		{"bytes, within", "subscription{ticker{id}}", Limits{Bytes: 24}, "", Location{}},
		{"bytes", "subscription{ticker{id }}", Limits{Bytes: 24}, code.LimitExceeded, Location{1, 1}},
		{"tokens, within", "subscription{ticker{id}}", Limits{Tokens: 7}, "", Location{}},
		{"tokens", "subscription {\nticker { id\n id total\n } }", Limits{Tokens: 6}, code.LimitExceeded, Location{3, 5}},
		{"depth, within", "subscription{ticker{customer{id}}}", Limits{Depth: 3}, "", Location{}},
		{"depth", "subscription{ticker{customer{id}}}", Limits{Depth: 2}, code.LimitExceeded, Location{1, 1}},
		{"depth through fragments", "subscription{ticker{...A}} fragment A on Order {customer{...B}} fragment B on Customer{id}", Limits{Depth: 2}, code.LimitExceeded, Location{1, 1}},
		{"aliases, within", "subscription{ticker{a:id b:id c:id}}", Limits{Aliases: 3}, "", Location{}},
		{"aliases", "subscription{ticker{a:id b:id c:id d:id}}", Limits{Aliases: 3}, code.LimitExceeded, Location{1, 36}},
		{"aliases through fragments", "subscription{ticker{a:id b:id ...F}} fragment F on Order{c:id ...{d:id}}", Limits{Aliases: 3}, code.LimitExceeded, Location{1, 67}},
		{"aliases of merged objects", "subscription{ticker{customer{a:id b:id} customer{c:id d:id}}}", Limits{Aliases: 3}, code.LimitExceeded, Location{1, 55}},
		{"expansion", "subscription{ticker{...A ...A}} fragment A on Order{...B ...B} fragment B on Order{id total}", Limits{Tokens: 60, Aliases: 100}, "", Location{}},
	} {
		_, errs := s.Parse(c.doc, c.lim)
		switch {
		case c.refused == "" && len(errs) > 0:
			t.Errorf("%s: %s", c.name, errs[0].Message)
		case c.refused == "":
		case len(errs) != 1 || errs[0].Code != c.refused || errs[0].Locations[0] != c.at:
			t.Errorf("%s: %+v", c.name, errs)
		}
	}
}

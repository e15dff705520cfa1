//go:build linux

package embed

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented returns the names in the first column of the tables, and in backquotes in the rows of objects, of one
// section of the reference.
func documented(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "c.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("no section %s", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var names []string
	for line := range strings.Lines(rest) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.HasPrefix(strings.TrimSpace(cells[1]), "member") {
			continue
		}
		for _, found := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			names = append(names, found[1])
		}
	}
	slices.Sort(names)
	return names
}

// known returns the names that functions compare with in a switch, and the keys of their maps.
func known(t *testing.T, file string, functions ...string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	add := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			name, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains(functions, f.Name.Name) {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				for _, e := range n.List {
					add(e)
				}
			case *ast.KeyValueExpr:
				add(n.Key)
			case *ast.BinaryExpr:
				if n.Op == token.EQL {
					add(n.Y)
				}
			}
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestConfigurationIsDocumented(t *testing.T) {
	for _, tt := range []struct {
		section   string
		file      string
		functions []string
	}{
		{"Engine configuration", "config.go", []string{"parseEngine", "limit"}},
		{"Session and server configuration", "sessions.go", []string{"member", "address"}},
		{"Hooks", "hooks.go", []string{"member"}},
		{"Identity", "identity.go", []string{"parseIdentity"}},
	} {
		if diff := cmp.Diff(known(t, tt.file, tt.functions...), documented(t, tt.section)); diff != "" {
			t.Errorf("docs/reference/c.md, %s (-known +documented):\n%s", tt.section, diff)
		}
	}
}

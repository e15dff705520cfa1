package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// namedTest finds the tests that documents name: `package` `TestX`, or `TestX/case` for one case of a table. Those that
// follow on the line are of the same package; the root package is `.`, and a file of Python's tests stands in its place.
var namedTest = regexp.MustCompile("(?:`(\\.|[a-z0-9/_]+(?:\\.py)?)` )?`((?:Test|test_)[A-Za-z0-9_]+)(?:/([^`]+))?`")

// declaredTests are the tests of Go packages, as "package TestX", and the strings that their test files hold, as
// "package text": names of cases are among these.
func declaredTests(t *testing.T) (tests, texts map[string]bool) {
	tests, texts = map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if !f.test {
			continue
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[f.pkg+" "+fn.Name.Name] = true
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value) // the parser has read it
				texts[f.pkg+" "+text] = true
			}
			return true
		})
	}
	return tests, texts
}

// TestDocsNameTests checks that the tests, and cases of tests, that documents name are there, that each rule of
// docs/conformance.md and each promise of docs/delivery.md names one.
func TestDocsNameTests(t *testing.T) {
	tests, texts := declaredTests(t)
	for _, file := range []string{"docs/conformance.md", "docs/delivery.md"} {
		section := ""
		for line := range strings.Lines(read(t, file)) {
			if text, ok := strings.CutPrefix(line, "## "); ok {
				section = strings.TrimSpace(text)
			}
			found, pkg := namedTest.FindAllStringSubmatch(line, -1), "?"
			for _, m := range found {
				if m[1] != "" {
					pkg = m[1]
				}
				if problem := missing(t, tests, texts, pkg, m[2], m[3]); problem != "" {
					t.Errorf("%s: %s", file, problem)
				}
			}
			if len(found) == 0 && promises(section, line) {
				t.Errorf("%s: no test shows %s", file, line)
			}
		}
	}
}

// promises reports whether a line is a row of a table whose rows name tests each.
func promises(section, line string) bool {
	return (section == "What is promised" || strings.HasPrefix(section, "Rules of ")) &&
		strings.HasPrefix(line, "| ") && !strings.Contains(line, "proven by") && !strings.HasPrefix(line, "| rule |")
}

// missing says what of a test that a document names is not there, "" for nothing.
func missing(t *testing.T, tests, texts map[string]bool, pkg, test, name string) string {
	if strings.HasSuffix(pkg, ".py") {
		if !strings.Contains(read(t, pkg), "def "+test+"(") {
			return "there is no test " + test + " in " + pkg
		}
		return ""
	}
	in := strings.TrimPrefix(pkg, ".")
	switch {
	case !tests[in+" "+test]:
		return "there is no test " + test + " in " + pkg
	case name != "" && !texts[in+" "+name]:
		return "there is no case " + name + " of " + test + " in " + pkg
	}
	return ""
}

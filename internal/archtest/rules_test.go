package archtest

import (
	"bytes"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 60
)

// TestFilesAreShort bounds the length of written source files.
func TestFilesAreShort(t *testing.T) {
	top := root(t)
	generated := map[string]bool{}
	for _, f := range goFiles(t) {
		generated[f.path] = f.generated
	}
	walk(t, func(rel string) {
		switch path.Ext(rel) {
		case ".go", ".py", ".c", ".h", ".ts", ".js", ".mjs":
		default:
			return
		}
		text, err := os.ReadFile(filepath.Join(top, rel))
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxFileLines && !generated[rel] {
			t.Errorf("%s: %d lines, at most %d: is it still one thing?", rel, lines, maxFileLines)
		}
	})
}

// TestFunctionsAreShort bounds the length of functions, from the line of func to the closing brace. In tests, the
// lines of a table of cases do not count: they are data.
func TestFunctionsAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.generated {
			continue
		}
		for _, decl := range f.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			first, last := f.line(fn.Pos()), f.line(fn.End())
			lines := last - first + 1
			if f.test {
				lines -= f.tableLines(fn.Body)
			}
			if lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines, at most %d", f.path, first, fn.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// tableLines counts the lines of the outermost composite literals of a function.
func (f *sourceFile) tableLines(body *ast.BlockStmt) int {
	lines := 0
	ast.Inspect(body, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if ok {
			lines += f.line(literal.End()) - f.line(literal.Pos())
		}
		return !ok
	})
	return lines
}

// TestTestsNeitherSkipNorSleep looks for calls that make a test pass without testing or depend on time.
func TestTestsNeitherSkipNorSleep(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.test && !anyMatches(forTests, f.pkg) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			receiver, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch name := selector.Sel.Name; {
			case receiver.Name == "time" && name == "Sleep":
				t.Errorf("%s:%d: a test sleeps: wait for a signal or use testing/synctest", f.path, f.line(call.Pos()))
			case isTestingName(receiver.Name) && (name == "Skip" || name == "Skipf" || name == "SkipNow"):
				t.Errorf("%s:%d: a test skips: it must pass or fail", f.path, f.line(call.Pos()))
			}
			return true
		})
	}
}

// isTestingName reports whether an identifier is what tests call their testing.TB.
func isTestingName(name string) bool {
	return name == "t" || name == "b" || name == "f" || name == "tb"
}

// unfinished finds marks of work that was left, and paths and hosts that belong to one machine. The words are
// put together here so that this file does not match itself.
var unfinished = regexp.MustCompile(strings.Join([]string{
	`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`, `not imple` + `mented`,
	`/ro` + `ot/`, `/wo` + `rk/`, `/ho` + `me/[a-z]+/`, `/tmp/bash` + `_jobs`, `registry\.npm` + `js`, `files\.python` + `hosted`,
}, "|"))

// absent finds names of documents that are not in the tree: who reads them can look up nothing.
var absent = regexp.MustCompile(strings.Join([]string{
	`\bCON` + `TRACT\b`, `\bDES` + `IGN( [0-9]|\.md)`, `\bPROTO` + `COLS(:| [0-9]|\.md)`,
	`\bENG` + `INE( [0-9]|\.md)`, `\bPYT` + `HON\.md`, `\bSTY` + `LE( [0-9]|\.md)`,
}, "|"))

// textFiles are the extensions whose content is checked for unfinished.
var textFiles = map[string]bool{
	".go": true, ".py": true, ".js": true, ".mjs": true, ".md": true, ".json": true, ".yaml": true, ".yml": true,
	".c": true, ".h": true, ".ts": true, ".tsx": true, ".sql": true, ".pyi": true, ".html": true, ".css": true, ".graphql": true, ".sh": true, ".txt": true, ".toml": true, "": true,
}

// TestNamesOfAbsentDocumentsAreFound tries absent itself.
func TestNamesOfAbsentDocumentsAreFound(t *testing.T) {
	for _, name := range []string{"CON" + "TRACT", "DES" + "IGN", "PROTO" + "COLS", "ENG" + "INE", "PYT" + "HON", "STY" + "LE"} {
		if text := "see " + name + ".md, section 1"; !absent.MatchString(text) {
			t.Errorf("%q is not found", text)
		}
	}
	for _, text := range []string{"PROTO" + `COLS = ["x"]`, "a con" + "tract", "docs/guides/python.md", "docs/reference/protocol.md"} {
		if found := absent.FindString(text); found != "" {
			t.Errorf("%q is found in %q", found, text)
		}
	}
}

// TestNothingUnfinishedOrMachineBound checks the text of the tree's files, and that documents they name are there. Lock files too: they name versions
// and hashes, never the host that served them.
func TestNothingUnfinishedOrMachineBound(t *testing.T) {
	top := root(t)
	walk(t, func(rel string) {
		if !textFiles[path.Ext(rel)] {
			return
		}
		text, err := os.ReadFile(filepath.Join(top, rel))
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range bytes.Split(text, []byte("\n")) {
			if found := unfinished.Find(line); found != nil {
				t.Errorf("%s:%d: contains %q", rel, number+1, found)
			}
			if found := absent.Find(line); found != nil {
				t.Errorf("%s:%d: names %q, which is not here: name a page of docs", rel, number+1, found)
			}
		}
		if path.Base(rel) == "package-lock.json" && bytes.Contains(text, []byte(`"resolved"`)) {
			t.Errorf("%s: contains resolved addresses: keep omit-lockfile-registry-resolved=true in .npmrc", rel)
		}
	})
}

package archtest

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns a file of the tree as text.
func read(t *testing.T, rel string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), rel))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchors = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors returns the anchors of a document's headings, as code hosts make them.
func anchors(text string) []string {
	var list []string
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return list
}

// TestLinksOfDocumentsResolve follows every link from a Markdown file to a file of the tree and to its heading.
func TestLinksOfDocumentsResolve(t *testing.T) {
	top := root(t)
	walk(t, func(rel string) {
		if path.Ext(rel) != ".md" {
			return
		}
		for _, link := range markdownLink.FindAllStringSubmatch(read(t, rel), -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := rel
			if target != "" {
				file = path.Join(path.Dir(rel), target)
			}
			if _, err := os.Stat(filepath.Join(top, file)); err != nil {
				t.Errorf("%s: link to %s: no such file", rel, link[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s: link to %s: no such heading", rel, link[1])
			}
		}
	})
}

// TestDirectivesAreDocumentedAsDefined compares the definitions in the reference with those of internal/gql.
func TestDirectivesAreDocumentedAsDefined(t *testing.T) {
	definition := regexp.MustCompile(`(?m)^directive @\w+.*$|enum \w+ \{[^}]*\}`)
	spaces := regexp.MustCompile(`\s+`)
	find := func(text string) []string {
		var list []string
		for _, found := range definition.FindAllString(text, -1) {
			list = append(list, spaces.ReplaceAllString(found, " "))
		}
		slices.Sort(list)
		return list
	}
	_, block, _ := strings.Cut(read(t, "docs/reference/directives.md"), "They do not show in introspection.")
	block, _, _ = strings.Cut(block, "\n## ")
	defined := find(read(t, "internal/gql/directives.go"))
	if len(defined) < 10 {
		t.Fatalf("found only %d definitions", len(defined))
	}
	if diff := cmp.Diff(defined, find(block)); diff != "" {
		t.Errorf("docs/reference/directives.md (-defined +documented):\n%s", diff)
	}
}

// TestCloseCodesAreDocumented compares the close codes of the code with the table of the reference.
func TestCloseCodesAreDocumented(t *testing.T) {
	constant := regexp.MustCompile(`(?m)^\s*(?:Code|Close)\w+\s*=\s*(1\d{3}|4\d{3})\b`)
	used := map[int]bool{1000: true}
	for _, f := range goFiles(t) {
		if f.test || strings.HasPrefix(f.pkg, "internal/wsclient") {
			continue
		}
		for _, found := range constant.FindAllStringSubmatch(read(t, f.path), -1) {
			code, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			used[code] = true
		}
	}
	documented := map[int]bool{}
	_, table, _ := strings.Cut(read(t, "docs/reference/protocol.md"), "## Close codes")
	for _, found := range regexp.MustCompile(`(?m)^\| (\d{4}) \|`).FindAllStringSubmatch(table, -1) {
		code, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		documented[code] = true
	}
	if diff := cmp.Diff(used, documented); diff != "" {
		t.Errorf("docs/reference/protocol.md (-used +documented):\n%s", diff)
	}
}

// TestPackagesAreInTheArchitecture looks for every package of the product in docs/architecture.md.
func TestPackagesAreInTheArchitecture(t *testing.T) {
	text := read(t, "docs/architecture.md")
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || seen[f.pkg] || f.pkg == "" {
			continue
		}
		seen[f.pkg] = true
		top, _, _ := strings.Cut(f.pkg, "/")
		if top == "e2e" || top == "examples" || top == "bench" || top == "cmd" || anyMatches(forTests, f.pkg) {
			continue
		}
		if !strings.Contains(text, "`"+f.pkg+"`") {
			t.Errorf("docs/architecture.md says nothing of package %s", f.pkg)
		}
	}
}

// TestDependenciesAreExplained looks for every module that go.mod names and that our code imports, tests
// included, in DEPENDENCIES.md.
func TestDependenciesAreExplained(t *testing.T) {
	explained := read(t, "DEPENDENCIES.md")
	required := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S*|pgregory\.net/\S+) v\S+`)
	imported := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, name := range f.imports() {
			imported[name] = true
		}
	}
	for _, found := range required.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		module := found[1]
		for name := range imported {
			if (name == module || strings.HasPrefix(name, module+"/")) && !strings.Contains(explained, "**"+module+"**") {
				t.Errorf("DEPENDENCIES.md says nothing of %s", module)
				break
			}
		}
	}
}

// clientSide are packages whose locks never meet the engine's.
var clientSide = []string{"internal/wsclient", "internal/loadgen"}

// TestLocksAreDocumented looks for every mutex of the engine and the server, as package.Type.field, in docs/locks.md.
func TestLocksAreDocumented(t *testing.T) {
	text := read(t, "docs/locks.md")
	for _, f := range goFiles(t) {
		top, _, _ := strings.Cut(f.pkg, "/")
		if f.test || top == "e2e" || top == "examples" || top == "bench" || anyMatches(append(clientSide, forTests...), f.pkg) {
			continue
		}
		pkg := f.pkg
		if pkg == "" {
			pkg = "fraiseql"
		}
		for _, lock := range locks(f.syntax) {
			if name := pkg + "." + lock; !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/locks.md says nothing of %s (%s)", name, f.path)
			}
		}
	}
}

// locks returns the mutexes among the fields of a file's named structs, as Type.field.
func locks(file *ast.File) []string {
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range body.Fields.List {
			kind, ok := field.Type.(*ast.SelectorExpr)
			if !ok || kind.Sel.Name != "Mutex" && kind.Sel.Name != "RWMutex" {
				continue
			}
			for _, name := range field.Names {
				list = append(list, spec.Name.Name+"."+name.Name)
			}
		}
		return true
	})
	return list
}

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// modulePath is the import path of the repository's root.
const modulePath = "github.com/fraiseql/fraiseql-go"

// sourceFile is one parsed Go file of the tree.
type sourceFile struct {
	path      string // from the root, with slashes
	pkg       string // folder of path, "" for the root
	test      bool
	generated bool
	fset      *token.FileSet
	syntax    *ast.File
}

// imports returns the import paths of the file.
func (f *sourceFile) imports() []string {
	paths := make([]string, 0, len(f.syntax.Imports))
	for _, spec := range f.syntax.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// line returns the line of a position in the file.
func (f *sourceFile) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// root returns the folder that holds go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// notOurs names folders whose content is not written here.
var notOurs = map[string]bool{
	".git": true, "node_modules": true, "vendor": true, "testdata": true, ".venv": true,
	"bin": true, "dist": true, ".cache": true, "__pycache__": true, ".venvs": true,
	".mypy_cache": true, ".pytest_cache": true, ".ruff_cache": true,
}

// isModule reports whether a folder is a Go module of its own: the systems that bench/peers compares.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// walk calls visit with every file of the tree, by its path from the root.
func walk(t *testing.T, visit func(rel string)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if notOurs[entry.Name()] || file != top && isModule(file) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goFiles parses every Go file of the tree.
func goFiles(t *testing.T) []*sourceFile {
	t.Helper()
	top := root(t)
	var files []*sourceFile
	walk(t, func(rel string) {
		if !strings.HasSuffix(rel, ".go") {
			return
		}
		fset := token.NewFileSet()
		syntax, err := parser.ParseFile(fset, filepath.Join(top, rel), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			return
		}
		pkg := path.Dir(rel)
		if pkg == "." {
			pkg = ""
		}
		files = append(files, &sourceFile{
			path: rel, pkg: pkg, test: strings.HasSuffix(rel, "_test.go"),
			generated: ast.IsGenerated(syntax), fset: fset, syntax: syntax,
		})
	})
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

//go:build linux && cgo

package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns a file as text.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parameters counts what stands between the parentheses of a declaration.
func parameters(list string) int {
	if list = strings.TrimSpace(list); list == "" || list == "void" {
		return 0
	}
	return strings.Count(list, ",") + 1
}

// declared are the functions of a text with the number of their parameters.
func declared(text string, pattern *regexp.Regexp) map[string]int {
	list := map[string]int{}
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		list[found[1]] = parameters(found[2])
	}
	return list
}

// exported are the functions that the Go files export, but those of the build with faults.
func exported(t *testing.T) map[string]int {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]int{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || path == "fault.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Doc == nil || !strings.Contains(fmt.Sprint(f.Doc.List[len(f.Doc.List)-1].Text), "//export "+f.Name.Name) {
				continue
			}
			list[f.Name.Name] = f.Type.Params.NumFields()
		}
	}
	return list
}

func TestHeaderListsTheExports(t *testing.T) {
	header := declared(read(t, "fraiseql.h"), regexp.MustCompile(`(?m)^ \* int64 (fq_\w+)\(([^)]*)\)$`))
	if diff := cmp.Diff(exported(t), header); diff != "" {
		t.Errorf("fraiseql.h (-exported +declared):\n%s", diff)
	}
	used := declared(read(t, "testdata", "library.h"), regexp.MustCompile(`(?m)^  X\((fq_\w+), \(([^)]*)\)`))
	if diff := cmp.Diff(header, used); diff != "" {
		t.Errorf("testdata/library.h (-declared +used):\n%s", diff)
	}
}

// names are the functions, types and constants of a text.
func names(text string) map[string]bool {
	list := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(?:fq|FQ)_\w+\w\b`).FindAllString(text, -1) {
		list[name] = true
	}
	return list
}

// TestHeaderIsDocumented compares the names of the header with those of the reference.
func TestHeaderIsDocumented(t *testing.T) {
	if diff := cmp.Diff(names(read(t, "fraiseql.h")), names(read(t, "..", "..", "docs", "reference", "c.md"))); diff != "" {
		t.Errorf("docs/reference/c.md (-header +documented):\n%s", diff)
	}
}

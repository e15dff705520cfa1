package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// What figures depend on besides the Go benchmarks. Documents, results, other tests and the rest of this command are not part of it: a
// run goes on after a change of those.
var (
	// measuredCommands are built of packages of this module.
	measuredCommands = []string{"./cmd/fraiseql", "./cmd/libfraiseql", "./bench/peers/library", "./bench/peers/floor"}
	// measuredFolders hold the other systems, and what is inside Python.
	measuredFolders = []string{"bench/peers", "python/bench", "python/build_backend", "python/csrc", "python/src"}
	// measuredFiles are versions, and the files of this command that say what is run and how.
	measuredFiles = []string{"go.mod", "go.sum", "python/pyproject.toml",
		"bench/run/compare.go", "bench/run/gobench.go", "bench/run/many.go", "bench/run/peers.go", "bench/run/scenario.go"}
)

// measuredCode is a hash of the names and contents of everything that is measured, as it is in the tree now.
func measuredCode(ctx context.Context, o *options) (string, error) {
	files, err := measuredSources(ctx, o.root)
	if err != nil {
		return "", err
	}
	all := sha256.New()
	add := func(shown, name string) error {
		text, err := os.ReadFile(name)
		if err == nil {
			_, err = fmt.Fprintf(all, "%x %s\n", sha256.Sum256(text), shown)
		}
		return err
	}
	for _, name := range files {
		if err := add(name, filepath.Join(o.root, name)); err != nil {
			return "", err
		}
	}
	if o.binary != "" {
		if err := add("-binary", o.binary); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(all.Sum(nil)[:16]), nil
}

// measuredSources lists the files, relative to the root.
func measuredSources(ctx context.Context, root string) ([]string, error) {
	list, err := packageFiles(ctx, root)
	if err != nil {
		return nil, err
	}
	list = append(list, measuredFiles...)
	for _, folder := range measuredFolders {
		if list, err = appendTree(list, root, folder); err != nil {
			return nil, err
		}
	}
	for _, b := range goBenches {
		tests, err := filepath.Glob(filepath.Join(root, b.pkg, "*_test.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range tests {
			if text, err := os.ReadFile(name); err != nil {
				return nil, err
			} else if bytes.Contains(text, []byte("\nfunc Benchmark")) {
				list = append(list, filepath.Join(b.pkg, filepath.Base(name)))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// packageFiles lists what the commands are built of, of this module.
func packageFiles(ctx context.Context, root string) (list []string, err error) {
	format := "{{with .Module}}{{if .Main}}"
	for _, kind := range []string{"GoFiles", "CgoFiles", "CFiles", "HFiles", "SFiles", "EmbedFiles"} {
		format += "{{range $." + kind + "}}{{$.Dir}}/{{.}}\n{{end}}"
	}
	command := exec.CommandContext(ctx, "go", append([]string{"list", "-e", "-deps", "-f", format + "{{end}}{{end}}"}, measuredCommands...)...)
	var errs bytes.Buffer
	command.Dir, command.Stderr = root, &errs
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(measuredCommands, " "), err, errs.Bytes())
	}
	for _, name := range strings.Fields(string(out)) {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return nil, err
		}
		list = append(list, rel)
	}
	return list, nil
}

// notMeasured are folders of what is installed or generated, and of results.
var notMeasured = []string{"node_modules", "generated", "target", "results", "__pycache__"}

// appendTree adds the files of a folder.
func appendTree(list []string, root, folder string) ([]string, error) {
	err := filepath.WalkDir(filepath.Join(root, folder), func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (slices.Contains(notMeasured, e.Name()) || strings.HasPrefix(e.Name(), ".")):
			return filepath.SkipDir
		case !e.Type().IsRegular() || slices.Contains([]string{".md", ".so", ".pyc"}, filepath.Ext(name)):
			return nil
		}
		rel, err := filepath.Rel(root, name)
		list = append(list, rel)
		return err
	})
	return list, err
}

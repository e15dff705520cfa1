package config

import (
	"fmt"
	"slices"
	"strings"
)

// Place is where a value came from: a line of a file, an environment variable, a flag. The zero Place is a
// default.
type Place struct {
	Name string // file name, variable or flag
	Line int    // from 1; 0: not a file
}

// String returns `file:line`, the variable's or the flag's name, or `default`.
func (p Place) String() string {
	switch {
	case p.Name == "":
		return "default"
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", p.Name, p.Line)
	}
	return p.Name
}

// Problem is one thing wrong with the configuration. Its text holds no secret.
type Problem struct {
	Place   Place
	Path    string // key, may be empty
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Place.Name != "" {
		b.WriteString(p.Place.String() + ": ")
	}
	if p.Path != "" && p.Place.Name != flagOf(p.Path) { // which says it already
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// flagOf is the flag that is named after a key.
func flagOf(path string) string { return "--" + strings.ReplaceAll(path, ".", "-") }

// Problems is every problem found, in the order of files and lines, then of the table.
type Problems []Problem

// Error lists one problem per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err returns ps in a stable order, nil when there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.Place.Line == 0 || b.Place.Line == 0 || a.Place.Name != b.Place.Name {
			return 0
		}
		return a.Place.Line - b.Place.Line
	})
	return ps
}

// nearest returns the candidate closest to name by edit distance, or "" when none is close.
func nearest(name string, candidates []string) string {
	best, at := "", 1+len(name)/3
	for _, c := range candidates {
		if d := distance(name, c); d <= at && (best == "" || d < at) {
			best, at = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func suggestion(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// unknownKey is the problem of a key, or a section, that is not in the table.
func unknownKey(path string) string { return "unknown key" + suggestion(path, names()) }

// meantBy returns path, or what it looks like when it begins with neither a key nor a section.
func meantBy(path string) string {
	top, rest, nested := strings.Cut(path, ".")
	if _, ok := find(top); ok || isSection(top) {
		return path
	}
	if near := nearest(top, names()); near != "" && nested {
		return near + "." + rest
	} else if near != "" {
		return near
	}
	return path
}

// names are the keys of the table, and then their sections.
func names() []string {
	all := paths()
	for i := range keys {
		for p := keys[i].Path; strings.Contains(p, "."); {
			p = p[:strings.LastIndexByte(p, '.')]
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

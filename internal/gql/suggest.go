package gql

import (
	"sort"
	"strings"
)

// hints gives suggestions, unless they are hidden.
type hints struct{ hidden bool }

func (h hints) didYouMean(kind, name string, options []string) string {
	if h.hidden {
		return ""
	}
	return didYouMean(kind, name, options)
}

// didYouMean returns ` Did you mean <kind> "a" or "b"?` for the options that look like name, or "".
func didYouMean(kind, name string, options []string) string {
	found := similar(name, options)
	if len(found) == 0 {
		return ""
	}
	for i := range found {
		found[i] = `"` + found[i] + `"`
	}
	text := " Did you mean "
	if kind != "" {
		text += kind + " "
	}
	switch n := len(found); n {
	case 1:
		return text + found[0] + "?"
	case 2:
		return text + found[0] + " or " + found[1] + "?"
	default:
		n = min(n, 5)
		return text + strings.Join(found[:n-1], ", ") + ", or " + found[n-1] + "?"
	}
}

// similar returns the options within an edit distance of 0.4 of the name's length plus one, best first.
func similar(name string, options []string) []string {
	if len(name) > 255 {
		return nil
	}
	limit := len(name)*2/5 + 1
	distance := map[string]int{}
	var found []string
	for _, o := range options {
		if d := editDistance(name, o); d <= limit {
			distance[o] = d
			found = append(found, o)
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		if distance[found[i]] != distance[found[j]] {
			return distance[found[i]] < distance[found[j]]
		}
		return found[i] < found[j]
	})
	return found
}

// editDistance counts insertions, deletions, substitutions and swaps of neighbours; a change of case alone
// counts one.
func editDistance(a, b string) int {
	if a == b {
		return 0
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+cost)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

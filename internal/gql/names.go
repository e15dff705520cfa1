package gql

import (
	"unicode"
	"unicode/utf8"
)

// nameProblem applies CONTRACT 2's rules for channels and event types.
func nameProblem(name string) string {
	if len(name) == 0 || len(name) > 255 {
		return "must have 1 to 255 bytes"
	}
	if !utf8.ValidString(name) {
		return "must be UTF-8"
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return "must not contain white space or control characters"
		}
	}
	return ""
}

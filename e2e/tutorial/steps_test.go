package tutorial

import (
	"fmt"
	"regexp"
	"strings"
)

// step is a fenced block of the tutorial that has a comment before it:
//
//	<!-- file NAME -->        the block is the content of a file
//	<!-- define -->           shell definitions for all later blocks
//	<!-- run -->              a command that must succeed
//	<!-- refused -->          a command that must fail
//	<!-- background NAME -->  a command that goes on until one of the same name starts
//	<!-- output -->           lines of the last command's output, in this order
//	<!-- output NAME -->      all that a background command has printed, to the line
type step struct {
	verb, name, text string
	line             int // of the comment
}

var comment = regexp.MustCompile(`^<!-- (file|define|run|refused|background|output) ?(\S*) -->$`)

// parse finds the steps of a document.
func parse(document string) ([]step, error) {
	lines := strings.Split(document, "\n")
	var steps []step
	for i := 0; i < len(lines); i++ {
		found := comment.FindStringSubmatch(lines[i])
		if found == nil {
			continue
		}
		s := step{verb: found[1], name: found[2], line: i + 1}
		if i++; i >= len(lines) || !strings.HasPrefix(lines[i], "```") {
			return nil, fmt.Errorf("line %d: no fenced block follows", s.line)
		}
		var body []string
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			body = append(body, lines[i])
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: the block does not end", s.line)
		}
		s.text = strings.Join(body, "\n") + "\n"
		steps = append(steps, s)
	}
	return steps, nil
}

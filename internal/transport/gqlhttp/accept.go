package gqlhttp

import (
	"slices"
	"strconv"
	"strings"
)

// format is a form of answer.
type format uint8

const (
	formatNone     format = iota
	formatResponse        // application/graphql-response+json
	formatJSON            // application/json
	formatSSE             // text/event-stream
	formatMultipart
	formats
)

var mediaTypes = [formats]string{
	formatResponse: "application/graphql-response+json", formatJSON: "application/json",
	formatSSE: "text/event-stream", formatMultipart: "multipart/mixed",
}

// label is the transport of a stream in metrics.
func (f format) label() string {
	if f == formatMultipart {
		return "multipart"
	}
	return "sse"
}

// accepted is what a client takes: its best form of one answer and its best stream, formatNone where it takes none.
type accepted struct {
	once, stream format
	// streamFirst is set when the client prefers the stream.
	streamFirst bool
	// events is set when the client takes events and does not prefer one answer: of a single connection, the stream.
	events bool
}

// maxRanges bounds the media ranges of an Accept header that are looked at.
const maxRanges = 32

// weight is how much a client wants a format: quality in thousandths, then the place in the header.
type weight struct{ q, place int }

func (w weight) over(v weight) bool { return w.q > v.q || w.q == v.q && w.place < v.place }

// parseAccept reads Accept headers (RFC 9110, 12.5.1). A stream must be named: a wildcard means an answer.
func parseAccept(headers []string) accepted {
	var named [formats]weight
	var seen [formats]bool
	wild := weight{q: -1}      // of */*
	wildApp := weight{q: -1}   // of application/*
	place, anything := 0, true // no header at all: anything
	for _, header := range headers {
		for part := range splitQuoted(header, ',') {
			if place++; place > maxRanges {
				break
			}
			name, q, ok := mediaRange(part)
			if !ok {
				continue
			}
			anything = false
			w := weight{q, place}
			switch name {
			case "*/*":
				wild = w
			case "application/*":
				wildApp = w
			}
			for f := formatResponse; f < formats; f++ {
				if mediaTypes[f] == name && (!seen[f] || w.over(named[f])) {
					named[f], seen[f] = w, true
				}
			}
		}
	}
	if anything {
		return accepted{once: formatJSON}
	}
	if wildApp.q >= 0 {
		wild = wildApp
	}
	for _, f := range [...]format{formatJSON, formatResponse} { // a wildcard means JSON first
		if !seen[f] && wild.q > 0 {
			named[f] = wild
			wild.place++
		}
	}
	var a accepted
	a.once = best(&named, formatResponse, formatJSON)
	a.stream = best(&named, formatSSE, formatMultipart)
	first := func(f format) bool { return named[f].q > 0 && (a.once == formatNone || named[f].over(named[a.once])) }
	a.streamFirst = a.stream != formatNone && first(a.stream)
	a.events = first(formatSSE)
	return a
}

// textRanges are the media ranges that text/plain is of, the exact ones last.
var textRanges = [...]string{"*/*", "text/*", "text/plain"}

// takesText reports whether Accept headers allow text/plain, in which the token of a single connection comes.
func takesText(headers []string) bool {
	takes, places, best := true, 0, 0 // best is how exact the range is that decides
	for _, header := range headers {
		for part := range splitQuoted(header, ',') {
			name, q, ok := mediaRange(part)
			if places++; places > maxRanges || !ok {
				continue
			}
			if exact := 1 + slices.Index(textRanges[:], name); exact >= best {
				best, takes = exact, exact > 0 && q > 0
			}
		}
	}
	return takes
}

func best(named *[formats]weight, a, b format) format {
	switch x, y := named[a], named[b]; {
	case x.q <= 0 && y.q <= 0:
		return formatNone
	case y.q <= 0 || x.q > 0 && x.over(y):
		return a
	default:
		return b
	}
}

// specParameter names the version of the multipart protocol, of which there is one.
const specParameter, specVersion = "subscriptionspec", "1.0"

// mediaRange reads one media range: its type in lower case and its quality in thousandths. Of another version of
// multipart subscriptions the type is none of ours.
func mediaRange(text string) (name string, q int, ok bool) {
	name, parameters, _ := strings.Cut(text, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || !strings.Contains(name, "/") {
		return "", 0, false
	}
	q = 1000
	for p := range splitQuoted(parameters, ';') {
		key, value, _ := strings.Cut(p, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if key == specParameter && strings.Trim(value, `"`) != specVersion {
			name += " of another version"
		}
		if key != "q" {
			continue
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return "", 0, false
		}
		q = int(f * 1000)
	}
	return name, q, true
}

// parameter is the value of a media range's parameter, whose name is given in lower case; "": it has none.
func parameter(text, name string) string {
	_, parameters, _ := strings.Cut(text, ";")
	for p := range splitQuoted(parameters, ';') {
		if key, value, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// splitQuoted yields the parts of a header's value between separators that are not within quotes.
func splitQuoted(text string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		from, quoted := 0, false
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case c == separator && !quoted:
				if !yield(text[from:i]) {
					return
				}
				from = i + 1
			}
		}
		yield(text[from:])
	}
}

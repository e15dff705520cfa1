package gql

import (
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// outline finds what a document has too much of by its text alone: tokens, levels, and fields, where they are written out. That takes a
// fraction of what a tree takes, and it ends at the first that is one too many: whoever sends such documents on purpose has
// little of it. It refuses nothing that the parser or checkLimits would not refuse; what shows only once fragments are expanded
// is left to checkLimits.
type outline struct {
	lim     Limits
	tokens  int
	parens  int // open ones: nothing within arguments and definitions of variables is a selection
	start   int // offset of the operation or fragment, -1 between two of them
	fields  int // of it
	depth   int // of the selections that are open, without those of inline fragments
	open    []selection
	expects expected
	inline  bool   // the next selection is that of an inline fragment
	broken  bool   // no document: the parser knows why
	err     *Error // what is too much
	at      int    // where
}

// selection is one whose brace is open.
type selection struct {
	inline bool
	owner  int // index of the selection whose object has its fields: itself, or that around an inline fragment
	fields int // of the object, as far as they are written here
}

// expected is what the next name is.
type expected uint8

const (
	aField    expected = iota
	aFragment          // or nothing, or `on`
	aType
	aDirective
)

// overLimits returns an error of code LIMIT_EXCEEDED for the first place at which the text has too much, nil if there is none
// or the text is no document.
func overLimits(text string, lim Limits) *Error {
	o := outline{lim: lim, start: -1, open: make([]selection, 0, 8)} // the usual depth
	for i := 0; i < len(text); {
		kind, end := lexeme(text, i)
		if end > len(text) {
			return nil
		}
		o.take(kind, text[i:end], i)
		switch {
		case o.err != nil:
			o.err.Locations = []Location{locationAt(text, o.at)}
			return o.err
		case o.broken:
			return nil
		}
		i = end
	}
	return nil
}

func (o *outline) fail(at int, limit, format string, most int) {
	o.at, o.err = at, &Error{Code: code.LimitExceeded, Limit: limit, Message: fmt.Sprintf(format, most)}
}

// take goes one lexeme further.
func (o *outline) take(kind byte, text string, at int) {
	switch kind {
	case ignored:
		return
	case broken:
		o.broken = true
		return
	}
	if o.tokens++; o.tokens > o.lim.Tokens {
		o.fail(at, "document_tokens", tooManyTokens, o.lim.Tokens)
		return
	}
	if o.start < 0 {
		o.start = at
	}
	switch {
	case kind == '(':
		o.parens++
	case kind == ')':
		o.parens--
		o.broken = o.parens < 0
	case o.parens > 0:
	case kind == '{':
		o.begin()
	case kind == '}':
		o.end()
	case kind == aSpread:
		o.expects = aFragment
	case kind == '@':
		o.inline = o.inline || o.expects == aFragment
		o.expects = aDirective
	case kind == ':' && len(o.open) > 0: // the name before was an alias, and the field is still to come
		o.fields--
		o.object().fields--
	case kind == aName:
		o.name(text, at)
	}
}

// object is the selection that counts the fields of the innermost one.
func (o *outline) object() *selection { return &o.open[o.open[len(o.open)-1].owner] }

// name takes a name outside of parentheses.
func (o *outline) name(text string, at int) {
	was := o.expects
	o.expects = aField
	switch {
	case was == aFragment && text == "on":
		o.expects, o.inline = aType, true
	case was != aField || len(o.open) == 0:
	default:
		o.fields++
		object := o.object()
		object.fields++
		switch {
		case o.fields > o.lim.Fields:
			o.fail(o.start, "document_fields", tooManyFields, o.lim.Fields)
		case object.fields > o.lim.Aliases:
			o.fail(at, "document_aliases", tooManyAliases, o.lim.Aliases)
		}
	}
}

func (o *outline) begin() {
	s := selection{inline: o.inline || o.expects == aFragment, owner: len(o.open)}
	o.inline, o.expects = false, aField
	switch {
	case !s.inline:
		o.depth++
	case len(o.open) == 0:
		o.broken = true
		return
	default:
		s.owner = o.open[len(o.open)-1].owner
	}
	if o.depth > o.lim.Depth {
		o.fail(o.start, "document_depth", tooDeep, o.lim.Depth)
	}
	o.open = append(o.open, s)
}

func (o *outline) end() {
	last := len(o.open) - 1
	if last < 0 {
		o.broken = true
		return
	}
	if !o.open[last].inline {
		o.depth--
	}
	o.open = o.open[:last]
	o.inline, o.expects = false, aField
	if last == 0 {
		o.start, o.fields = -1, 0
	}
}

// What is said of a limit, with the limit.
const (
	tooManyTokens  = "The document has more than %d tokens (limits.document_tokens)."
	tooManyFields  = "The selection has more than %d fields once its fragments are expanded (limits.document_fields)."
	tooManyAliases = "More than %d fields share a parent (limits.document_aliases)."
	tooDeep        = "The selection is more than %d levels deep (limits.document_depth)."
)

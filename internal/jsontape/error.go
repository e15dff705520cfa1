package jsontape

import "strconv"

// ErrorKind sorts what can be wrong with a text.
type ErrorKind uint8

const (
	Syntax      ErrorKind = iota // not JSON by the grammar of RFC 8259
	InvalidUTF8                  // bytes that are not UTF-8, in a string
	TooDeep                      // more nesting than Limits.Depth
	TooLarge                     // more bytes than Limits.Bytes
)

// Error says what is wrong with a text and at which byte, counted from 0. Its text is safe to show: of what
// was sent it repeats one printable ASCII character at most.
type Error struct {
	Kind   ErrorKind
	Offset int
	Limit  int // of TooDeep and TooLarge: what is allowed
	what   string
}

// Error returns for example `invalid JSON at byte 12: a colon must follow the member name, not 'x'`.
func (e *Error) Error() string {
	switch e.Kind {
	case TooLarge:
		return "JSON text of more than " + strconv.Itoa(e.Limit) + " bytes"
	case TooDeep:
		return "JSON nested deeper than " + strconv.Itoa(e.Limit) + " levels at byte " + strconv.Itoa(e.Offset)
	}
	return "invalid JSON at byte " + strconv.Itoa(e.Offset) + ": " + e.what
}

// problem is why the layout stopped.
type problem uint8

const (
	fine problem = iota
	wantValue
	wantName
	wantColon
	wantComma
	wantDigit
	trailing
	unterminated
	controlInString
	badEscape
	badUTF8
	tooDeep
)

var problemText = [...]string{
	wantValue:       "a value was expected",
	wantName:        "a member name in double quotes was expected",
	wantColon:       "a colon must follow the member name",
	wantComma:       "a comma or the end of the array or object was expected",
	wantDigit:       "a number lacks a digit",
	trailing:        "nothing may follow the value",
	unterminated:    "a string does not end",
	controlInString: "a control character in a string must be escaped",
	badEscape:       "invalid escape in a string",
	badUTF8:         "invalid UTF-8 in a string",
}

// explain makes the error of a text that stops being JSON at byte at.
func explain(src []byte, at int, why problem, depth int) *Error {
	e := &Error{Kind: Syntax, Offset: at}
	switch why {
	case tooDeep:
		e.Kind, e.Limit = TooDeep, depth
		return e
	case badUTF8:
		e.Kind = InvalidUTF8
	}
	e.what = problemText[why]
	switch {
	case why == unterminated || why == badUTF8:
	case at >= len(src):
		e.what += ", but the text ends"
	case src[at] > ' ' && src[at] < 0x7f && why != badEscape:
		e.what += ", not " + strconv.QuoteRune(rune(src[at]))
	}
	return e
}

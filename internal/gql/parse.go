package gql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// maxErrors bounds how many problems of one document are reported, as graphql-js does.
const maxErrors = 100

// overlapBudget times the limit of tokens is how many fields the rule about merging may look at.
const overlapBudget = 40

// maxMessage bounds the bytes of a message: most of them quote the document.
const maxMessage = 500

func clipMessage(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// Parse parses and validates a document completely: the standard's rules, the single root field, limits.
// Exactly one of the results is nil. Limits are checked before any rule whose cost could grow faster than
// the document.
func (s *Schema) Parse(text string, lim Limits) (doc *Document, errs []*Error) {
	defer func() {
		// No document is known to come here (see FuzzParse); one that does must not end the process.
		if recover() != nil {
			doc, errs = nil, []*Error{{Code: code.InternalServerError, Message: "The document could not be checked."}}
		}
	}()
	return s.parse(text, lim)
}

func (s *Schema) parse(text string, lim Limits) (*Document, []*Error) {
	lim = lim.withDefaults()
	tree, err := parseDocument(text, lim)
	if err != nil {
		return nil, []*Error{err}
	}
	if err := checkLimits(tree, lim); err != nil {
		return nil, []*Error{err}
	}
	if errs := s.validate(tree); len(errs) > 0 {
		return nil, clientErrors(errs)
	}
	errs, ok := s.checkOverlaps(tree, overlapBudget*lim.Tokens)
	if len(errs) > 0 {
		return nil, clientErrors(errs)
	}
	if !ok {
		return nil, []*Error{{Code: code.LimitExceeded, Locations: []Location{{1, 1}},
			Message: "The document merges too many fields of interfaces and objects."}}
	}
	return s.convert(text, tree), nil
}

// parseDocument checks the size, the limits as far as the text shows them, and the syntax.
func parseDocument(text string, lim Limits) (*ast.QueryDocument, *Error) {
	start := []Location{{1, 1}}
	if len(text) > lim.Bytes {
		return nil, &Error{Code: code.LimitExceeded, Limit: "document_bytes", Locations: start,
			Message: fmt.Sprintf("The document has %d bytes, the limit is %d (limits.document_bytes).", len(text), lim.Bytes)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{Code: code.ParseFailed, Locations: start, Message: "Syntax Error: the document is not valid UTF-8."}
	}
	text = strings.TrimPrefix(text, "\ufeff")
	if err := overLimits(text, lim); err != nil {
		return nil, err
	}
	src := &ast.Source{Input: withoutBlocks(text)}
	tree, err := parser.ParseQueryWithTokenLimit(src, lim.Tokens)
	if err != nil {
		return nil, syntaxError(src, err, lim)
	}
	if at, message := lexicalProblem(text); at >= 0 {
		return nil, &Error{Code: code.ParseFailed, Message: "Syntax Error: " + message, Locations: []Location{locationAt(text, at)}}
	}
	for _, f := range tree.Fragments {
		if len(f.VariableDefinition) > 0 { // of a draft
			return nil, &Error{Code: code.ParseFailed, Locations: []Location{locationOf(f.VariableDefinition[0].Position)},
				Message: clipMessage(fmt.Sprintf("Syntax Error: Unexpected variable of fragment %q.", f.Name))}
		}
	}
	if len(tree.Operations) == 0 && len(tree.Fragments) == 0 {
		return nil, &Error{Code: code.ParseFailed, Locations: start, Message: "Syntax Error: Unexpected <EOF>."}
	}
	return tree, nil
}

// IsMutation reports whether the operation of that name, or any if there is none of it, is a mutation, whatever rules the
// document breaks. A text that cannot be parsed has none.
func IsMutation(text, name string) (is bool) {
	defer func() {
		if recover() != nil { // as in Schema.Parse
			is = false
		}
	}()
	all := len(text) + 1 // more than there can be of anything
	tree, err := parseDocument(text, Limits{Bytes: all, Tokens: all, Fields: all, Depth: all, Aliases: all})
	if err != nil {
		return false
	}
	if op := tree.Operations.ForName(name); op != nil {
		return op.Operation == ast.Mutation
	}
	return slices.ContainsFunc(tree.Operations, func(op *ast.OperationDefinition) bool { return op.Operation == ast.Mutation })
}

// syntaxError turns an error of the parser into one for clients.
func syntaxError(src *ast.Source, err error, lim Limits) *Error {
	e := &Error{Code: code.ParseFailed, Message: "Syntax Error: the document cannot be read."}
	var ge *gqlerror.Error
	if errors.As(err, &ge) {
		ge = lexerError(src, ge)
		e.Message = clipMessage("Syntax Error: " + ge.Message)
		for _, l := range ge.Locations {
			e.Locations = append(e.Locations, Location{l.Line, l.Column})
		}
		switch {
		case strings.HasPrefix(ge.Message, "exceeded token limit"):
			e.Code = code.LimitExceeded
			e.Limit = "document_tokens"
			e.Message = fmt.Sprintf(tooManyTokens, lim.Tokens)
			e.Locations = []Location{tokenLocation(src, lim.Tokens)}
		case strings.HasPrefix(ge.Message, "exceeded maximum nesting depth"):
			e.Code = code.LimitExceeded
			e.Limit = "document_depth"
			e.Message = "The document nests too deeply."
		}
	}
	if len(e.Locations) == 0 {
		e.Locations = []Location{{1, 1}}
	}
	return e
}

// lexerError finds what is wrong with a token that cannot be read, where the parser only says that it is invalid or may
// have quoted a byte.
func lexerError(src *ast.Source, err *gqlerror.Error) *gqlerror.Error {
	unread := strings.Contains(err.Message, lexer.Invalid.String())
	if !unread && !strings.ContainsFunc(err.Message, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return err
	}
	for lex := lexer.New(src); ; {
		tok, err2 := lex.ReadToken()
		var better *gqlerror.Error
		if errors.As(err2, &better) && better != nil && (unread || better.Message == err.Message) {
			better.Message = wholeCharacter(better.Message, src.Input, tok.Pos)
			return better
		}
		if tok.Kind == lexer.EOF || tok.Kind == lexer.Invalid {
			return err
		}
	}
}

// wholeCharacter mends a message of the lexer, which quotes bytes: that a character beyond ASCII begins with as if it were
// one, and perhaps a part of one at the end of an escape.
func wholeCharacter(message, text string, at ast.Position) string {
	offset := at.End // in characters, of what follows what could be read
	if strings.HasPrefix(message, "Cannot parse") {
		offset = at.Start
	}
	for _, char := range text {
		if offset--; offset >= 0 {
			continue
		}
		quoted := string(rune(string(char)[0]))
		for _, around := range [][2]string{{`"`, `".`}, {`\`, `.`}} {
			if head, found := strings.CutSuffix(message, around[0]+quoted+around[1]); found {
				return head + around[0] + string(char) + around[1]
			}
		}
		break
	}
	return strings.ToValidUTF8(message, "")
}

// tokenLocation finds the first token past a count.
func tokenLocation(src *ast.Source, count int) Location {
	lex := lexer.New(src)
	at := Location{1, 1}
	for range count + 1 {
		tok, err := lex.ReadToken()
		if err != nil || tok.Kind == lexer.EOF {
			break
		}
		at = Location{tok.Pos.Line, tok.Pos.Column}
	}
	return at
}

// clientErrors turns the errors of validation into those for clients, each once.
func clientErrors(list gqlerror.List) []*Error {
	type key struct {
		message string
		at      Location
	}
	seen := map[key]bool{}
	var out []*Error
	for _, ge := range list {
		e := &Error{Code: code.ValidationFailed, Message: clipMessage(ge.Message)}
		for _, l := range ge.Locations {
			e.Locations = append(e.Locations, Location{l.Line, l.Column})
		}
		if len(e.Locations) == 0 {
			e.Locations = []Location{{1, 1}}
		}
		k := key{e.Message, e.Locations[0]}
		if seen[k] {
			continue
		}
		seen[k] = true
		if len(out) == maxErrors {
			return append(out, &Error{Code: code.ValidationFailed, Locations: e.Locations,
				Message: "Too many validation errors, error limit reached. Validation aborted."})
		}
		out = append(out, e)
	}
	return out
}

// Operation picks the operation to run; the error has code OPERATION_RESOLUTION_FAILURE.
func (d *Document) Operation(name string) (*Operation, *Error) {
	if name == "" {
		switch len(d.Operations) {
		case 1:
			return d.Operations[0], nil
		case 0:
			return nil, &Error{Code: code.OperationResolution, Message: "Must provide an operation."}
		}
		return nil, &Error{Code: code.OperationResolution,
			Message: "Must provide operation name if query contains multiple operations."}
	}
	for _, op := range d.Operations {
		if op.Name == name {
			return op, nil
		}
	}
	return nil, &Error{Code: code.OperationResolution, Message: fmt.Sprintf("Unknown operation named %q.", name)}
}

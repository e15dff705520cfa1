package plan

import (
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// maxErrors bounds the field errors of one event; those beyond leave their null without an error.
const maxErrors = 100

// report gathers the field errors of one event.
type report struct {
	path   []segment // of the value that is being completed
	errors []fieldError
}

// segment is a response key, or an index where key is empty.
type segment struct {
	key   string
	index int
}

type fieldError struct {
	code, message string
	path          []segment
}

func (r *report) push(s segment) { r.path = append(r.path, s) }
func (r *report) pop()           { r.path = r.path[:len(r.path)-1] }

func (r *report) add(code, message string) {
	if len(r.errors) < maxErrors {
		r.errors = append(r.errors, fieldError{code, message, append([]segment(nil), r.path...)})
	}
}

// append writes `,"errors":[…]`: message, path and code, no locations. Messages name parts of the
// schema, never values of the event.
func (r *report) append(dst []byte) []byte {
	dst = append(dst, `,"errors":[`...)
	for i := range r.errors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.errors[i].append(dst)
	}
	return append(dst, ']')
}

func (e *fieldError) append(dst []byte) []byte {
	dst = append(dst, `{"message":`...)
	dst = jsontape.AppendQuoted(dst, e.message)
	dst = append(dst, `,"path":[`...)
	for i, s := range e.path {
		if i > 0 {
			dst = append(dst, ',')
		}
		if s.key == "" {
			dst = strconv.AppendInt(dst, int64(s.index), 10)
		} else {
			dst = jsontape.AppendQuoted(dst, s.key)
		}
	}
	dst = append(dst, `],"extensions":{"code":`...)
	dst = jsontape.AppendQuoted(dst, e.code)
	return append(dst, "}}"...)
}

// fail reports an error at the present path.
func (x *run) fail(errorCode, message string) {
	if x.report != nil {
		x.report.add(errorCode, message)
	}
}

func (x *run) failArguments(v *value) {
	if x.report != nil {
		x.report.add(code.BadUserInput, "The arguments of "+v.field+" are not valid: a variable is null where it may not be.")
	}
}

func (x *run) failNull(v *value) {
	if x.report != nil {
		x.report.add(code.InvalidValue, "Cannot return null for non-nullable field "+v.field+".")
	}
}

func (x *run) failLeaf(v *value) {
	if x.report != nil {
		x.report.add(code.InvalidValue, "The value of "+v.field+" cannot be represented as "+v.typ+".")
	}
}

func (x *run) failList(v *value) {
	if x.report != nil {
		x.report.add(code.InvalidValue, "The value of "+v.field+" is not a list.")
	}
}

func (x *run) failType(v *value) {
	if x.report != nil {
		x.report.add(code.InvalidValue, "The value of "+v.field+" has no __typename that names a type of "+v.typ+".")
	}
}

// Package wire is the JSON form of events: strict at publishing doors, lenient on a bus (docs/reference/http.md).
//
// At a door an event is an object with the members channel, type and data, and optionally id, tenant_id,
// user_id, federation_id, service_name, broadcast and timestamp. Anything else, anything twice and anything
// of another type is refused, null too: a member that says nothing is left out. On a bus there is a version
// member v besides, and unknown members are ignored, so that an older node reads what a newer one writes.
//
// Events that are returned own their memory: they do not refer to the text they were read from.
package wire

import (
	"errors"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Version is the version of the bus format that is written, and the only one that is read.
const Version = 1

// Limits bounds what is read. Zero members mean the default in the comment.
type Limits struct {
	EventBytes  int // of data without white space, 1 MiB
	EventDepth  int // of data, 64 levels
	BatchBytes  int // of a whole request, 16 MiB
	BatchEvents int // 10,000
}

// envelopeBytes is more than an envelope can have besides data, each character of it escaped.
const envelopeBytes = 16 << 10

// WithDefaults returns a copy with the defaults filled in.
func (l Limits) WithDefaults() Limits {
	fill(&l.EventBytes, event.MaxData)
	fill(&l.EventDepth, event.MaxDepth)
	fill(&l.BatchBytes, 16<<20)
	fill(&l.BatchEvents, 10_000)
	return l
}

func fill(member *int, preset int) {
	if *member <= 0 {
		*member = preset
	}
}

// Errors are the problems of a batch in the order of its events, at most maxErrors of them. It is never
// empty when it is used as an error.
type Errors []*event.Error

// maxErrors is how many events of a batch are complained about.
const maxErrors = 10

// Error returns the first text, with the index of the event where there are several.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = strconv.Itoa(err.Index) + ": " + err.Error()
	}
	return strings.Join(texts, "; ")
}

// refuse makes an error about a member.
func refuse(member, message string) *event.Error {
	return &event.Error{Code: code.InvalidValue, Member: member, Message: message}
}

// notJSON explains why a text was not parsed: bad JSON is BAD_USER_INPUT (400), what is too big
// LIMIT_EXCEEDED (413).
func notJSON(err error, lim *Limits) *event.Error {
	var e *jsontape.Error
	if !errors.As(err, &e) {
		return &event.Error{Code: code.BadUserInput, Message: "invalid JSON"}
	}
	switch e.Kind {
	case jsontape.TooDeep:
		return tooDeep(lim)
	case jsontape.TooLarge:
		return &event.Error{Code: code.LimitExceeded, Limit: "event_bytes", Message: "is larger than " + strconv.Itoa(e.Limit) + " bytes"}
	}
	return &event.Error{Code: code.BadUserInput, Message: e.Error()}
}

func tooDeep(lim *Limits) *event.Error {
	return &event.Error{Code: code.LimitExceeded, Limit: "event_depth", Member: "data", Message: "is nested deeper than " + strconv.Itoa(lim.EventDepth) + " levels (limits.event_depth)"}
}

func tooLarge(lim *Limits) *event.Error {
	return &event.Error{Code: code.LimitExceeded, Limit: "event_bytes", Member: "data", Message: "is larger than " + strconv.Itoa(lim.EventBytes) + " bytes (limits.event_bytes)"}
}

func tooMany(lim *Limits) *event.Error {
	return &event.Error{Code: code.LimitExceeded, Limit: "publish_events", Message: "more than " + strconv.Itoa(lim.BatchEvents) + " events in one batch (limits.publish_events)", Index: lim.BatchEvents}
}

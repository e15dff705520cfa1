package session

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// Resume is what a subscriber asks for by `extensions: {"resume": true | "<cursor>"}`, or by another way of its
// transport, such as the header Last-Event-ID of SSE. nil: it does not.
//
// A transport with a way of its own sets Request.Resume before Engine.Subscribe, {Cursor: text} with the
// text as the client sent it (it is read as hostile: what is no cursor of ours, or is too old, is answered by
// recovered false and never by an error); it goes before what the extensions say. Nothing else is to be done: the
// first message of the subscription is `{"data":null,"extensions":{"cursor":…,"recovered":…}}`, and the cursor of each
// message is queue.Message.Cursor, nil on a message that has none (its bytes need no escaping in JSON, SSE or a header).
// Engine.Subscribe waits for the bus then: such a request does not belong on a reader.
type Resume struct {
	// Cursor is where it stands; "": it begins now.
	Cursor string
	// Invalid: the member is neither true, false, null nor a string.
	Invalid bool
}

const notACursor = "-"

var resumeName = jsontape.MakeName("resume")

// ReadResume reads the member `resume` of the extensions of a subscribe: an object of the tape, or None.
func ReadResume(t *jsontape.Tape, extensions jsontape.Ref) *Resume {
	if t.Kind(extensions) != jsontape.Object {
		return nil
	}
	member := t.MemberNamed(extensions, resumeName)
	switch t.Kind(member) {
	case jsontape.Invalid, jsontape.Null, jsontape.False:
		return nil
	case jsontape.True:
		return &Resume{}
	case jsontape.String:
		cursor := string(t.AppendString(nil, member))
		if cursor == "" {
			cursor = notACursor // whoever lost it is told so; it is not the same as beginning now
		}
		return &Resume{Cursor: cursor}
	default:
		return &Resume{Invalid: true}
	}
}

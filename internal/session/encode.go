package session

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// The pieces of the messages that a server sends. An operation id stands between head and its type.
const (
	head          = `{"id":"`
	afterNext     = `","type":"next","payload":`
	afterError    = `","type":"error","payload":`
	afterComplete = `","type":"complete"}`
)

var (
	pongText = []byte(`{"type":"pong"}`)
	ackText  = []byte(`{"type":"connection_ack"}`)
)

// AppendItem appends the text message of a result or of a control message of kind Text: the same bytes on
// every transport of this protocol. Other control messages append nothing.
func AppendItem(dst []byte, it *queue.Item) []byte {
	if it.Queue == nil {
		if it.Control.Kind == queue.Text {
			dst = append(dst, it.Control.Data...)
		}
		return dst
	}
	dst = AppendPrefix(dst, it)
	if it.Message != nil {
		dst = append(dst, it.Message.Payload...)
	}
	return AppendSuffix(dst, it)
}

// AppendPrefix appends what stands before the message's Payload. A framing that wants to avoid copying the
// payload writes prefix, Payload and suffix one after the other.
func AppendPrefix(dst []byte, it *queue.Item) []byte {
	dst = it.Queue.AppendID(append(dst, head...))
	switch {
	case !it.Message.End:
		return append(dst, afterNext...)
	case it.Message.Payload == nil:
		return append(dst, afterComplete...)
	default:
		return append(dst, afterError...)
	}
}

// AppendSuffix appends what stands behind the message's Payload: extensions for a subscriber that asked for
// them, and the closing braces.
func AppendSuffix(dst []byte, it *queue.Item) []byte {
	switch {
	case !it.Message.End:
		return append(AppendExtensions(dst, it), '}', '}')
	case it.Message.Payload == nil:
		return dst
	default:
		return append(dst, '}')
	}
}

// AppendExtensions appends the member `extensions` of an ExecutionResult, with the comma before it: the
// cursor of a subscriber that resumes, what it is told of a gap, and the number of results dropped before this
// one. Nothing if there is nothing to say.
func AppendExtensions(dst []byte, it *queue.Item) []byte {
	if !it.Extensions || it.Message.Cursor() == nil && it.Dropped == 0 {
		return dst
	}
	dst = append(dst, `,"extensions":{`...)
	if it.Message.Cursor() != nil {
		dst = append(dst, `"cursor":"`...)
		dst = append(dst, it.Message.Cursor()...)
		dst = append(dst, '"')
		switch it.Message.Extra.Recovered {
		case queue.Recovered:
			dst = append(dst, `,"recovered":true`...)
		case queue.Lost:
			dst = append(dst, `,"recovered":false`...)
		}
	}
	if it.Dropped != 0 {
		if it.Message.Cursor() != nil {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(append(dst, `"dropped":`...), uint64(it.Dropped), 10)
	}
	return append(dst, '}')
}

// appendHead appends what messages about an operation begin with, and no other does.
func appendHead(dst, id []byte) []byte {
	return append(append(append(dst, head...), id...), `","type":`...)
}

// AppendNext appends a `next` message with a whole ExecutionResult. id is JSON-escaped, without quotes.
func AppendNext(dst, id, result []byte) []byte {
	return appendMessage(dst, id, afterNext, result)
}

// AppendError appends an `error` message with the JSON array of its errors.
func AppendError(dst, id, errors []byte) []byte {
	return appendMessage(dst, id, afterError, errors)
}

// AppendComplete appends a `complete` message.
func AppendComplete(dst, id []byte) []byte {
	return append(append(append(dst, head...), id...), afterComplete...)
}

func appendMessage(dst, id []byte, after string, payload []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, len(head)+len(id)+len(after)+len(payload)+1)
	}
	dst = append(append(append(dst, head...), id...), after...)
	return append(append(dst, payload...), '}')
}

// AppendErrors appends the JSON array of one error with a code.
func AppendErrors(dst []byte, code, message string) []byte {
	dst = jsontape.AppendQuoted(append(dst, `[{"message":`...), message)
	dst = append(dst, `,"extensions":{"code":"`...)
	return append(append(dst, code...), `"}}]`...)
}

// AppendEscaped appends text as it stands between the quotes of a JSON string, with the fewest escapes.
func AppendEscaped(dst, text []byte) []byte {
	from := len(dst)
	dst = jsontape.AppendQuoted(dst, text)
	return append(dst[:from], dst[from+1:len(dst)-1]...)
}

// unescape is the inverse of AppendEscaped. Halves of surrogate pairs become U+FFFD.
func unescape(id []byte) string {
	if bytes.IndexByte(id, '\\') < 0 {
		return string(id)
	}
	var t jsontape.Tape
	if err := t.Parse(append(append([]byte{'"'}, id...), '"'), jsontape.Limits{}); err != nil {
		return string(id)
	}
	return validString(&t, jsontape.Root)
}

// pong is the answer to a ping, with its payload if that is short enough.
func pong(payload []byte, limit int) []byte {
	if payload == nil || len(payload) > limit {
		return pongText
	}
	return withPayload(pongText, payload)
}

func ackMessage(payload []byte) []byte {
	if payload == nil {
		return ackText
	}
	return withPayload(ackText, payload)
}

// withPayload returns a message like text, which has none, with a payload.
func withPayload(text, payload []byte) []byte {
	const member = `,"payload":`
	dst := make([]byte, 0, len(text)+len(member)+len(payload))
	dst = append(append(dst, text[:len(text)-1]...), member...)
	return append(append(dst, payload...), '}')
}

// CutReason returns the reason of a close, cut at a character to the 123 bytes that a close frame can hold.
func CutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

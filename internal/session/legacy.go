package session

import (
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// The legacy protocol is the one of npm subscriptions-transport-ws, whose subprotocol is named graphql-ws. It is the
// same machine with other words (start, stop, data), and:
//
//   - Its client does not wait for connection_ack before it sends start. A start that comes while the credentials are
//     judged waits for them; one without connection_init closes with 4401, as subscribe does.
//   - What is no message is answered by connection_error; the connection stays.
//   - error has one error, and stop is answered by complete.

// earlyKiB bounds what waits for the credentials of one connection, earlySumKiB what waits altogether.
const (
	earlyKiB    = 256
	earlySumKiB = 64 << 10
)

// fromLegacy are the types of messages that clients of the legacy protocol may send.
var fromLegacy = []messageType{
	{"start", kindSubscribe}, {"stop", kindComplete}, {"connection_init", kindInit}, {"connection_terminate", kindTerminate},
}

// KeepAliveText is the message by which clients of the legacy protocol see that the server is there.
var KeepAliveText = []byte(`{"type":"ka"}`)

const (
	afterData    = `","type":"data","payload":`
	afterEnd     = `","type":"error","payload":{"message":"the subscription was ended","errors":`
	connectError = `{"type":"connection_error","payload":{"message":`
)

// connectionError answers what is no message, with a reason as short as one of a close.
func connectionError(dst []Action, reason string) []Action {
	return append(dst, Action{Kind: Send, Data: append(jsontape.AppendQuoted([]byte(connectError), CutReason(reason)), '}', '}')})
}

// farewell tells a client of the legacy protocol why the connection is about to be closed.
func (m *Machine) farewell(dst []Action, closeCode uint16, reason string) []Action {
	if m.options.legacy {
		dst = connectionError(dst, reason)
	}
	return m.Shut(dst, closeCode, reason)
}

// mayWait reports whether a start may wait for the credentials to be judged.
func (m *Machine) mayWait(weight uint16) bool {
	if m.waiting+weight > earlyKiB {
		return false
	}
	if m.options.early.Add(int64(weight)) > earlySumKiB {
		m.options.early.Add(-int64(weight))
		return false
	}
	return true
}

// resumeEarly starts what has waited for the credentials, unless it was stopped meanwhile.
func (m *Machine) resumeEarly(dst []Action) []Action {
	for _, req := range m.ops.takeEarly() {
		m.options.early.Add(-int64(req.weight))
		if m.preparing(req) == nil {
			m.waiting -= req.weight
			continue
		}
		dst = append(dst, Action{Kind: Subscribe, Request: req, Identity: m.who})
	}
	return dst
}

// dropEarly forgets what has waited, when the connection is closed.
func (m *Machine) dropEarly() {
	for _, req := range m.ops.takeEarly() {
		m.options.early.Add(-int64(req.weight))
		m.waiting -= req.weight
	}
}

// appendResult appends the message of a result, appendFailure that of a JSON array of errors, in the machine's
// protocol.
func (m *Machine) appendResult(id, result []byte) []byte {
	if m.options.legacy {
		return appendMessage(nil, id, afterData, result)
	}
	return AppendNext(nil, id, result)
}

func (m *Machine) appendFailure(id, errors []byte) []byte {
	if m.options.legacy {
		return AppendError(nil, id, first(errors))
	}
	return AppendError(nil, id, errors)
}

// first returns the first element of a JSON array.
func first(array []byte) []byte {
	var t jsontape.Tape
	if err := t.Parse(array, jsontape.Limits{}); err != nil || t.Kind(jsontape.Root) != jsontape.Array {
		return array
	}
	if element := t.First(jsontape.Root); element != jsontape.None {
		return t.Raw(element)
	}
	return array
}

// AppendLegacyPrefix is AppendPrefix in the legacy protocol.
func AppendLegacyPrefix(dst []byte, it *queue.Item) []byte {
	dst = it.Queue.AppendID(append(dst, head...))
	switch {
	case !it.Message.End:
		return append(dst, afterData...)
	case it.Message.Payload == nil:
		return append(dst, afterComplete...)
	default:
		return append(dst, afterEnd...)
	}
}

// AppendLegacySuffix is AppendSuffix in the legacy protocol.
func AppendLegacySuffix(dst []byte, it *queue.Item) []byte {
	dst = AppendSuffix(dst, it)
	if it.Message.End && it.Message.Payload != nil {
		dst = append(dst, '}')
	}
	return dst
}

// describe names a type of message that is none, or that only a server sends.
func (o *Options) describe(name string) string {
	server := []string{"connection_ack", "next", "error"}
	if o.legacy {
		server = []string{"connection_ack", "connection_error", "ka", "data", "error", "complete"}
	}
	for _, s := range server {
		if s == name {
			return "Only a server sends messages of type " + name
		}
	}
	return "Unknown message type " + strconv.Quote(name)
}

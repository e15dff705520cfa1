package session

import (
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// kind is the type of a message that clients send.
type kind uint8

const (
	kindUnknown kind = iota
	kindInit
	kindPing
	kindPong
	kindSubscribe
	kindComplete
	kindTerminate // of the legacy protocol
)

// messageType is the name of a kind.
type messageType struct {
	name string
	kind kind
}

// fromClient are the types of messages that clients may send.
var fromClient = []messageType{
	{"subscribe", kindSubscribe}, {"complete", kindComplete}, {"ping", kindPing}, {"pong", kindPong},
	{"connection_init", kindInit},
}

// inbound is a decoded message. It refers to the message and to the tape.
type inbound struct {
	types   []messageType // of the protocol
	kind    kind
	payload []byte // an object's text, or nil, of connection_init, ping and pong
	refresh bool   // of a ping: the payload has a member authorization
	named   bool   // of connection_init: the client asks for the connection's name
	id      []byte // JSON-escaped in the shortest form, without quotes
	// of a subscribe
	query, operationName, variables, extensions jsontape.Ref
}

// decode reads a message. It returns the reason for which it is not one, or "".
func (in *inbound) decode(t *jsontape.Tape, message []byte, o *Options) string {
	if err := t.Parse(message, jsontape.Limits{Depth: o.MessageDepth, Bytes: o.messageBytes()}); err != nil {
		return err.Error()
	}
	if t.Kind(jsontape.Root) != jsontape.Object {
		return "A message must be a JSON object, not " + article(t, jsontape.Root)
	}
	in.types = fromClient
	if o.legacy {
		in.types = fromLegacy
	}
	if reason := in.decodeKind(t, o); reason != "" {
		return reason
	}
	payload := t.Member(jsontape.Root, "payload")
	switch in.kind {
	case kindInit, kindPing, kindPong:
		return in.decodePayload(t, payload)
	case kindSubscribe:
		if reason := in.decodeID(t); reason != "" {
			return reason
		}
		return in.decodeSubscribe(t, payload)
	case kindTerminate:
		return ""
	default:
		return in.decodeID(t)
	}
}

func (in *inbound) decodeKind(t *jsontape.Tape, o *Options) string {
	name := t.Member(jsontape.Root, "type")
	switch t.Kind(name) {
	case jsontape.Invalid:
		return `A message needs a member "type"`
	case jsontape.String:
	default:
		return `The member "type" of a message must be a string, not ` + article(t, name)
	}
	for i := range in.types {
		if t.StringIs(name, in.types[i].name) {
			in.kind = in.types[i].kind
			return ""
		}
	}
	return o.describe(string(t.AppendString(nil, name)))
}

func (in *inbound) decodePayload(t *jsontape.Tape, payload jsontape.Ref) string {
	switch t.Kind(payload) {
	case jsontape.Invalid, jsontape.Null:
	case jsontape.Object:
		in.payload = t.Raw(payload)
		in.refresh = in.kind == kindPing && authorizes(t, payload)
		in.named = in.kind == kindInit && t.Kind(t.MemberNamed(payload, streamName)) == jsontape.True
	default:
		return "The payload of " + in.name() + " must be an object or null, not " + article(t, payload)
	}
	return ""
}

// authorizes reports whether an object has a member authorization, in any letter case, as identity.Credentials finds it.
func authorizes(t *jsontape.Tape, object jsontape.Ref) bool {
	var scratch [32]byte
	for m := t.First(object); m != jsontape.None; m = t.After(object, m) {
		if strings.EqualFold(string(t.AppendName(scratch[:0], m)), "authorization") {
			return true
		}
	}
	return false
}

func (in *inbound) name() string {
	for i := range in.types {
		if in.types[i].kind == in.kind {
			return in.types[i].name
		}
	}
	return "?"
}

func (in *inbound) decodeID(t *jsontape.Tape) string {
	id := t.Member(jsontape.Root, "id")
	switch t.Kind(id) {
	case jsontape.Invalid:
		return "A message of type " + in.name() + ` needs a member "id"`
	case jsontape.String:
	default:
		return "The id of " + in.name() + " must be a string, not " + article(t, id)
	}
	text, plain := t.PlainString(id)
	if !plain {
		text = t.AppendString(nil, id)
	}
	switch {
	case len(text) == 0:
		return "The id of " + in.name() + " must not be empty"
	case len(text) > maxIDBytes:
		return "The id of " + in.name() + " must not be longer than " + strconv.Itoa(maxIDBytes) + " bytes"
	case !plain:
		text = AppendEscaped(nil, text)
	}
	in.id = text
	return ""
}

func (in *inbound) decodeSubscribe(t *jsontape.Tape, payload jsontape.Ref) string {
	switch t.Kind(payload) {
	case jsontape.Object:
	case jsontape.Invalid:
		return "A message of type " + in.name() + ` needs a member "payload"`
	default:
		return "The payload of " + in.name() + " must be an object, not " + article(t, payload)
	}
	in.query = t.Member(payload, "query")
	switch t.Kind(in.query) {
	case jsontape.String:
	case jsontape.Invalid:
		return "The payload of " + in.name() + ` needs a member "query"`
	default:
		return "The query of " + in.name() + " must be a string, not " + article(t, in.query)
	}
	for _, member := range [...]struct {
		name  string
		kind  jsontape.Kind
		value *jsontape.Ref
	}{
		{"operationName", jsontape.String, &in.operationName},
		{"variables", jsontape.Object, &in.variables},
		{"extensions", jsontape.Object, &in.extensions},
	} {
		*member.value = t.Member(payload, member.name)
		switch k := t.Kind(*member.value); {
		case k == member.kind:
		case k == jsontape.Invalid || k == jsontape.Null:
			*member.value = jsontape.None
		case member.kind == jsontape.String:
			return "The " + member.name + " of " + in.name() + " must be a string or null, not " + article(t, *member.value)
		default:
			return "The " + member.name + " of " + in.name() + " must be an object or null, not " + article(t, *member.value)
		}
	}
	return ""
}

// request copies what a subscribe asks for.
func (in *inbound) request(t *jsontape.Tape) *Request {
	variables, extensions := t.Raw(in.variables), t.Raw(in.extensions)
	bytes := make([]byte, 0, len(in.id)+len(variables)+len(extensions))
	part := func(text []byte) []byte {
		if len(text) == 0 {
			return nil
		}
		from := len(bytes)
		bytes = append(bytes, text...)
		return bytes[from:len(bytes):len(bytes)]
	}
	return &Request{
		ID:            in.unescapedID(),
		EscapedID:     part(in.id),
		Query:         validString(t, in.query),
		OperationName: validString(t, in.operationName),
		Variables:     part(variables),
		Extensions:    part(extensions),
		Resume:        ReadResume(t, in.extensions),
	}
}

// unescapedID is the id as the client means it.
func (in *inbound) unescapedID() string { return unescape(in.id) }

// validString is the text of a string, with U+FFFD for halves of surrogate pairs: GraphQL documents consist
// of Unicode scalar values.
func validString(t *jsontape.Tape, r jsontape.Ref) string {
	if plain, ok := t.PlainString(r); ok {
		return string(plain)
	}
	return strings.ToValidUTF8(string(t.AppendString(nil, r)), "\uFFFD")
}

// article names the kind of a value for a reason.
func article(t *jsontape.Tape, r jsontape.Ref) string {
	switch t.Kind(r) {
	case jsontape.Null:
		return "null"
	case jsontape.True, jsontape.False:
		return "a boolean"
	case jsontape.Number:
		return "a number"
	case jsontape.String:
		return "a string"
	case jsontape.Array:
		return "an array"
	default:
		return "an object"
	}
}

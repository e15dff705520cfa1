package session

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// notJSON begins the reasons that the parser of JSON gives; the place and what was expected there follow.
const notJSON = "invalid JSON at byte "

// malformed are messages that close the connection with 4400, before and after init, and the reason that the
// client sees.
var malformed = []struct{ message, reason string }{
	// not JSON
	{``, notJSON},
	{` `, notJSON},
	{`nonsense`, notJSON},
	{`{`, notJSON},
	{`}`, notJSON},
	{`{"type"}`, notJSON},
	{`{"type":}`, notJSON},
	{`{"type":"ping"`, notJSON},
	{`{"type":"ping",}`, notJSON},
	{`{'type':'ping'}`, notJSON},
	{`{type:"ping"}`, notJSON},
	{`{"type":"ping"}{"type":"ping"}`, notJSON},
	{`{"type":"ping"} x`, notJSON},
	{"{\"type\":\"pi\nng\"}", notJSON},
	{`{"type":"pi\ng"`, notJSON},
	{`{"type":"\x"}`, notJSON},
	{`{"type":"\u00g0"}`, notJSON},
	{`{"type":"ping`, notJSON},
	{"{\"type\":\"\xff\"}", notJSON},
	{"\xff\xfe", notJSON},
	{"\ufeff{\"type\":\"ping\"}", notJSON},
	{`{"type":"ping","payload":{"n":01}}`, notJSON},
	{`{"type":"ping","payload":{"n":NaN}}`, notJSON},
	{`{"type":"ping","payload":{"n":1.}}`, notJSON},
	{`/**/{"type":"ping"}`, notJSON},
	{`{"type":"ping","payload":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 201), `JSON nested deeper than 128 levels at byte `},
	{`{"type":"ping","x":"` + strings.Repeat("x", 1<<20) + `"}`, `JSON text of more than 1048576 bytes`},
	// no object
	{`null`, `A message must be a JSON object, not null`},
	{`true`, `A message must be a JSON object, not a boolean`},
	{`1`, `A message must be a JSON object, not a number`},
	{`"ping"`, `A message must be a JSON object, not a string`},
	{`[{"type":"ping"}]`, `A message must be a JSON object, not an array`},
	// type
	{`{}`, `A message needs a member "type"`},
	{`{"Type":"ping"}`, `A message needs a member "type"`},
	{`{"payload":{"type":"ping"}}`, `A message needs a member "type"`},
	{`{"type":null}`, `The member "type" of a message must be a string, not null`},
	{`{"type":1}`, `The member "type" of a message must be a string, not a number`},
	{`{"type":{}}`, `The member "type" of a message must be a string, not an object`},
	{`{"type":["ping"]}`, `The member "type" of a message must be a string, not an array`},
	{`{"type":true}`, `The member "type" of a message must be a string, not a boolean`},
	{`{"type":""}`, `Unknown message type ""`},
	{`{"type":"PING"}`, `Unknown message type "PING"`},
	{`{"type":"ping "}`, `Unknown message type "ping "`},
	{`{"type":"start","id":"1"}`, `Unknown message type "start"`},
	{`{"type":"stop","id":"1"}`, `Unknown message type "stop"`},
	{`{"type":"connection_terminate"}`, `Unknown message type "connection_terminate"`},
	{`{"type":"ping","type":"\n"}`, `Unknown message type "\n"`},
	{`{"type":"connection_ack"}`, `Only a server sends messages of type connection_ack`},
	{`{"type":"next","id":"1","payload":{}}`, `Only a server sends messages of type next`},
	{`{"type":"error","id":"1","payload":[]}`, `Only a server sends messages of type error`},
	// payload
	{`{"type":"connection_init","payload":"x"}`, `The payload of connection_init must be an object or null, not a string`},
	{`{"type":"connection_init","payload":[]}`, `The payload of connection_init must be an object or null, not an array`},
	{`{"type":"connection_init","payload":0}`, `The payload of connection_init must be an object or null, not a number`},
	{`{"type":"connection_init","payload":false}`, `The payload of connection_init must be an object or null, not a boolean`},
	{`{"type":"ping","payload":"x"}`, `The payload of ping must be an object or null, not a string`},
	{`{"type":"ping","payload":[]}`, `The payload of ping must be an object or null, not an array`},
	{`{"type":"pong","payload":"x"}`, `The payload of pong must be an object or null, not a string`},
	{`{"type":"pong","payload":[1]}`, `The payload of pong must be an object or null, not an array`},
	// id
	{`{"type":"complete"}`, `A message of type complete needs a member "id"`},
	{`{"type":"complete","id":null}`, `The id of complete must be a string, not null`},
	{`{"type":"complete","id":1}`, `The id of complete must be a string, not a number`},
	{`{"type":"complete","id":""}`, `The id of complete must not be empty`},
	{`{"type":"complete","id":"` + id255 + `i"}`, `The id of complete must not be longer than 255 bytes`},
	{`{"type":"subscribe","payload":{"query":"{a}"}}`, `A message of type subscribe needs a member "id"`},
	{`{"type":"subscribe","id":7,"payload":{"query":"{a}"}}`, `The id of subscribe must be a string, not a number`},
	{`{"type":"subscribe","id":["1"],"payload":{"query":"{a}"}}`, `The id of subscribe must be a string, not an array`},
	{`{"type":"subscribe","id":{},"payload":{"query":"{a}"}}`, `The id of subscribe must be a string, not an object`},
	{`{"type":"subscribe","id":true,"payload":{"query":"{a}"}}`, `The id of subscribe must be a string, not a boolean`},
	{`{"type":"subscribe","id":"","payload":{"query":"{a}"}}`, `The id of subscribe must not be empty`},
	{`{"type":"subscribe","id":"` + id255 + `i","payload":{"query":"{a}"}}`, `The id of subscribe must not be longer than 255 bytes`},
	{`{"type":"subscribe","id":"` + strings.Repeat("é", 128) + `","payload":{"query":"{a}"}}`, `The id of subscribe must not be longer than 255 bytes`},
	// subscribe
	{`{"type":"subscribe","id":"1"}`, `A message of type subscribe needs a member "payload"`},
	{`{"type":"subscribe","id":"1","payload":null}`, `The payload of subscribe must be an object, not null`},
	{`{"type":"subscribe","id":"1","payload":"{a}"}`, `The payload of subscribe must be an object, not a string`},
	{`{"type":"subscribe","id":"1","payload":[]}`, `The payload of subscribe must be an object, not an array`},
	{`{"type":"subscribe","id":"1","payload":7}`, `The payload of subscribe must be an object, not a number`},
	{`{"type":"subscribe","id":"1","payload":{}}`, `The payload of subscribe needs a member "query"`},
	{`{"type":"subscribe","id":"1","payload":{"query":null}}`, `The query of subscribe must be a string, not null`},
	{`{"type":"subscribe","id":"1","payload":{"query":{}}}`, `The query of subscribe must be a string, not an object`},
	{`{"type":"subscribe","id":"1","payload":{"query":["{a}"]}}`, `The query of subscribe must be a string, not an array`},
	{`{"type":"subscribe","id":"1","payload":{"query":7}}`, `The query of subscribe must be a string, not a number`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":7}}`, `The operationName of subscribe must be a string or null, not a number`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":{}}}`, `The operationName of subscribe must be a string or null, not an object`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":"{}"}}`, `The variables of subscribe must be an object or null, not a string`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}`, `The variables of subscribe must be an object or null, not an array`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":true}}`, `The variables of subscribe must be an object or null, not a boolean`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","extensions":"x"}}`, `The extensions of subscribe must be an object or null, not a string`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","extensions":[]}}`, `The extensions of subscribe must be an object or null, not an array`},
	{`{"type":"subscribe","id":"1","payload":{"query":"{a}","extensions":1}}`, `The extensions of subscribe must be an object or null, not a number`},
}

func TestMalformed(t *testing.T) {
	if len(malformed) < 60 {
		t.Errorf("%d messages, want 60", len(malformed))
	}
	for _, m := range malformed {
		for _, before := range []string{"", live1} {
			p := newPlayer(t, Options{})
			p.play(before)
			got := p.machine.Receive(nil, []byte(m.message), &p.tape)
			if len(got) == 0 || got[0].Kind != Close || got[0].Code != CodeBadRequest || !reasonIs(string(got[0].Data), m.reason) {
				t.Errorf("%.80q:\nwant close 4400 %s\n got %s", m.message, m.reason, p.render(got))
				continue
			}
			if want := 1 + 2*min(len(before), 1); len(got) != want { // Close, Leave, Complete
				t.Errorf("%.80q: %d actions, want %d", m.message, len(got), want)
			}
			if again := p.machine.Receive(nil, []byte(`{"type":"ping"}`), &p.tape); len(again) != 0 {
				t.Errorf("%.80q: the connection goes on", m.message)
			}
		}
	}
}

// reasonIs compares reasons; one that ends in a blank is a prefix.
func reasonIs(got, want string) bool {
	if strings.HasSuffix(want, " ") {
		return strings.HasPrefix(got, want) && len(got) > len(want)
	}
	return got == want
}

// TestTruncated cuts messages at every byte: no prefix of a message is another one.
func TestTruncated(t *testing.T) {
	for _, message := range []string{
		`{"type":"connection_init","payload":{"authorization":"Bearer é"}}`,
		`{"id":"1","type":"subscribe","payload":{"query":"subscription { a(s: \"\u00e9\") }","operationName":"S","variables":{"v":[1,{"w":null}]},"extensions":{}}}`,
		`{"id":"1","type":"complete"}`,
	} {
		for n := range message {
			p := newPlayer(t, Options{})
			got := p.machine.Receive(nil, []byte(message[:n]), &p.tape)
			if len(got) != 1 || got[0].Kind != Close || got[0].Code != CodeBadRequest || !utf8.Valid(got[0].Data) {
				t.Fatalf("%q: %s", message[:n], p.render(got))
			}
		}
	}
}

// TestMutated flips every byte of a message in several ways: whatever comes is answered legally.
func TestMutated(t *testing.T) {
	message := []byte(`{"id":"1","type":"subscribe","payload":{"query":"{a}","variables":{"v":1}}}`)
	for i := range message {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff, message[i]} {
			p := newPlayer(t, Options{})
			p.play(ready)
			mutant := append([]byte(nil), message...)
			mutant[i] ^= flip
			checkLegal(t, p, mutant, p.machine.Receive(nil, mutant, &p.tape))
		}
	}
}

// checkLegal checks what must be true of the actions that follow from any message.
func checkLegal(t testing.TB, p *player, message []byte, actions []Action) {
	t.Helper()
	for i := range actions {
		a := &actions[i]
		switch a.Kind {
		case Send, Pong:
			if !json.Valid(a.Data) || !utf8.Valid(a.Data) {
				t.Fatalf("%q: sends %q", message, a.Data)
			}
		case Close:
			legacy := p.machine.options.legacy // says why before it closes
			if !legacy && (i != 0 || len(a.Data) == 0) || i > 1 || len(a.Data) > maxReason || !utf8.Valid(a.Data) {
				t.Fatalf("%q: close %d with reason %q", message, a.Code, a.Data)
			}
			if p.machine.state != closed {
				t.Fatalf("%q: not closed after a close", message)
			}
		case Authenticate:
			if a.Data != nil && !json.Valid(a.Data) {
				t.Fatalf("%q: authenticate %q", message, a.Data)
			}
		case Subscribe:
			r := a.Request
			if r.ID == "" || len(r.EscapedID) == 0 || !json.Valid(append(append([]byte{'"'}, r.EscapedID...), '"')) ||
				!utf8.ValidString(r.Query) || !utf8.ValidString(r.OperationName) || a.Identity == nil ||
				r.Variables != nil && !json.Valid(r.Variables) || r.Extensions != nil && !json.Valid(r.Extensions) {
				t.Fatalf("%q: subscribe %+v", message, r)
			}
		case Complete:
			if a.Subscription == nil {
				t.Fatalf("%q: complete of nothing", message)
			}
		}
	}
}

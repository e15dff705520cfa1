package session

import (
	"strings"
	"testing"
)

const (
	subscribe1 = `
	> {"id":"1","type":"subscribe","payload":{"query":"subscription { a }"}}
	< subscribe 1 subscription { a }
`
	live1 = ready + subscribe1 + "\nsub 1\n"
)

// TestProtocol has the rules of graphql-transport-ws, one case for each (docs/conformance.md). Messages that
// are not well formed are in TestMalformed.
func TestProtocol(t *testing.T) {
	for _, group := range [][]protocolCase{initCases, pingCases, subscribeCases, preparingCases, heldCases, queryCases, completeCases, reuseCases, lateCases, closeCases} {
		for _, c := range group {
			t.Run(c.rule, func(t *testing.T) {
				newPlayer(t, c.options).play(c.script)
			})
		}
	}
}

type protocolCase struct {
	rule    string
	script  string
	options Options
}

var initCases = []protocolCase{
	{rule: "init is authenticated, then acknowledged", script: ready},
	{rule: "init with a null payload", script: `
		> {"type":"connection_init","payload":null}
		< authenticate`},
	{rule: "init with an empty payload", script: `
		> {"type":"connection_init","payload":{}}
		< authenticate {}`},
	{rule: "the payload of init is handed over as it is", script: `
		> {"payload":{"authorization":"Bearer x","n":{"a":[1,2]}},"type":"connection_init"}
		< authenticate {"authorization":"Bearer x","n":{"a":[1,2]}}`},
	{rule: "members that nobody knows are ignored", script: `
		> {"type":"connection_init","id":7,"x":[]}
		< authenticate`},
	{rule: "white space around and between", script: "> \t{ \"type\" :\t\"connection_init\" } \n< authenticate"},
	{rule: "the last one of repeated members counts", script: `
		> {"type":"ping","type":"connection_init"}
		< authenticate`},
	{rule: "type and members compare after unescaping", script: `
		> {"t\u0079pe":"connection\u005finit"}
		< authenticate`},
	{rule: "the acknowledgement can have a payload", script: `
		> {"type":"connection_init"}
		< authenticate
		auth ok {"v":1}
		< send {"type":"connection_ack","payload":{"v":1}}`},
	{rule: "4403: init is rejected", script: `
		> {"type":"connection_init"}
		< authenticate
		auth forbidden
		< close 4403 Forbidden
		> {"type":"ping"}`},
	{rule: "1013: init cannot be judged, and the reason tells nothing internal", script: `
		> {"type":"connection_init"}
		< authenticate
		auth broken
		< close 1013 Authentication is not available, try again later`},
	{rule: "4429: second init after the acknowledgement", script: ready + `
		> {"type":"connection_init"}
		< close 4429 Too many initialisation requests`},
	{rule: "4429: second init while the first is judged", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"type":"connection_init"}
		< close 4429 Too many initialisation requests
		auth ok`},
	{rule: "4408: no init in time", script: `
		timeout
		< close 4408 Connection initialisation timeout
		> {"type":"connection_init"}`},
	{rule: "4408: pings do not count as init", script: `
		> {"type":"ping"}
		< send {"type":"pong"}
		timeout
		< close 4408 Connection initialisation timeout`},
	{rule: "an init hook slower than the timeout", script: `
		> {"type":"connection_init"}
		< authenticate
		timeout
		auth ok
		< send {"type":"connection_ack"}`},
	{rule: "the timeout does not matter after the acknowledgement", script: live1 + `timeout`},
	{rule: "an identity that comes after the close is ignored", script: `
		> {"type":"connection_init"}
		< authenticate
		closed
		auth ok`},
	{rule: "an identity that nobody asked for is ignored", script: `
		auth ok
		> {"id":"1","type":"subscribe","payload":{"query":"{a}"}}
		< close 4401 Unauthorized`},
	{rule: "a second identity is ignored", script: ready + `auth forbidden`},
}

var pingCases = []protocolCase{
	{rule: "ping before init", script: `
		> {"type":"ping"}
		< send {"type":"pong"}`},
	{rule: "ping while init is judged", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"type":"ping"}
		< send {"type":"pong"}
		auth ok
		< send {"type":"connection_ack"}`},
	{rule: "ping while an operation is prepared", script: ready + subscribe1 + `
		> {"type":"ping"}
		< send {"type":"pong"}`},
	{rule: "ping with a null payload", script: `
		> {"type":"ping","payload":null}
		< send {"type":"pong"}`},
	{rule: "pong echoes the payload", script: `
		> {"type":"ping","payload":{"a":{"b":[1,"é"]}}}
		< send {"type":"pong","payload":{"a":{"b":[1,"é"]}}}`},
	{rule: "pong echoes an empty payload", script: `
		> {"type":"ping","payload":{}}
		< send {"type":"pong","payload":{}}`},
	{rule: "a payload above the bound is not echoed", options: Options{EchoBytes: 10}, script: `
		> {"type":"ping","payload":{"a":12}}
		< send {"type":"pong","payload":{"a":12}}
		> {"type":"ping","payload":{"a":1234567}}
		< send {"type":"pong"}`},
	{rule: "unsolicited pong before init", script: `> {"type":"pong"}`},
	{rule: "unsolicited pong with a payload", script: ready + `> {"type":"pong","payload":{"a":1}}`},
	{rule: "unsolicited pong with a null payload", script: ready + `> {"type":"pong","payload":null}`},
	{rule: "ping with an id", script: `
		> {"type":"ping","id":"1"}
		< send {"type":"pong"}`},
}

var subscribeCases = []protocolCase{
	{rule: "subscribe", script: live1},
	{rule: "4401: subscribe before init", script: `
		> {"id":"1","type":"subscribe","payload":{"query":"subscription { a }"}}
		< close 4401 Unauthorized`},
	{rule: "4401: subscribe while init is judged", script: `
		> {"type":"connection_init"}
		< authenticate
		> {"id":"1","type":"subscribe","payload":{"query":"subscription { a }"}}
		< close 4401 Unauthorized
		auth ok`},
	{rule: "4400 goes before 4401", script: `
		> {"id":"1","type":"subscribe","payload":{}}
		< close 4400 The payload of subscribe needs a member "query"`},
	{rule: "every member of the payload is handed over", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"subscription S { a }","operationName":"S","variables":{"v":[1]},"extensions":{"resume":true}}}
		< subscribe x subscription S { a } S {"v":[1]} {"resume":true}`},
	{rule: "null stands for absent", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"{a}","operationName":null,"variables":null,"extensions":null}}
		< subscribe x {a}`},
	{rule: "empty objects are objects", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"{a}","operationName":"","variables":{},"extensions":{}}}
		< subscribe x {a} {} {}`},
	{rule: "unknown members of the payload are ignored", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"{a}","key":"k","doc_id":7}}
		< subscribe x {a}`},
	{rule: "an empty query is the engine's affair", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":""}}
		< subscribe x
		errors 1 [{"message":"Syntax Error"}]
		< send {"id":"x","type":"error","payload":[{"message":"Syntax Error"}]}`},
	{rule: "escapes in the query", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"{a(s:\"\u00e9\\n\")}"}}
		< subscribe x {a(s:"é\n")}`},
	{rule: "half a surrogate pair in the query", script: ready + `
		> {"id":"x","type":"subscribe","payload":{"query":"{a(s:\"\ud800\")}"}}
		< subscribe x {a(s:"` + "\uFFFD" + `")}`},
	{rule: "refused before execution: error, and no complete; the socket stays open", script: ready + subscribe1 + `
		errors 1 [{"message":"no such field"}]
		< send {"id":"1","type":"error","payload":[{"message":"no such field"}]}
		> {"type":"ping"}
		< send {"type":"pong"}`},
	{rule: "an engine that says nothing is an internal error", script: ready + subscribe1 + `
		nothing 1
		< send {"id":"1","type":"error","payload":[{"message":"internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`},
	{rule: "4409: the id is in use", script: live1 + `
		> {"id":"1","type":"subscribe","payload":{"query":"{b}"}}
		< close 4409 Subscriber for 1 already exists
		< complete 1`},
	{rule: "4409: the id is in use while it is prepared", script: ready + subscribe1 + `
		> {"id":"1","type":"subscribe","payload":{"query":"{b}"}}
		< close 4409 Subscriber for 1 already exists
		sub 1
		< complete 1`},
	{rule: "4409: also for an operation of another type", script: ready + `
		> {"id":"q","type":"subscribe","payload":{"query":"query { a }"}}
		< subscribe q query { a }
		> {"id":"q","type":"subscribe","payload":{"query":"subscription { a }"}}
		< close 4409 Subscriber for q already exists`},
	{rule: "4409: ids compare after unescaping", script: ready + `
		> {"id":"a","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe a {a}
		> {"id":"\u0061","type":"subscribe","payload":{"query":"{a}"}}
		< close 4409 Subscriber for a already exists`},
	{rule: "4409: the reason shows the id as the client means it", script: ready + `
		> {"id":"a\"\u00e9","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe a"é {a}
		sub 1
		> {"id":"a\"é","type":"subscribe","payload":{"query":"{a}"}}
		< close 4409 Subscriber for a"é already exists
		< complete 1`},
	{rule: "ids are escaped in answers", script: ready + `
		> {"id":"\"\\\n\u0001\u00e9\/","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe "\ ` + "\u0001" + `é/ {a}
		errors 1 [{"message":"m"}]
		< send {"id":"\"\\\n\u0001é/","type":"error","payload":[{"message":"m"}]}`},
	{rule: "half a surrogate pair in the id comes back as it was", script: ready + `
		> {"id":"\ud800x","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe ` + "\uFFFD" + `x {a}
		result 1 {"data":{}}
		< send {"id":"\ud800x","type":"next","payload":{"data":{}}}
		< send {"id":"\ud800x","type":"complete"}`},
	{rule: "ids of 255 bytes", script: ready + `
		> {"id":"` + id255 + `","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe ` + id255 + ` {a}`},
	{rule: "several operations", script: ready + `
		> {"id":"1","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 1 {a}
		> {"id":"2","type":"subscribe","payload":{"query":"{b}"}}
		< subscribe 2 {b}
		sub 2
		sub 1
		> {"id":"1","type":"complete"}
		< complete 1
		> {"id":"2","type":"complete"}
		< complete 2`},
	{rule: "too many subscriptions: error, the socket stays open", options: Options{Subscriptions: 1}, script: live1 + `
		> {"id":"2","type":"subscribe","payload":{"query":"{b}"}}
		< send {"id":"2","type":"error","payload":[{"message":"this connection has as many subscriptions as it may have","extensions":{"code":"TOO_MANY_SUBSCRIPTIONS"}}]}
		> {"id":"1","type":"complete"}
		< complete 1
		> {"id":"2","type":"subscribe","payload":{"query":"{b}"}}
		< subscribe 2 {b}`},
	{rule: "too many subscriptions: those that are prepared count", options: Options{Subscriptions: 1}, script: ready + subscribe1 + `
		> {"id":"2","type":"subscribe","payload":{"query":"{b}"}}
		< send {"id":"2","type":"error","payload":[{"message":"this connection has as many subscriptions as it may have","extensions":{"code":"TOO_MANY_SUBSCRIPTIONS"}}]}`},
	{rule: "too many subscriptions: 4409 goes first", options: Options{Subscriptions: 1}, script: live1 + `
		> {"id":"1","type":"subscribe","payload":{"query":"{b}"}}
		< close 4409 Subscriber for 1 already exists
		< complete 1`},
}

var preparingCases = []protocolCase{
	{rule: "too much is being prepared: error, until an outcome is there", options: Options{PreparingBytes: 2048}, script: ready + `
		> {"id":"1","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 1 {a}
		> {"id":"2","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 2 {a}
		> {"id":"3","type":"subscribe","payload":{"query":"{a}"}}
		< send {"id":"3","type":"error","payload":[{"message":"too many operations of this connection are being prepared, subscribe again later","extensions":{"code":"RATE_LIMITED"}}]}
		sub 1
		> {"id":"3","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 3 {a}`},
	{rule: "too much is being prepared: what the client has completed counts", options: Options{PreparingBytes: 1024}, script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}
		> {"id":"2","type":"subscribe","payload":{"query":"{a}"}}
		< send {"id":"2","type":"error","payload":[{"message":"too many operations of this connection are being prepared, subscribe again later","extensions":{"code":"RATE_LIMITED"}}]}
		nothing 1
		> {"id":"2","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 2 {a}`},
	{rule: "too much is being prepared: one is always allowed", options: Options{PreparingBytes: 1}, script: ready + subscribe1 + `
		errors 1 [{"message":"m"}]
		< send {"id":"1","type":"error","payload":[{"message":"m"}]}` + subscribe1},
}

var longVariables = strings.Repeat("x", 1500)

var heldCases = []protocolCase{
	{rule: "too much is held: error, until an operation ends", options: Options{HeldBytes: 2048}, script: live1 + `
		> {"id":"2","type":"subscribe","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< subscribe 2 {b} {"v":"` + longVariables + `"}
		sub 2
		> {"id":"3","type":"subscribe","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< subscribe 3 {b} {"v":"` + longVariables + `"}
		> {"id":"4","type":"subscribe","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< send {"id":"4","type":"error","payload":[{"message":"the subscriptions of this connection hold too much, with variables that are too long","extensions":{"code":"LIMIT_EXCEEDED"}}]}
		> {"id":"5","type":"subscribe","payload":{"query":"{b}"}}
		< subscribe 5 {b}
		> {"id":"2","type":"complete"}
		< complete 2
		> {"id":"4","type":"subscribe","payload":{"query":"{b}","variables":{"v":"` + longVariables + `"}}}
		< subscribe 4 {b} {"v":"` + longVariables + `"}`},
}

var queryCases = []protocolCase{
	{rule: "a query: next, then complete", script: ready + `
		> {"id":"q","type":"subscribe","payload":{"query":"{ __typename }"}}
		< subscribe q { __typename }
		result 1 {"data":{"__typename":"Query"}}
		< send {"id":"q","type":"next","payload":{"data":{"__typename":"Query"}}}
		< send {"id":"q","type":"complete"}`},
	{rule: "a query with errors in its result", script: ready + subscribe1 + `
		result 1 {"data":null,"errors":[{"message":"m"}]}
		< send {"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"m"}]}}
		< send {"id":"1","type":"complete"}`},
	{rule: "the id of a query is free after its answer", script: ready + subscribe1 + `
		result 1 {"data":{}}
		< send {"id":"1","type":"next","payload":{"data":{}}}
		< send {"id":"1","type":"complete"}` + subscribe1 + `
		result 2 {"data":{}}
		< send {"id":"1","type":"next","payload":{"data":{}}}
		< send {"id":"1","type":"complete"}`},
	{rule: "a query that the client has completed is not answered", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}
		result 1 {"data":{}}`},
	{rule: "a query is answered once", script: ready + subscribe1 + `
		result 1 {"data":{}}
		< send {"id":"1","type":"next","payload":{"data":{}}}
		< send {"id":"1","type":"complete"}
		result 1 {"data":{}}`},
}

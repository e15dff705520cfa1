package session

import "strings"

var id255 = strings.Repeat("i", 255)

var completeCases = []protocolCase{
	{rule: "complete ends the subscription and is not echoed", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1`},
	{rule: "a second complete is ignored", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1
		> {"id":"1","type":"complete"}
		< retract 1`},
	{rule: "complete of an unknown id is ignored", script: ready + `> {"id":"nobody","type":"complete"}
		< retract nobody`},
	{rule: "complete before init is ignored", script: `> {"id":"1","type":"complete"}
		< retract 1`},
	{rule: "complete with a payload", script: live1 + `
		> {"id":"1","type":"complete","payload":[1]}
		< complete 1`},
	{rule: "complete while it is prepared: nothing is sent, not even an error", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}
		errors 1 [{"message":"m"}]`},
	{rule: "complete of an id with escapes", script: ready + `
		> {"id":"a\tb","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe a b {a}
		sub 1
		> {"id":"\u0061\u0009b","type":"complete"}
		< complete 1`},
	{rule: "complete after error is ignored", script: ready + subscribe1 + `
		errors 1 [{"message":"m"}]
		< send {"id":"1","type":"error","payload":[{"message":"m"}]}
		> {"id":"1","type":"complete"}
		< retract 1`},
	{rule: "the server ends: the id is free", script: live1 + `ended 1` + subscribe1 + `
		sub 2
		> {"id":"1","type":"complete"}
		< complete 2`},
	{rule: "the server ends while the client completes", script: live1 + `
		ended 1
		> {"id":"1","type":"complete"}
		< retract 1`},
	{rule: "the client completes while the server ends", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1
		ended 1`},
	{rule: "the server ends an operation before its result is known", script: ready + subscribe1 + `
		begin 1
		ended 1
		sub 1
		< complete 1
		> {"id":"1","type":"complete"}
		< retract 1`},
	{rule: "an ended subscription is not completed by the close", script: live1 + `
		ended 1
		closed`},
}

var reuseCases = []protocolCase{
	{rule: "an id is free at once after complete", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1` + subscribe1 + `sub 2`},
	{rule: "an id is free at once after error", script: ready + subscribe1 + `
		errors 1 [{"message":"m"}]
		< send {"id":"1","type":"error","payload":[{"message":"m"}]}` + subscribe1},
	{rule: "an id is free at once after complete while it is prepared", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}` + subscribe1 + `
		sub 2
		sub 1
		< complete 1
		> {"id":"1","type":"complete"}
		< complete 2`},
	{rule: "ended of the old one does not free the id of the new one", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1` + subscribe1 + `
		sub 2
		ended 1
		> {"id":"1","type":"complete"}
		< complete 2`},
	{rule: "ended of the old one does not free an id that is prepared", script: live1 + `
		> {"id":"1","type":"complete"}
		< complete 1` + subscribe1 + `
		ended 1
		> {"id":"1","type":"subscribe","payload":{"query":"{a}"}}
		< close 4409 Subscriber for 1 already exists`},
	{rule: "an id can be used a thousand times", script: ready + strings.Repeat(`
		> {"id":"1","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe 1 {a}
		> {"id":"1","type":"complete"}
`, 1000)},
}

var lateCases = []protocolCase{
	{rule: "a late subscription is completed silently", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}
		sub 1
		< complete 1`},
	{rule: "a late result does not answer the operation that uses the id now", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}` + subscribe1 + `
		result 1 {"data":{}}
		result 2 {"data":{"b":1}}
		< send {"id":"1","type":"next","payload":{"data":{"b":1}}}
		< send {"id":"1","type":"complete"}`},
	{rule: "a late refusal does not end the operation that uses the id now", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}` + subscribe1 + `
		errors 1 [{"message":"m"}]
		sub 2`},
	{rule: "a late beginning is refused", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}
		begin 1 refused
		nothing 1`},
	{rule: "a late beginning is refused when the id is in use", script: ready + subscribe1 + `
		> {"id":"1","type":"complete"}` + subscribe1 + `
		begin 1 refused
		begin 2
		sub 2
		nothing 1`},
	{rule: "complete between beginning and result", script: ready + subscribe1 + `
		begin 1
		> {"id":"1","type":"complete"}
		< complete 1
		sub 1
		< complete 1`},
	{rule: "a late subscription after the close", script: ready + subscribe1 + `
		closed
		sub 1
		< complete 1`},
	{rule: "a late beginning after the close", script: ready + subscribe1 + `
		closed
		begin 1 refused`},
	{rule: "a late result after the close", script: ready + subscribe1 + `
		closed
		result 1 {"data":{}}`},
	{rule: "a late refusal after the close", script: ready + subscribe1 + `
		shut 1012 restart
		< close 1012 restart
		errors 1 [{"message":"m"}]`},
}

var closeCases = []protocolCase{
	{rule: "the peer goes: every subscription is completed", script: live1 + `
		> {"id":"2","type":"subscribe","payload":{"query":"{b}"}}
		< subscribe 2 {b}
		> {"id":"3","type":"subscribe","payload":{"query":"{c}"}}
		< subscribe 3 {c}
		sub 3
		closed
		< complete 1
		< complete 3`},
	{rule: "the server closes: 1012", script: live1 + `
		shut 1012 Service restart
		< close 1012 Service restart
		< complete 1
		shut 1001 again
		closed
		timeout
		> {"type":"ping"}`},
	{rule: "the server closes before init", script: `
		shut 1001 Going away
		< close 1001 Going away
		> {"type":"connection_init"}`},
	{rule: "the server closes while init is judged", script: `
		> {"type":"connection_init"}
		< authenticate
		shut 4403 Revoked
		< close 4403 Revoked
		auth ok`},
	{rule: "4400 ends live subscriptions too", script: live1 + `
		> 7
		< close 4400 A message must be a JSON object, not a number
		< complete 1`},
	{rule: "4429 ends live subscriptions too", script: live1 + `
		> {"type":"connection_init"}
		< close 4429 Too many initialisation requests
		< complete 1`},
	{rule: "nothing is answered after a close", script: `
		> []
		< close 4400 A message must be a JSON object, not an array
		> {"type":"ping"}
		> {"type":"connection_init"}
		> nonsense
		timeout
		closed`},
	{rule: "an end that is not written yet is taken back by complete", script: live1 + `
		ending 1
		> {"id":"1","type":"complete"}
		< complete 1
		> {"id":"1","type":"subscribe","payload":{"query":"subscription {b}"}}
		< subscribe 1 subscription {b}`},
	{rule: "and by another operation of the same id", script: live1 + `
		ending 1
		> {"id":"1","type":"subscribe","payload":{"query":"subscription {b}"}}
		< complete 1
		< subscribe 1 subscription {b}
		ended 1
		> {"id":"1","type":"subscribe","payload":{"query":"subscription {c}"}}
		< close 4409 Subscriber for 1 already exists`},
	{rule: "an end that is written is none's any more", script: live1 + `
		ended 1
		> {"id":"1","type":"complete"}
		< retract 1
		> {"id":"1","type":"subscribe","payload":{"query":"subscription {b}"}}
		< subscribe 1 subscription {b}`},
	{rule: "a reason is cut to 123 bytes", script: `
		> {"type":"` + strings.Repeat("x", 200) + `"}
		< close 4400 Unknown message type "` + strings.Repeat("x", 123-len(`Unknown message type "`))},
	{rule: "a reason is cut at a character", script: `
		> {"type":"` + strings.Repeat("é", 100) + `"}
		< close 4400 Unknown message type "` + strings.Repeat("é", (123-len(`Unknown message type "`))/2)},
	{rule: "the reason of 4409 is cut too", script: ready + `
		> {"id":"` + id255 + `","type":"subscribe","payload":{"query":"{a}"}}
		< subscribe ` + id255 + ` {a}
		> {"id":"` + id255 + `","type":"subscribe","payload":{"query":"{a}"}}
		< close 4409 Subscriber for ` + strings.Repeat("i", 123-len("Subscriber for "))},
}

package secrets

import (
	"fmt"
	"net/url"
	"strings"
)

func (w *world) init(user string) string {
	return `{"type":"connection_init","payload":{"authorization":"Bearer ` + w.token(user) + `"}}`
}

func (w *world) subscribe(id, query string) string {
	return fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q,"operationName":null,"variables":{"v":%q}}}`, said+id, query, said+"-variable")
}

// documents are right and wrong ones that can be recognised.
var documents = []string{
	`subscription { orders(status: "` + said + `-status") { ` + strings.ReplaceAll(said, "-", "_") + `: id } }`,
	`subscription { ` + strings.ReplaceAll(said, "-", "_") + ` { id } }`,
	`subscription { orders { id "` + said + `-syntax" } }`,
	`subscription { orders { secret } } # ` + said + `-forbidden`,
	`subscription ($v: String) { orders(status: $v) { id } } # ` + said + `-broken`,
	`query { __schema { types { name } } } # ` + said,
	strings.Repeat("{ a ", 100) + said,
}

// overHTTP asks by every way that there is without a WebSocket.
func (w *world) overHTTP() {
	graphql := w.server.URL("/graphql")
	right, js := []string{"Authorization", "Bearer " + w.token("-user")}, []string{"Content-Type", "application/json"}
	for _, accept := range []string{"application/json", "text/event-stream", `multipart/mixed;subscriptionSpec="1.0"`, "application/json;callbackSpec=1.0", said + "/nothing"} {
		for _, document := range documents {
			body := fmt.Sprintf(`{"query":%q,"operationName":null,"variables":{"v":"%s-variable"},"extensions":{"%s-extension":1,
				"subscription":{"callbackUrl":"http://127.0.0.1:1/%s","subscriptionId":"%s-id","verifier":"%s-verifier","heartbeatIntervalMs":0}}}`, document, said, said, said, said, said)
			w.ask("POST", graphql, body, append(append([]string{"Accept", accept, "User-Agent", said + "-agent", "Last-Event-ID", said}, right...), js...)...)
		}
		w.ask("GET", graphql+"?"+url.Values{"query": {documents[0]}, "token": {said + "-stream"}, "access_token": {w.token("-query")}, "authorization": {w.token("-query")}}.Encode(), "", "Accept", accept)
		w.ask("POST", graphql, said, append([]string{"Accept", accept, "Authorization", "Bearer " + said + ".x.y"}, js...)...)
		w.ask("POST", graphql, `{"query":"{ a }"}`, append([]string{"Accept", accept, "Cookie", "session=" + w.token("-cookie")}, js...)...)
		w.ask("POST", graphql, `{"query":"{ a }"}`, append([]string{"Accept", accept, "Authorization", "Basic " + said, "Origin", "https://" + said + ".example"}, js...)...)
	}
	for range 10 { // the log has them as debug lines when they are many
		w.ask("POST", graphql, `{"query":"{ a }"}`, append([]string{"Authorization", "Bearer " + said + ".x.y"}, js...)...)
	}
	stream := w.ask("PUT", graphql, "", right...)
	for _, token := range []string{stream, stream + said, said + "-stream"} {
		w.ask("POST", graphql, fmt.Sprintf(`{"query":%q,"extensions":{"operationId":%q}}`, documents[0], said), append(append([]string{"X-GraphQL-Event-Stream-Token", token}, right...), js...)...)
		w.ask("DELETE", graphql+"?token="+url.QueryEscape(token)+"&operationId="+said, "", right...)
	}
	for _, path := range []string{"/graphql/refresh", "/" + said, "/graphql/" + said, "/events/" + said, "/%2e%2e/" + said} {
		w.ask("POST", w.server.URL(path), said, "X-FraiseQL-Stream", said+"-stream", "Authorization", "Bearer "+w.token("-refresh"))
	}
}

// overWebSockets says right and wrong things in both protocols.
func (w *world) overWebSockets() {
	ws := "ws://" + w.server.Addr + "/graphql"
	var all []string
	for i, document := range documents {
		all = append(all, w.subscribe(fmt.Sprint(i), document))
	}
	w.talk(ws, append([]string{w.init("-user")}, all...)...)
	for _, messages := range [][]string{
		{w.init("-broken")}, // the hook does not judge
		{`{"type":"connection_init","payload":{"authorization":"Bearer ` + said + `.a.b"}}`},
		{`{"type":"connection_init","payload":{"authorization":"` + said + `","token":"` + said + `"}}`},
		{w.init("-user"), w.init("-user")},
		{w.init("-user"), `{"type":"` + said + `"}`},
		{w.init("-user"), said},
		{w.init("-user"), w.subscribe("1", allowedRoom), w.subscribe("1", allowedRoom)},
		{w.init("-user"), `{"id":"1","type":"subscribe","payload":{"query":"` + allowedRoom + `","extensions":{"resume":"` + said + `"}}}`},
		{w.init("-user"), `{"type":"ping","payload":{"authorization":"Bearer ` + said + `"}}`},
		{w.init("-user"), `{"type":"ping","payload":{"authorization":"Bearer ` + w.token("-other") + `"}}`},
		{w.subscribe("1", allowedRoom)},
	} {
		w.talk(ws, messages...)
		w.talk(ws+"?token="+w.token("-query")+"&"+said, messages...)
	}
}

// publishing tries the door for events.
func (w *world) publishing() {
	events := w.server.URL("/events")
	right, js := []string{"Authorization", "Bearer " + secrets["publish token"]}, []string{"Content-Type", "application/json"}
	good := `{"channel":"orders","type":"` + said + `-type","id":"` + said + `-id","tenant_id":"` + said + `-tenant","user_id":"` + said + `-user","data":{"id":"` + said + `","tenant":"` + said + `-tenant","secret":"` + said + `"}}`
	for _, body := range []string{
		good, `[` + good + `,` + good + `]`, said, `{"channel":"` + said + ` "}`, `{"channel":"__` + said + `","type":"t","data":{}}`,
		`{"channel":"orders","type":"t","` + said + `":1,"data":{}}`, strings.Replace(good, `"tenant":"`+said, `"tenant":"x`, 1), `{"channel":"orders","type":"t","data":{"id":"` + said + `"}}`,
	} {
		w.ask("POST", events+"?token="+said, body, append(right, js...)...)
		w.ask("POST", events, body, append([]string{"Authorization", "Bearer " + secrets["publish token"] + said}, js...)...)
		w.ask("POST", events, body, append(right, "Content-Type", "application/"+said)...)
	}
}

// operating tries the operators' listener.
func (w *world) operating() {
	revocations := "http://" + w.admin + "/revocations"
	right, js := []string{"Authorization", "Bearer " + secrets["admin.token"]}, []string{"Content-Type", "application/json"}
	for _, body := range []string{`{"user_id":"` + said + `-gone","tenant_id":"` + said + `-tenant"}`, `{"token_id":"` + said + `"}`, said, `{"` + said + `":1}`} {
		w.ask("POST", revocations, body, append(right, js...)...)
		w.ask("POST", revocations, body, append([]string{"Authorization", "Bearer " + secrets["admin.token"] + said}, js...)...)
	}
}

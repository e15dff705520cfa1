package clients

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestBrowserCompression lets a browser inflate: it agrees to permessage-deflate and reads long results whole.
func TestBrowserCompression(t *testing.T) {
	server := testkit.Serve(t, "--demo", "--set", "websocket.compression=on")
	p := startBrowser(t).open(server.URL("/graphql"))
	text := strings.Repeat("long and long äöü ", 100)
	got := p.evaluate(fmt.Sprintf(`new Promise((resolve) => {
		const s = new WebSocket("ws://%s/graphql", "graphql-transport-ws");
		let timer;
		s.onopen = () => s.send(JSON.stringify({type: "connection_init"}));
		s.onmessage = ({data}) => {
			const m = JSON.parse(data);
			if (m.type === "connection_ack") {
				s.send(JSON.stringify({id: "1", type: "subscribe", payload: {query: 'subscription { chat(room: "z") { text } }'}}));
				timer = setInterval(() => fetch("/events", {method: "POST", headers: {"Content-Type": "application/json"},
					body: JSON.stringify({channel: "chat", type: "message.posted", data: {room: "z", author: "a", text: %q}})}), 50);
			}
			if (m.type === "next") { clearInterval(timer); resolve(s.extensions + " " + m.payload.data.chat.text); s.close(); }
		};
		s.onclose = ({code, reason}) => resolve("closed " + code + " " + reason);
	})`, server.Addr, text))
	if want := "permessage-deflate; server_no_context_takeover; client_no_context_takeover " + text; got != want {
		t.Errorf("got %.200v", got)
	}
}

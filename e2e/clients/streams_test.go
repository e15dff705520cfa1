package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// audits runs the suite of graphql-http against a server and returns what is not `ok`, as id: status.
func audits(t *testing.T, args ...string) map[string]string {
	t.Helper()
	server := testkit.Serve(t, append([]string{"--config", configFile(t), "--introspection"}, args...)...)
	task, err := json.Marshal(map[string]string{"url": server.URL("/graphql"), "token": acme(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("node", "audits.mjs", string(task))
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v (make deps installs what the client tests need)\n%s", err, &stderr)
	}
	count, other := 0, map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); count++ {
		var line struct{ ID, Name, Status, Reason string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Status != "ok" {
			other[line.ID] = line.Status
			t.Logf("%s %s: %s: %s", line.ID, line.Name, line.Status, line.Reason)
		}
	}
	if count != 61 {
		t.Errorf("%d audits, want 61", count)
	}
	return other
}

// TestAudits runs the 61 audits of GraphQL over HTTP. With graphql_http: draft those are in a warning that want the
// status codes of before; docs/reference/http.md lists them.
func TestAudits(t *testing.T) {
	if diff := cmp.Diff(map[string]string{}, audits(t)); diff != "" {
		t.Errorf("audits (-want +got):\n%s", diff)
	}
	want := map[string]string{"572B": "warn", "FDE2": "warn", "7B9B": "warn", "86EE": "warn"}
	for _, id := range []string{"3E3A", "423L", "4760", "4761", "4762", "4763", "58B0", "58B1", "58B2", "58B3", "6C00", "6C01", "6C02", "6C03", "LKJ0", "LKJ1", "LKJ2", "LKJ3"} {
		want[id] = "notice" // each says that 400 MAY be used
	}
	if diff := cmp.Diff(want, audits(t, "--set", "graphql_http=draft")); diff != "" {
		t.Errorf("audits of the draft (-want +got):\n%s", diff)
	}
	documented, err := os.ReadFile("../../docs/reference/http.md")
	if err != nil {
		t.Fatal(err)
	}
	for id := range want {
		if !regexp.MustCompile(`\n\| (.*, )?` + id + `(, .*)? \| `).Match(documented) {
			t.Errorf("docs/reference/http.md says nothing of audit %s", id)
		}
	}
}

// streaming are the clients that subscribe over plain HTTP.
func streaming() (list []client) {
	for _, c := range clients() {
		switch c.name {
		case "graphql-sse", "graphql-sse-single", "apollo-multipart", "urql-sse", "urql-multipart", "relay-sse":
			list = append(list, c)
		}
	}
	return list
}

// TestStreamsComeBackWithAFreshToken lets a token expire while its stream is live: the stream ends without complete,
// and the client subscribes again.
func TestStreamsComeBackWithAFreshToken(t *testing.T) {
	for _, c := range streaming() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := testkit.Serve(t, "--config", configFile(t))
			short := acme(t, map[string]any{"exp": time.Now().Add(4 * time.Second).Unix()})
			tokens := []string{short, acme(t, nil)}
			s := &subscriber{t: t, server: server, Script: run(t, c, server.Addr, document, map[string]any{"status": "paid"}, tokens...)}
			s.awaitLive()
			s.expectBatch()
			end := time.Now().Add(6 * time.Second)
			for time.Now().Before(end) { // beyond the expiry
				s.publish()
				s.next(100 * time.Millisecond)
			}
			s.awaitLive()
			s.expectBatch()
			s.Stop()
		})
	}
}

// TestSingleConnectionBehindABalancer puts two nodes behind a TCP balancer, so that the requests of one client reach
// either: the node that does not have its stream forwards to the one that does. Then one node is killed.
func TestSingleConnectionBehindABalancer(t *testing.T) {
	nodes := twoNodes(t)
	balancer := testkit.NewProxy(t, nodes[0].Addr, nodes[1].Addr)
	var scripts []*subscriber
	for range 4 {
		scripts = append(scripts, &subscriber{t: t, server: nodes[0], Script: run(t, client{command: node("graphql-sse.mjs", "single")}, balancer.Addr, document, map[string]any{"status": "paid"})})
	}
	number := 0
	live := nodes[:]
	publish := func() { // each node has its own memory bus
		number++
		for _, n := range live {
			n.Publish(publishToken, order(number, "acme", "paid"))
		}
	}
	everybody := func() {
		t.Helper()
		for _, s := range scripts {
			for deadline := time.Now().Add(patience); s.next(100*time.Millisecond) == 0; publish() {
				if time.Now().After(deadline) {
					t.Fatalf("nothing arrived\n%s", s.Stderr())
				}
			}
		}
		publish()
		for _, s := range scripts {
			for got := 0; got != number; {
				if got = s.next(patience); got == 0 {
					t.Fatalf("order %d did not arrive\n%s", number, s.Stderr())
				}
			}
		}
		for range batch {
			publish()
		}
		for _, s := range scripts {
			for want := number - batch + 1; want <= number; want++ {
				if got := s.next(patience); got != want {
					t.Fatalf("received order %d, want %d", got, want)
				}
			}
		}
	}
	everybody()
	nodes[0].Kill()
	live = nodes[1:]
	everybody()
	for _, s := range scripts {
		s.Stop()
	}
}

// eventSource opens an EventSource in a page, which notes what it hears.
const eventSource = `(() => {
	window.heard = []; window.opened = 0;
	const parameters = new URLSearchParams({ query: "subscription { chat(room: \"r\") { text } }", extensions: JSON.stringify({ resume: true }) });
	const source = new EventSource("/graphql?" + parameters);
	source.onopen = () => window.opened++;
	source.addEventListener("next", (event) => window.heard.push([event.lastEventId, JSON.parse(event.data)]));
	source.addEventListener("complete", () => source.close());
	return true;
})()`

// texts are the messages that the page has heard, without what only says where it stands.
const texts = `window.heard.map(([, result]) => result.data?.chat?.text).filter((text) => text !== undefined).join()`

func say(server *testkit.Server, text string) {
	server.Publish("", map[string]any{"channel": "chat", "type": "message.posted", "data": map[string]any{"room": "r", "author": "a", "text": text}})
}

// TestEventSource subscribes with the browser's own EventSource, over HTTP/1.1: every event has an id, and after a lost
// connection the browser sends the last one and gets what it missed, no more and no less.
func TestEventSource(t *testing.T) {
	server := testkit.Serve(t, "--demo")
	proxy := testkit.NewProxy(t, server.Addr)
	p := startBrowser(t).open("http://" + proxy.Addr + "/graphql")
	p.evaluate(eventSource)
	p.await(`window.heard.length > 0`)
	say(server, "one")
	say(server, "two")
	p.await(texts + ` === "one,two"`)
	p.await(`window.heard.every(([id]) => id !== "")`)
	proxy.Drop()
	say(server, "three")
	p.await(`window.opened === 2`)
	say(server, "four")
	p.await(texts + ` === "one,two,three,four"`)
}

// TestEventSourceOverHTTP2 does so over TLS, where browsers use HTTP/2: more streams than HTTP/1.1 would allow.
func TestEventSourceOverHTTP2(t *testing.T) {
	server := testkit.ServeTLS(t, testkit.NewCertificate(t, t.TempDir(), 1), "--demo")
	p := startBrowser(t, "--ignore-certificate-errors").open(server.URL("/graphql"))
	p.evaluate(`(() => {
		window.sources = Array.from({ length: 20 }, () => {
			const source = new EventSource("/graphql?" + new URLSearchParams({ query: "subscription { chat(room: \"r\") { text } }" }));
			source.heard = 0;
			source.addEventListener("next", () => source.heard++);
			return source;
		});
		return true;
	})()`)
	p.await(`window.sources.every((source) => source.readyState === EventSource.OPEN)`)
	say(server, "one")
	p.await(`window.sources.every((source) => source.heard === 1)`)
	if got := p.evaluate(`performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/graphql?")).every((entry) => entry.nextHopProtocol === "h2" || entry.nextHopProtocol === "")`); got != true {
		t.Error("a stream came over another protocol than HTTP/2")
	}
	p.evaluate(`window.sources.forEach((source) => source.close())`)
}

// TestStreamGuide runs the programs of docs/guides/streams.md against the demo.
func TestStreamGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/streams.md")
	if err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, "--demo")
	programs := map[string][]string{}
	for i, part := range strings.Split(string(text), "\n```") {
		language, program, _ := strings.Cut(part, "\n")
		program = strings.ReplaceAll(program, "http://127.0.0.1:4000", server.URL(""))
		switch {
		case language == "sh" && strings.Contains(program, "curl -N"):
			programs["curl"] = []string{"bash", "-c", strings.Replace(program, "curl", "exec curl -s", 1)}
		case language == "js":
			name := fmt.Sprintf("guide-%d.mjs", i) // beside the modules that it imports
			if err := os.WriteFile(name, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(name) })
			programs[name] = []string{"node", name}
		}
	}
	if len(programs) != 4 {
		t.Errorf("%d programs, want 4", len(programs))
	}
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			out := &output{found: make(chan struct{})}
			running := exec.CommandContext(t.Context(), command[0], command[1:]...)
			running.Stdout, running.Stderr = out, out
			if err := running.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = running.Process.Kill()
				_ = running.Wait() // it was killed
			}()
			deadline, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-out.found:
					return
				case <-tick.C:
					server.Publish("", map[string]any{"channel": "chat", "type": "message.posted", "data": map[string]any{"room": "lobby", "author": "guide", "text": "hello from the guide"}})
				case <-deadline:
					t.Fatalf("it does not print the message, but\n%s", out.text.String())
				}
			}
		})
	}
}

// output looks for the message in what a program prints. Its Write is called by one goroutine.
type output struct {
	text  strings.Builder
	found chan struct{}
	done  bool
}

func (o *output) Write(p []byte) (int, error) {
	o.text.Write(p)
	if !o.done && strings.Contains(o.text.String(), "hello from the guide") {
		o.done = true
		close(o.found)
	}
	return len(p), nil
}

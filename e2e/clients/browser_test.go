package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// browser is a running Chromium behind browser.mjs.
type browser struct {
	t       *testing.T
	stdin   io.WriteCloser
	answers *bufio.Reader
	stderr  strings.Builder
}

// chromium returns the path of an installed Chromium or Chrome.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if file, err := exec.LookPath(name); name != "" && err == nil {
			return file
		}
	}
	t.Fatal("no Chromium found: `make deps` installs it, or set CHROMIUM to its path")
	return ""
}

// startBrowser starts a headless browser, with flags of its own besides, and ends it with the test.
func startBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	b := &browser{t: t}
	command := exec.Command("node", append([]string{"browser.mjs", chromium(t)}, flags...)...)
	command.Stderr = &b.stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.stdin, b.answers = stdin, bufio.NewReader(stdout)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		timer := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
		defer timer.Stop()
		if err := command.Wait(); err != nil {
			t.Errorf("browser.mjs: %v\n%s", err, &b.stderr)
		}
	})
	return b
}

// do sends a command and decodes its result.
func (b *browser) do(command map[string]any, result any) {
	b.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.stdin.Write(append(line, '\n')); err != nil {
		b.t.Fatalf("browser.mjs: %v\n%s", err, &b.stderr)
	}
	text, err := b.answers.ReadBytes('\n')
	if err != nil {
		b.t.Fatalf("browser.mjs: %v\n%s", err, &b.stderr)
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		b.t.Fatal(err)
	}
	if answer.Error != "" {
		b.t.Fatalf("%s: %s", line, answer.Error)
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		b.t.Fatalf("%s: %v in %s", line, err, answer.Result)
	}
}

// page is one tab.
type page struct {
	b      *browser
	number int
}

func (b *browser) open(url string) *page {
	b.t.Helper()
	p := &page{b: b}
	b.do(map[string]any{"open": url}, &p.number)
	return p
}

// evaluate returns the value of a JavaScript expression as JSON would print it.
func (p *page) evaluate(expression string) any {
	p.b.t.Helper()
	var value any
	p.b.do(map[string]any{"page": p.number, "evaluate": expression}, &value)
	return value
}

// await waits until a JavaScript expression is truthy.
func (p *page) await(expression string) {
	p.b.t.Helper()
	poll := fmt.Sprintf(`new Promise((resolve) => {
		const end = Date.now() + %d;
		const look = () => (%s) ? resolve(true) : Date.now() > end ? resolve(false) : setTimeout(look, 20);
		look();
	})`, patience.Milliseconds(), expression)
	if p.evaluate(poll) != true {
		p.b.t.Fatalf("not so after %v: %s\nthe page's text: %v", patience, expression, p.evaluate("document.body.innerText"))
	}
}

// problems returns what the browser complained about.
func (p *page) problems() []string {
	p.b.t.Helper()
	var list []string
	p.b.do(map[string]any{"page": p.number, "problems": true}, &list)
	return list
}

// picture writes a screenshot into the folder that SCREENSHOTS names, if it is set.
func (p *page) picture(name string, dark bool) {
	p.b.t.Helper()
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		var none any
		p.b.do(map[string]any{"page": p.number, "screenshot": dir + "/" + name + ".png", "dark": dark}, &none)
	}
}

// say types a message into the chat form and submits it.
func (p *page) say(text string) {
	p.b.t.Helper()
	p.evaluate(fmt.Sprintf(`byId("text").value = %q, byId("chat").requestSubmit(), true`, text))
}

// sayUntilHeard says it again and again, for a room whose subscription may not be live yet.
func (p *page) sayUntilHeard(text string) {
	p.b.t.Helper()
	p.await(fmt.Sprintf(`(byId("text").value = %q, byId("chat").requestSubmit(), byId("messages").innerText.includes(%q))`, text, text))
}

// hears waits for a message in the chat.
func (p *page) hears(text string) {
	p.b.t.Helper()
	p.await(fmt.Sprintf(`byId("messages").innerText.includes(%q)`, text))
}

// TestDemoPage looks at the demo as its visitors do: the graph moves, the filter filters, tabs chat by room, and
// all of it goes on after the server was restarted.
func TestDemoPage(t *testing.T) {
	server := testkit.Serve(t, "--demo")
	b := startBrowser(t)
	first, second := b.open(server.URL("/")), b.open(server.URL("/"))
	for _, p := range []*page{first, second} {
		p.await(`byId("graph").dataset.samples >= 3`)
		p.await(`byId("status").dataset.state === "open"`)
		p.await(`byId("busy").rows.length > 0`)
	}
	first.await(`/^[0-9.]+ %$/.test(byId("cpu").innerText) && /GiB$|MiB$/.test(byId("memory").innerText)`)
	drawn := `byId("graph").getContext("2d").getImageData(0, 0, byId("graph").width, byId("graph").height).data.some((v) => v > 0)`
	if first.evaluate(drawn) != true {
		t.Error("the graph is empty")
	}

	first.say("hello <b>all</b> 🍓")
	first.hears("hello <b>all</b> 🍓")
	second.hears("hello <b>all</b> 🍓")
	first.picture("demo-light", false)
	first.picture("demo-dark", true)

	// Another room: what is said in the lobby stays there. The garden's own messages before and after it prove
	// that its subscription lives.
	second.evaluate(`byId("room").value = "garden", byId("room").dispatchEvent(new Event("change")), true`)
	second.sayUntilHeard("in the garden")
	first.say("only for the lobby")
	first.hears("only for the lobby")
	second.say("the garden again")
	second.hears("the garden again")
	if second.evaluate(`byId("messages").innerText.includes("lobby")`) != false {
		t.Error("a message reached another room")
	}

	first.evaluate(`byId("minimum").value = "100", byId("minimum").dispatchEvent(new Event("input")), true`)
	first.await(`byId("minimum-shown").innerText === "100 %"`)

	if problems := append(first.problems(), second.problems()...); len(problems) > 0 {
		t.Errorf("the browser complained: %q", problems)
	}

	server.Kill()
	first.await(`byId("status").dataset.state === "waiting"`)
	server.Start()
	first.await(`byId("status").dataset.state === "open"`)
	before := first.evaluate(`Number(byId("graph").dataset.samples)`)
	first.await(fmt.Sprintf(`byId("graph").dataset.samples > %v + 1`, before))
}

// TestDevPage subscribes with the page at /graphql: its first document comes from the schema, results appear,
// and what the server refuses is shown.
func TestDevPage(t *testing.T) {
	server := testkit.Serve(t, "--demo")
	p := startBrowser(t).open(server.URL("/graphql"))
	p.await(`byId("fields").children.length >= 4`)
	p.await(`byId("document").value.includes("machine {")`)
	p.evaluate(`byId("operation").requestSubmit(), true`)
	p.await(`byId("results").children.length >= 2`)
	p.await(`byId("results").innerText.includes('"cpu":')`)
	p.picture("devpage-light", false)
	p.picture("devpage-dark", true)

	p.evaluate(`byId("document").value = "subscription { chat(room: \"r\") { text } }", byId("operation").requestSubmit(), true`)
	p.evaluate(`byId("event").value = JSON.stringify({channel: "chat", type: "message.posted", data: {room: "r", author: "a", text: "from the page"}}), true`)
	p.await(`(byId("publish").requestSubmit(), byId("results").innerText.includes("from the page"))`)

	p.evaluate(`byId("document").value = "subscription { nothing }", byId("operation").requestSubmit(), true`)
	p.await(`byId("problem").innerText.startsWith("GRAPHQL_VALIDATION_FAILED: line 1, column 16")`)
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("the browser complained: %q", problems)
	}
}

// TestDevPageOfWrappedTypes shows fields whose types are lists within lists.
func TestDevPageOfWrappedTypes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.graphql")
	schema := `
type Reading { grid: [[Float!]!]! cube: [[[Float!]!]!]! }
type Subscription { readings: Reading! @source(channel: "readings") }`
	if err := os.WriteFile(file, []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, "--dev", "--schema", file)
	p := startBrowser(t).open(server.URL("/graphql"))
	p.await(`byId("document").value.includes("readings {\n    grid\n    cube\n  }")`)
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("the browser complained: %q", problems)
	}
}

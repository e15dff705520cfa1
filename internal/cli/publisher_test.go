package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scripted answers requests one after the other and keeps the ids that it was sent.
type scripted struct {
	answers []string // "status accepted" or "status accepted retry-after"
	bodies  [][]string
	auth    []string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var ids []string
	for line := range bytes.Lines(raw) {
		var ev struct{ ID string }
		if json.Unmarshal(line, &ev) != nil {
			ev.ID = "unreadable"
		}
		ids = append(ids, ev.ID)
	}
	answer := s.answers[min(len(s.bodies), len(s.answers)-1)]
	s.bodies = append(s.bodies, ids)
	s.auth = append(s.auth, r.Header.Get("Authorization"))
	var status, accepted, retry int
	_, _ = fmt.Sscan(answer, &status, &accepted, &retry)
	if retry > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(retry))
	}
	w.WriteHeader(status)
	if status == 202 || accepted > 0 {
		_, _ = fmt.Fprintf(w, `{"accepted":%d}`, accepted)
		return
	}
	_, _ = io.WriteString(w, `{"errors":[{"code":"INVALID_VALUE","message":"is wrong","index":1,"member":"type"}]}`)
}

func input(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"%d\",\"channel\":\"c\",\"type\":\"t\",\"data\":{}}\n", i)
	}
	return b.String()
}

// publish runs the command in this process.
func publish(t *testing.T, s http.Handler, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	srv := httptest.NewServer(s)
	defer srv.Close()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Environ: []string{"FRAISEQL_TOKEN=the-token"}}
	code = Run(t.Context(), append([]string{"publish", "--url", srv.URL}, args...), env)
	return code, out.String(), errs.String()
}

func TestPublishSendsAgainWhatWasNotAccepted(t *testing.T) {
	s := &scripted{answers: []string{"503 1", "502 0", "202 2", "202 1"}}
	code, out, errs := publish(t, s, input(4), "--batch", "3")
	if code != 0 || out != "{\"accepted\":4}\n" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	want := [][]string{{"0", "1", "2"}, {"1", "2"}, {"1", "2"}, {"3"}}
	if diff := cmp.Diff(want, s.bodies); diff != "" {
		t.Error(diff)
	}
	if s.auth[0] != "Bearer the-token" {
		t.Errorf("Authorization %q", s.auth[0])
	}
	if !strings.Contains(errs, "trying again in") {
		t.Errorf("nothing is said: %s", errs)
	}
}

func TestPublishGivesUp(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		args         []string
		code         int
		stderr       string
	}{
		{"refused", "422 0", nil, 1, "INVALID_VALUE: event 2: type: is wrong"},
		{"unavailable", "503 0", []string{"--wait", "1ms"}, 3, "the server answered 503 Service Unavailable"},
		{"told to wait for too long", "429 0 3600", []string{"--wait", "1s"}, 3, "429 Too Many Requests"},
		{"less accepted than sent", "202 1", nil, 1, "accepted 1 events less"},
		{"error of a proxy", "404 0", nil, 1, "Is --url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := publish(t, &scripted{answers: []string{c.answer}}, input(2), c.args...)
			if code != c.code || out != "" || !strings.Contains(errs, c.stderr) {
				t.Errorf("%d %q %q", code, out, errs)
			}
		})
	}
}

// What is no FraiseQL server is told as that: a redirect with where it leads.
func TestPublishElsewhere(t *testing.T) {
	for _, c := range []struct {
		name, location string
		status         int
		stderr         string
	}{
		{"moved", "/other/events", 301, "redirects to http://%s/other/events: give that as --url"},
		{"found", "https://events.example/", 302, "redirects to https://events.example/: give that as --url"},
		{"see other", "/other", 303, "redirects to http://%s/other: give that as --url"},
		{"redirect to nowhere", "", 301, "301 Moved Permanently\nIs --url http://%s/events the address of a FraiseQL server?"},
		{"a page", "", 200, "200 OK\nIs --url http://%s/events the address of a FraiseQL server?"},
		{"no POST", "", 405, "405 Method Not Allowed\nIs --url http://%s/events the address of a FraiseQL server?"},
		{"redirect that is followed", "/events/", 308, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := ""
			code, out, errs := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.URL.Path == "/events/" && r.Method == http.MethodPost && string(body) == input(1) {
					w.WriteHeader(202)
					_, _ = io.WriteString(w, `{"accepted":1}`)
					return
				}
				host = r.Host
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(c.status)
			}), input(1))
			if c.stderr == "" {
				if code != 0 || out != "{\"accepted\":1}\n" {
					t.Errorf("%d %q %q", code, out, errs)
				}
				return
			}
			if want := strings.ReplaceAll(c.stderr, "%s", host); code != 1 || out != "" || !strings.Contains(errs, want) {
				t.Errorf("%d %q %q, want %q", code, out, errs, want)
			}
		})
	}
}

// A server that never answers is not waited for longer than --wait says.
func TestPublishBreaksOffARequest(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer srv.Close()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(input(1)), Stdout: &out, Stderr: &errs}
	code := Run(t.Context(), []string{"publish", "--url", srv.URL, "--wait", "10ms"}, env)
	if code != 3 || !strings.Contains(errs.String(), "no answer within 1s: the events may have been published or not") {
		t.Errorf("%d %s %s", code, out.String(), errs.String())
	}
}

func TestPublishCountsEventsOfEarlierBatches(t *testing.T) {
	code, _, errs := publish(t, &scripted{answers: []string{"202 2", "422 0"}}, input(4), "--batch", "2")
	if code != 1 || !strings.Contains(errs, "event 4: type: is wrong") || !strings.Contains(errs, "2 events were accepted before") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestPublishIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(503)
		cancel()
	}))
	defer srv.Close()
	var out, errs bytes.Buffer
	code := Run(ctx, []string{"publish", "--url", srv.URL, input(1)}, &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	if code != 1 && code != 3 || requests.Load() != 1 {
		t.Errorf("%d after %d requests: %s", code, requests.Load(), errs.String())
	}
}

func TestEventReader(t *testing.T) {
	for _, c := range []struct {
		in, err string
		want    []string
	}{
		{"", "", nil},
		{" \n\t", "", nil},
		{`{"id":"a"}`, "", []string{`{"id":"a"}`}},
		{`{"id":"a"}{"id":"b"}` + "\n\n" + `{ "id" : "c" }`, "", []string{`{"id":"a"}`, `{"id":"b"}`, `{"id":"c"}`}},
		{`[]`, "", nil},
		{`[{"id":"a"},` + "\n" + `{"id":"b"}] [{"id":"c"}]`, "", []string{`{"id":"a"}`, `{"id":"b"}`, `{"id":"c"}`}},
		{`{"id":"a"} nope`, "event 2 (near byte", []string{`{"id":"a"}`}},
		{`{"id":"a"`, "ends in the middle of event 1", nil},
		{`[{"id":"a"}`, "ends in the middle of event 2", []string{`{"id":"a"}`}},
		{`[{"id":"a"} {"id":"b"}]`, "event 2", []string{`{"id":"a"}`}},
		{`]`, "event 1", nil},
		{`"x"`, "event 1 is not a JSON object", nil},
		{`[[]]`, "event 1 is not a JSON object", nil},
		{"{\"id\":\"a\"}\x00", "event 2", []string{`{"id":"a"}`}},
	} {
		r := newEventReader(strings.NewReader(c.in))
		var got []string
		var err error
		for err == nil {
			var line []byte
			if line, err = r.next(); err == nil {
				got = append(got, string(line))
			}
		}
		if c.err == "" && !errors.Is(err, io.EOF) || c.err != "" && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.in, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.in, diff)
		}
	}
}

// TestEventReaderThatBreaks has what is read from fail between two events: that is not the end.
func TestEventReaderThatBreaks(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, before := range []string{"", `{"id":"a"}` + "\n", `[{"id":"a"},`, `{"id":"a"}{"id"`} {
		r := newEventReader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)))
		var err error
		for err == nil {
			_, err = r.next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %q: %v", before, err)
		}
	}
}

func TestEventsGetAnID(t *testing.T) {
	for in, rest := range map[string]string{`{}`: `}`, `{"channel":"c"}`: `,"channel":"c"}`} {
		line, err := newEventReader(strings.NewReader(in)).next()
		var ev struct{ ID string }
		if err != nil || json.Unmarshal(line, &ev) != nil || len(ev.ID) != 36 || !strings.HasSuffix(string(line), rest) {
			t.Errorf("%s = %s, %v", in, line, err)
		}
	}
}

func FuzzEventReader(f *testing.F) {
	for _, s := range []string{`{"id":"a"}`, `[{"id":1},{}]`, "{}\n{}", `[`, `]`, `{"a":[{}]} [ ]`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newEventReader(bytes.NewReader(in))
		for range len(in) + 1 {
			line, err := r.next()
			if err != nil {
				return
			}
			if !json.Valid(line) || bytes.IndexByte(line, '\n') >= 0 || line[0] != '{' {
				t.Fatalf("%q", line)
			}
		}
		t.Fatal("more events than bytes")
	})
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	in := &countingReader{in: strings.NewReader(strings.Repeat("x", 50))}
	if _, err := io.ReadAll(in); err != nil {
		t.Fatal(err)
	}
	p := newProgress(&Env{Stderr: &out, StderrTerminal: true}, 100, in)
	p.update(1)
	if out.Len() > 0 {
		t.Errorf("shown at once: %q", out.String())
	}
	p.started = time.Now().Add(-10 * time.Second)
	p.update(1234567)
	if got := out.String(); !strings.HasPrefix(got, "\r1,234,567 events, 123,4") || !strings.HasSuffix(got, "50 %") {
		t.Errorf("%q", got)
	}
	shown := out.Len()
	p.update(1234568)
	if out.Len() != shown {
		t.Error("shown again at once")
	}
	p.note("trying again")
	if !strings.HasSuffix(out.String(), "\rtrying again\n") {
		t.Errorf("%q", out.String())
	}
	silent := newProgress(&Env{Stderr: &out}, 0, in)
	silent.started, shown = time.Time{}, out.Len()
	silent.update(5)
	silent.done()
	if out.Len() != shown {
		t.Error("shown without a terminal")
	}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		json string
		vars map[string]string
		want string
	}{
		{"", nil, ""},
		{`{"a":1}`, nil, `{"a":1}`},
		{"", map[string]string{"n": "1", "s": "new", "q": `"1"`, "l": `[1, 2]`, "z": "null", "e": ""}, `{"e":"","l":[1,2],"n":1,"q":"1","s":"new","z":null}`},
		{`{"a":1,"b":2}`, map[string]string{"b": "3"}, `{"a":1,"b":3}`},
	} {
		got, err := (&subscribeCommand{Variables: c.json, Var: c.vars}).variables()
		if err != nil || string(got) != c.want {
			t.Errorf("%s %v = %s, %v", c.json, c.vars, got, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"http://h:1": "http://h:1/graphql", "http://h:1/": "http://h:1/graphql", "h:1": "http://h:1/graphql", "wss://h/api": "wss://h/api", "localhost:4000": "http://localhost:4000/graphql",
	} {
		if got, err := (&remote{URL: in}).endpoint("/graphql"); err != nil || got != want {
			t.Errorf("%s = %s, %v", in, got, err)
		}
	}
}

package server

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// eventSource reads a stream of events.
type eventSource struct {
	t     *testing.T
	lines *bufio.Reader
}

// listen opens a distinct stream by GET, as an EventSource does. last, if any, is its Last-Event-ID.
func (s *assembled) listen(query, last string) *eventSource {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.addr+"/graphql?query="+url.QueryEscape(query), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Authorization": {"Bearer " + sign(s.t, nil)}}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", query, res.Status)
	}
	e := &eventSource{s.t, bufio.NewReader(res.Body)}
	if first := e.next(); first != ":\n" {
		s.t.Fatalf("begins with %q", first)
	}
	if retry := e.next(); !strings.HasPrefix(retry, "retry: ") {
		s.t.Fatalf("retry is %q", retry)
	}
	return e
}

// next reads one event, without the empty line that ends it.
func (e *eventSource) next() string {
	e.t.Helper()
	text := ""
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			e.t.Fatalf("after %q: %v", text+line, err)
		}
		if line == "\n" {
			return text
		}
		text += line
	}
}

// A Last-Event-ID that is none of ours is told as not recovered, and the stream is live; one of ours resumes.
func TestLastEventID(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	const query = "subscription { orders { id } }"
	for _, rubbish := range []string{"rubbish", "7", "-1", "null", `{"a":1}`, "%00", "\xff\xfe\x80", "AYTp8a4yXpbsAAAAAAAHPUlCsgnzAAAA", strings.Repeat("A", 20_000)} {
		e := s.listen(query, rubbish)
		id, first, _ := strings.Cut(e.next(), "\n")
		cursor, named := strings.CutPrefix(id, "id: ")
		if want := "event: next\ndata: {\"data\":null,\"extensions\":{\"cursor\":\"" + cursor + "\",\"recovered\":false}}\n"; !named || first != want {
			t.Errorf("%.40q: %q %q, want %q", rubbish, id, first, want)
		}
		s.order("live")
		if got := e.next(); !strings.HasPrefix(got, "id: ") || !strings.Contains(got, `data: {"data":{"orders":{"id":"live"}},"extensions":{"cursor":"`) {
			t.Errorf("%.40q: then %q", rubbish, got)
		}
	}
	before := s.listen(query, "none")
	before.next() // what is published from now on comes
	s.order("seen")
	id, _, _ := strings.Cut(before.next(), "\n")
	s.order("missed")
	again := s.listen(query, strings.TrimPrefix(id, "id: "))
	if got := again.next(); !strings.Contains(got, `"recovered":true`) {
		t.Errorf("resumed: %q", got)
	}
	if got := again.next(); !strings.Contains(got, `{"id":"missed"}`) {
		t.Errorf("resumed: then %q", got)
	}
}

// Whatever white space a publisher writes into its event, its data is one line of the stream.
func TestEventsAreOneLine(t *testing.T) {
	const published = "{\"channel\":\"orders\",\"type\":\"t\",\"tenant_id\":\"t1\",\"data\":{\"id\":\"7\",\r\n\"more\":{\n\r \"a\" :\r\n[1,\n\n\"x\\n\\ny\\r\u2028\"]\n}}}"
	for name, more := range map[string]string{"with a schema": "", "without": "schemaless: {enabled: true, channels: [orders]}\n"} {
		t.Run(name, func(t *testing.T) {
			s := assemble(t, config.Source{}, withJWT+more)
			if more == "" {
				if err := s.useSchema("scalar JSON type Subscription { orders: Order } type Order { id: ID! more: JSON }"); err != nil {
					t.Fatal(err)
				}
			}
			e := s.listen("subscription { orders { id more } }", "")
			s.awaitSubscriptions(1)
			s.publish(published)
			const want = "event: next\ndata: {\"data\":{\"orders\":{\"id\":\"7\",\"more\":{\"a\":[1,\"x\\n\\ny\\r\u2028\"]}}}}\n"
			if got := e.next(); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// A mutation by GET is 405, whatever the document is like and whether the schema has mutations.
func TestMutationsByGET(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	for _, schema := range []string{sdl, sdl + " type Mutation { go: Int }"} {
		if err := s.useSchema(schema); err != nil {
			t.Fatal(err)
		}
		for query, status := range map[string]int{
			"mutation{go}": 405, "#a comment\n mutation{go}": 405, "mutation{nope}": 405, "query A{__typename}mutation B{go}": 405, "fragment F on Order{id}mutation B{go}": 405,
			"mutation{": 200, "mutations{go}": 200, "query mutation{__typename}": 200, "query B{__typename}mutation A{go}": 200,
		} {
			for _, accept := range []string{js, "text/event-stream"} {
				got := send(t, "GET", "http://"+s.addr+"/graphql?operationName="+nameIn(query)+"&query="+url.QueryEscape(query), "", "Accept", accept, "Authorization", "Bearer "+sign(t, nil))
				want := status
				if status == 200 && accept != js && strings.Contains(got.body, "GRAPHQL_PARSE_FAILED") {
					want = 400
				}
				if got.status != want || (got.status == 405) != (got.header.Get("Allow") == "POST") {
					t.Errorf("%s for %s: %d %v %s, want %d", query, accept, got.status, got.header, got.body, want)
				}
			}
		}
	}
}

// nameIn is the name of the operation that a test chooses, where there are two.
func nameIn(query string) string {
	if strings.Contains(query, " B{") {
		return "B"
	}
	return ""
}

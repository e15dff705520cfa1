package gqlhttp

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	jsonType     = "application/json; charset=utf-8"
	responseType = "application/graphql-response+json; charset=utf-8"
	both         = "application/graphql-response+json, application/json;q=0.9"
)

func get(target string, headers ...string) string {
	text := "GET " + target + " HTTP/1.1\r\nHost: test\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	return text + "\r\n"
}

// answers are requests that are answered once.
var answers = []struct {
	name, raw string
	status    int
	header    string // name: value
	body      string // part of it
}{
	{"query", post("", query("{x}")), 200, "Content-Type: " + jsonType, `{"data":{"__typename":"Query"}}`},
	{"query for graphql-response+json", post(both, query("{x}")), 200, "Content-Type: " + responseType, `"Query"`},
	{"null members", post("", `{"query":"{x}","variables":null,"operationName":null,"extensions":null,"more":1}`), 200, "", `"Query"`},
	{"GET", get("/graphql?query={x}"), 200, "Content-Type: " + jsonType, `"Query"`},
	{"GET with variables", get(`/graphql?query={x}&variables={"a":1}&extensions=null`), 200, "", `"Query"`},
	{"charset", strings.Replace(post("", query("{x}")), "application/json", "application/json; charset=UTF-8", 1), 200, "", ""},

	{"no body", post("", ""), 400, "", "no body"},
	{"no JSON", post("", `{"`), 400, "", "not valid JSON"},
	{"array", post("", `[]`), 400, "", "must be a JSON object"},
	{"no query", post("", `{}`), 400, "", "needs a member query"},
	{"query is null", post("", `{"query":null}`), 400, "", "query must be a string"},
	{"variables are text", post("", `{"query":"{x}","variables":"{}"}`), 400, "", "variables must be a JSON object"},
	{"operationName is a number", post("", `{"query":"{x}","operationName":1}`), 400, "", "operationName must be a string"},
	{"GET without query", get("/graphql"), 400, "", "needs a parameter query"},
	{"GET with two queries", get("/graphql?query={x}&query={y}"), 400, "", "more than once"},
	{"GET with a bad query string", get("/graphql?query=%zz"), 400, "", "query string is not valid"},
	{"GET with variables that are no object", get("/graphql?query={x}&variables=[]"), 400, "", "must be a JSON object"},
	{"GET with variables that are no JSON", get("/graphql?query={x}&variables={"), 400, "", "not valid JSON"},
	{"GET with a body", strings.Replace(post("", "{}"), "POST", "GET", 1), 400, "", "no body"},
	{"form", strings.Replace(post("", "query={x}"), "application/json", "application/x-www-form-urlencoded", 1), 415, "", "must be application/json"},
	{"text", strings.Replace(post("", query("{x}")), "application/json", "text/plain", 1), 415, "", "must be application/json"},
	{"no content type", strings.Replace(post("", query("{x}")), "Content-Type: application/json\r\n", "", 1), 415, "", "must be application/json"},
	{"other charset", strings.Replace(post("", query("{x}")), "application/json", "application/json; charset=latin1", 1), 415, "", ""},
	{"two content types", post("", query("{x}"), "Content-Type: application/json"), 415, "", ""},
	{"encoded body", post("", query("{x}"), "Content-Encoding: gzip"), 415, "", "must not be encoded"},
	{"nothing acceptable", post("text/html", query("{x}")), 406, "", "accept one of"},
	{"PATCH", strings.Replace(post("", query("{x}")), "POST", "PATCH", 1), 405, "Allow: " + methods, ""},
	{"DELETE without a token", strings.Replace(get("/graphql?operationId=1"), "GET", "DELETE", 1), 404, "", tokenHeader},
	{"too long", post("", query(strings.Repeat("x", 2000))), 413, "", "bytes (limits.message_bytes)"},
	{"too long, in chunks", strings.Replace(post("", ""), "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n800\r\n"+strings.Repeat("x", 0x800)+"\r\n0\r\n\r\n", 1), 413, "", ""},
	{"wrong credentials", post("", query("{x}"), "Authorization: wrong"), 401, "WWW-Authenticate: Bearer", "UNAUTHENTICATED"},
	{"wrong credentials for a stream", post("text/event-stream", query("x"), "Authorization: wrong"), 401, "", "UNAUTHENTICATED"},
	{"authentication is not available", post("", query("{x}"), "Authorization: unavailable"), 503, "Retry-After: 5", `"INTERNAL_SERVER_ERROR"`},
	{"the bus is away", post("", query("{x}"), "Authorization: uninformed"), 503, "Retry-After: 5", `"BUS_UNAVAILABLE"`},
	{"authenticator panics", post("", query("{x}"), "Authorization: panic"), 500, "", "INTERNAL_SERVER_ERROR"},
	{"engine panics", post("", query("panic")), 500, "", "INTERNAL_SERVER_ERROR"},
	{"engine panics for a stream", post("text/event-stream", query("panic")), 500, "", "INTERNAL_SERVER_ERROR"},
	{"foreign origin", post("", query("{x}"), "Origin: https://evil.example"), 403, "", "origin not allowed"},
	{"own origin", post("", query("{x}"), "Origin: https://test"), 200, "", ""},
	{"an image of another site", get("/graphql?query={x}", "Sec-Fetch-Site: cross-site"), 403, "", "other sites"},
	{"a sibling domain's EventSource", get("/graphql?query=x", "Accept: text/event-stream", "Sec-Fetch-Site: same-site"), 403, "", "other sites"},
	{"our own page", get("/graphql?query={x}", "Sec-Fetch-Site: same-origin"), 200, "", ""},
	{"mutation by GET", get("/graphql?query=mutation{x}"), 405, "Allow: POST", "needs POST"},
	{"mutation by GET for a stream", get("/graphql?query=mutation{x}", "Accept: text/event-stream"), 405, "Allow: POST", ""},
	{"mutation that no schema has, by GET", get("/graphql?query=+mutation{x}&operationName=x"), 405, "Allow: POST", ""},
	{"mutation behind a comment, by GET", get("/graphql?query=%23c%0A,mutation{x}"), 405, "Allow: POST", ""},
	{"mutation chosen by its name, by GET", get("/graphql?query=query+A{x}mutation+B{x}&operationName=B"), 405, "Allow: POST", ""},
	{"mutation behind a fragment, by GET", get(`/graphql?query=fragment+F+on+X{a(s:"{")}mutation{x}`), 405, "Allow: POST", ""},
	{"query beside a mutation, by GET", get("/graphql?query=query+A{x}mutation+B{x}&operationName=A"), 200, "", "GRAPHQL_VALIDATION_FAILED"},
	{"mutation in a string, by GET", get(`/graphql?query=query{x(s:"mutation{x}")}`), 200, "", "GRAPHQL_VALIDATION_FAILED"},
	{"mutation that is broken, by GET", get("/graphql?query=code+GRAPHQL_PARSE_FAILED"), 200, "", "GRAPHQL_PARSE_FAILED"},
	{"HEAD", "HEAD /graphql?query={x} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 405, "Allow: " + methods, ""},
	{"OPTIONS", strings.Replace(get("/graphql"), "GET", "OPTIONS", 1), 405, "Allow: " + methods, "this endpoint takes"},
	{"media types in any case", strings.Replace(post("Application/JSON", query("{x}")), "Content-Type: application/json", `content-TYPE: Application/JSON ; Charset="UTF-8"`, 1), 200, "Content-Type: " + jsonType, `"Query"`},
	{"parameters of the content type", strings.Replace(post("", query("{x}")), "application/json", "application/json;v=1;", 1), 200, "", ""},
	{"in chunks", strings.Replace(post("", ""), "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"query\r\n7\r\n\":\"{x}\"\r\n1\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n", 1), 200, "", `"Query"`},
	{"chunks that end early", strings.Replace(post("", ""), "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"query\r\nz\r\n", 1), 400, "", "not complete"},
	{"HTTP/1.0", strings.Replace(post("", query("{x}")), "HTTP/1.1", "HTTP/1.0", 1), 200, "Content-Type: " + jsonType, `"Query"`},
	{"byte order mark", post("", "\ufeff"+query("{x}")), 400, "", "not valid JSON"},
	{"no UTF-8", post("", "{\"query\":\"{x}\xff\"}"), 400, "", "not valid JSON"},
	{"two documents", post("", query("{x}")+query("{x}")), 400, "", "not valid JSON"},
	{"null", post("", "null"), 400, "", "must be a JSON object"},
	{"extensions are a list", post("", `{"query":"{x}","extensions":[]}`), 400, "", "extensions must be a JSON object"},
	{"everything excluded", post("*/*;q=0", query("{x}")), 406, "", "accept one of"},
	{"two Accept headers", post("text/html", query("{x}"), "Accept: application/graphql-response+json"), 200, "Content-Type: " + responseType, ""},

	{"syntax", post(both, query("code GRAPHQL_PARSE_FAILED")), 400, "Content-Type: " + responseType, `{"errors":[{"message":"refused","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`},
	{"syntax for json", post("", query("code GRAPHQL_PARSE_FAILED")), 200, "Content-Type: " + jsonType, "GRAPHQL_PARSE_FAILED"},
	{"validation", post(both, query("code GRAPHQL_VALIDATION_FAILED")), 400, "", ""},
	{"validation for json", post("", query("code GRAPHQL_VALIDATION_FAILED")), 200, "", ""},
	{"forbidden", post("", query("code FORBIDDEN")), 403, "", "FORBIDDEN"},
	{"too many", post(both, query("code RATE_LIMITED")), 429, "Retry-After: 5", "RATE_LIMITED"},
	{"a subscription for one answer", post(both, query("orders")), 400, "", "BAD_USER_INPUT"},
	{"partial", post(both, query("{broken}")), 200, "", `"errors"`},
	{"an unknown operation for a stream", post("text/event-stream", query("code OPERATION_RESOLUTION_FAILURE")), 400, "Content-Type: " + jsonType, ""},
	{"validation in parts alone", post("multipart/mixed", query("code GRAPHQL_VALIDATION_FAILED")), 400, "Content-Type: " + jsonType, ""},
	{"syntax for a stream", post("text/event-stream", query("code GRAPHQL_PARSE_FAILED")), 400, "Content-Type: " + jsonType, "GRAPHQL_PARSE_FAILED"},
	{"too many for a stream", post("text/event-stream", query("code TOO_MANY_SUBSCRIPTIONS")), 429, "", ""},
	{"a rate for a stream", post("text/event-stream", query("code RATE_LIMITED")), 429, "Retry-After: 5", ""},
	{"validation for Apollo Client", post("multipart/mixed;subscriptionSpec=1.0, "+both, query("code GRAPHQL_VALIDATION_FAILED")), 400, "Content-Type: " + responseType, ""},
	{"query for Apollo Client", post("multipart/mixed;subscriptionSpec=1.0, "+both, query("{x}")), 200, "Content-Type: " + responseType, `"Query"`},

	{"validation on a stream", post("text/event-stream", query("code GRAPHQL_VALIDATION_FAILED")), 200, "Content-Type: text/event-stream; charset=utf-8",
		":\n\nevent: next\ndata: {\"errors\":[{\"message\":\"refused\",\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}]}\n\nevent: complete\ndata:\n\n"},
	{"query on a stream", post("text/event-stream", query("{x}")), 200, "", "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\nevent: complete\ndata:\n\n"},
	{"query in parts", post("multipart/mixed", query("{x}")), 200, `Content-Type: multipart/mixed;boundary="graphql";subscriptionSpec=1.0`,
		"\r\n--graphql\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":{\"__typename\":\"Query\"}}}\r\n--graphql--\r\n"},
}

func TestAnswers(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.MessageBytes = 1024 })
	for _, c := range answers {
		res, body := f.ask(c.raw)
		if res.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, res.StatusCode, body, c.status, c.body)
			continue
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok && res.Header.Get(name) != value {
			t.Errorf("%s: %s is %q, want %q", c.name, name, res.Header.Get(name), value)
		}
		if res.StatusCode < 400 || c.name == "HEAD" {
			continue
		}
		var doc struct {
			Errors []struct {
				Message    string
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || len(doc.Errors) == 0 || doc.Errors[0].Message == "" || doc.Errors[0].Extensions.Code == "" {
			t.Errorf("%s: body %q", c.name, body)
		}
	}
	if n := f.tally.count(observe.ConnectionsRefused, "origin"); n != 3 {
		t.Errorf("%d refusals for their origin, want 3", n)
	}
	f.gone()
}

// The draft of 2026 has other codes.
func TestDraft(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.Draft = true })
	for body, status := range map[string]int{
		"{x}": 200, "{broken}": 294, "code GRAPHQL_PARSE_FAILED": 400, "code GRAPHQL_VALIDATION_FAILED": 422, "code BAD_USER_INPUT": 422, "code OPERATION_RESOLUTION_FAILURE": 422,
	} {
		for _, accept := range []string{both, "application/json"} {
			if res, got := f.ask(post(accept, query(body))); res.StatusCode != status {
				t.Errorf("%s for %s: %d %s, want %d", body, accept, res.StatusCode, got, status)
			}
		}
	}
}

// The draft tells JSON that is no request of GraphQL from what is no JSON.
func TestDraftOfIllFormedRequests(t *testing.T) {
	for raw, draft := range map[string]int{
		post("", `[]`): 422, post("", `{}`): 422, post("", `{"query":1}`): 422, post("", `{"query":"{x}","variables":[]}`): 422, post("", `{"query":"{x}","operationName":{}}`): 422,
		get("/graphql"): 422, get("/graphql?query={x}&variables=1"): 422,
		post("", `{`): 400, post("", ``): 400, get("/graphql?query={x}&variables={"): 400, get("/graphql?query=%zz"): 400, post("", op("", "{x}"), tokenHeader+": x"): 404,
	} {
		for _, f := range []*fixture{serve(t, poll.Options{}, nil), serve(t, poll.Options{}, func(c *Config) { c.Draft = true })} {
			want := draft
			if !f.handler.cfg.Draft && draft == 422 {
				want = 400
			}
			if res, body := f.ask(raw); res.StatusCode != want {
				t.Errorf("%q: %d %s, want %d", raw, res.StatusCode, body, want)
			}
		}
	}
}

// A list of origins decides, by the verdict that it is asked for.
func TestOrigins(t *testing.T) {
	list, _ := origin.Parse([]string{"https://app.example"})
	f := serve(t, poll.Options{}, func(c *Config) { c.Origin = list.Judge })
	for from, status := range map[string]int{"https://app.example": 200, "https://other.example": 403, "null": 403, "http://test": 200} {
		if res, _ := f.ask(post("", query("{x}"), "Origin: "+from, "Sec-Fetch-Site: cross-site")); res.StatusCode != status {
			t.Errorf("%s: %d, want %d", from, res.StatusCode, status)
		}
	}
}

// A connection that was answered once is net/http's, and serves the next request.
func TestKeptAlive(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	c := f.dial()
	for _, raw := range []string{post("", query("{x}")), post(both, query("code GRAPHQL_PARSE_FAILED")), post("text/event-stream", query("{x}")), get("/graphql?query={x}")} {
		c.send(raw)
		res := c.answer()
		if res.Close {
			t.Error("the connection was closed")
		}
		if _, err := res.Body.Read(make([]byte, 4096)); err != nil && res.ContentLength < 0 {
			t.Error(err)
		}
		res.Body.Close()
	}
}

// A body that does not come holds its goroutine for a bounded time, one that trickles in likewise.
func TestSlowBody(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond })
	c := f.dial()
	c.send(strings.TrimSuffix(post("", query("{x}")), "}"))
	res := c.answer()
	if res.StatusCode != http.StatusRequestTimeout || !res.Close {
		t.Errorf("%s, close %v", res.Status, res.Close)
	}
	// Half a head is net/http's: the server's ReadHeaderTimeout bounds it.
}

// All bodies together hold a bounded amount: beyond it the long ones are refused, short ones are not.
func TestManyBodies(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.PartialBytes = 64 << 10 })
	long := query(strings.Repeat("x", 40<<10))
	half := func() *client {
		c := f.dial()
		c.send(post("", long)[:len(post("", long))-10])
		return c
	}
	half()
	await(t, "the first body is held", func() bool { return f.handler.partial.Load() > 40<<10-200 })
	c := half()
	if res := c.answer(); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s", res.Status)
	}
	if res, _ := f.ask(post("", query("{x}"))); res.StatusCode != http.StatusOK {
		t.Errorf("a short body: %s", res.Status)
	}
}

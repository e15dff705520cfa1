package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

const (
	anyToken    = "any-0123456789abcdef"
	ordersToken = "orders-0123456789abcdef"
	tenantToken = "tenant-0123456789abcdef"
)

func withTokens(c *config.Config, _ *Options) {
	c.Publish.Tokens = []config.Token{
		{Token: anyToken, Broadcast: true},
		{Token: ordersToken, Channels: []string{"orders", "orders.*"}},
		{Token: tenantToken, Tenants: []string{"t1", "t2"}},
	}
}

const (
	good   = `{"channel":"orders","type":"created","data":{"id":1}}`
	js     = "application/json"
	ndjson = "application/x-ndjson"
)

// post sends a body with the token that may do everything.
func post(t *testing.T, f *fixture, body string, headers ...string) answered {
	t.Helper()
	return send(t, "POST", f.url+"/events", body, append([]string{"Authorization", "Bearer " + anyToken}, headers...)...)
}

func TestPublish(t *testing.T) {
	f := start(t, withTokens)
	for _, c := range []struct {
		contentType, body string
		want              int
	}{
		{js, good, 1},
		{"Application/JSON; charset=UTF-8", good, 1},
		{js, "[" + good + "," + good + "]", 2},
		{js, " \n" + good + "\n", 1},
		{ndjson, good + "\n" + good + "\r\n\n" + good, 3},
		{js, `{"channel":"o","type":"t","data":{},"id":"i","tenant_id":7,"timestamp":"2026-01-02T03:04:05Z"}`, 1},
		{js, `{"channel":"o","type":"t","data":{},"broadcast":true}`, 1},
	} {
		before := len(f.bus.taken())
		got := post(t, f, c.body, "Content-Type", c.contentType)
		if want := fmt.Sprintf("{\"accepted\":%d}\n", c.want); got.status != 202 || got.body != want {
			t.Errorf("%s %.80s = %d %s", c.contentType, c.body, got.status, got.body)
		}
		if n := len(f.bus.taken()) - before; n != c.want {
			t.Errorf("%.80s: %d events published, want %d", c.body, n, c.want)
		}
	}
	events := f.bus.taken()
	want := event.Event{Channel: "o", Type: "t", ID: "i", TenantID: "7", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: []byte("{}")}
	if diff := cmp.Diff(want, events[len(events)-2]); diff != "" {
		t.Error(diff)
	}
}

// badBody is a request that is refused; part must be in the answer.
type badBody struct {
	name, contentType, body string
	status                  int
	part                    string
}

func ev(members string) string { return `{"channel":"c","type":"t","data":{}` + members + `}` }

var badBodies = []badBody{
	{"nothing", js, "", 400, `"code":"BAD_USER_INPUT"`},
	{"white space", js, " \n ", 400, `"code":"BAD_USER_INPUT"`},
	{"no JSON", js, "hello", 400, `"code":"BAD_USER_INPUT"`},
	{"truncated", js, good[:20], 400, `"code":"BAD_USER_INPUT"`},
	{"truncated array", js, "[" + good, 400, `"code":"BAD_USER_INPUT"`},
	{"two texts", js, good + good, 400, `"code":"BAD_USER_INPUT"`},
	{"trailing comma", js, "[" + good + ",]", 400, `"code":"BAD_USER_INPUT"`},
	{"comment", js, good + "// x", 400, `"code":"BAD_USER_INPUT"`},
	{"single quotes", js, `{'channel':'c'}`, 400, `"code":"BAD_USER_INPUT"`},
	{"control character in a string", js, "{\"channel\":\"a\x01\"}", 400, `"code":"BAD_USER_INPUT"`},
	{"bad UTF-8", js, "{\"channel\":\"a\xff\",\"type\":\"t\",\"data\":{}}", 400, `"code":"BAD_USER_INPUT"`},
	{"bad escape", js, `{"channel":"\x"}`, 400, `"code":"BAD_USER_INPUT"`},
	{"NaN", js, `{"channel":"c","type":"t","data":{"a":NaN}}`, 400, `"code":"BAD_USER_INPUT"`},
	{"leading zero", js, `{"channel":"c","type":"t","data":{"a":01}}`, 400, `"code":"BAD_USER_INPUT"`},
	{"byte order mark", js, "\ufeff" + good, 400, `"code":"BAD_USER_INPUT"`},
	{"UTF-16", js, "{\x00\"\x00", 400, `"code":"BAD_USER_INPUT"`},
	{"number", js, "1", 400, "must be a JSON object"},
	{"null", js, "null", 400, "must be a JSON object"},
	{"string", js, `"x"`, 400, "must be a JSON object"},
	{"empty array", js, "[]", 400, "holds no event"},
	{"array of arrays", js, "[[]]", 400, "must be a JSON object"},
	{"array with null", js, "[" + good + ",null]", 400, `"index":1`},
	{"empty object", js, "{}", 422, `"member":"channel"`},
	{"no channel", js, `{"type":"t","data":{}}`, 422, `"member":"channel"`},
	{"no type", js, `{"channel":"c","data":{}}`, 422, `"member":"type"`},
	{"no data", js, `{"channel":"c","type":"t"}`, 422, `"member":"data"`},
	{"channel null", js, `{"channel":null,"type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel number", js, `{"channel":1,"type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel empty", js, `{"channel":"","type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel with a space", js, `{"channel":"a b","type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel with a control character", js, `{"channel":"a\u0007b","type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel too long", js, `{"channel":"` + strings.Repeat("a", 256) + `","type":"t","data":{}}`, 422, `"member":"channel"`},
	{"channel __", js, `{"channel":"__a","type":"t","data":{}}`, 422, "reserved"},
	{"channel $", js, `{"channel":"$control","type":"t","data":{}}`, 422, "reserved"},
	{"channel escaped $", js, `{"channel":"\u0024control","type":"t","data":{}}`, 422, "reserved"},
	{"channel *", js, `{"channel":"a*","type":"t","data":{}}`, 422, "reserved"},
	{"channel >", js, `{"channel":"a.>","type":"t","data":{}}`, 422, "reserved"},
	{"channel {}", js, `{"channel":"{a}","type":"t","data":{}}`, 422, "reserved"},
	{"type empty", js, `{"channel":"c","type":"","data":{}}`, 422, `"member":"type"`},
	{"event_type", js, `{"channel":"c","event_type":"t","data":{}}`, 422, "called type"},
	{"data array", js, `{"channel":"c","type":"t","data":[]}`, 422, `"member":"data"`},
	{"data string", js, `{"channel":"c","type":"t","data":"{}"}`, 422, `"member":"data"`},
	{"data null", js, `{"channel":"c","type":"t","data":null}`, 422, `"member":"data"`},
	{"id number", js, ev(`,"id":1`), 422, `"member":"id"`},
	{"id empty", js, ev(`,"id":""`), 422, `"member":"id"`},
	{"id null", js, ev(`,"id":null`), 422, `"member":"id"`},
	{"tenant empty", js, ev(`,"tenant_id":""`), 422, `"member":"tenant_id"`},
	{"tenant null", js, ev(`,"tenant_id":null`), 422, `"member":"tenant_id"`},
	{"tenant fraction", js, ev(`,"tenant_id":1.5`), 422, `"member":"tenant_id"`},
	{"tenant list", js, ev(`,"tenant_id":["a"]`), 422, `"member":"tenant_id"`},
	{"user true", js, ev(`,"user_id":true`), 422, `"member":"user_id"`},
	{"broadcast text", js, ev(`,"broadcast":"true"`), 422, `"member":"broadcast"`},
	{"broadcast and tenant", js, ev(`,"broadcast":true,"tenant_id":"t"`), 422, "broadcast"},
	{"broadcast and user", js, ev(`,"broadcast":true,"user_id":"u"`), 422, "broadcast"},
	{"timestamp date", js, ev(`,"timestamp":"2026-01-01"`), 422, `"member":"timestamp"`},
	{"timestamp number", js, ev(`,"timestamp":1700000000`), 422, `"member":"timestamp"`},
	{"final", js, ev(`,"final":true`), 422, "reserved"},
	{"unknown member", js, ev(`,"colour":"red"`), 422, `"member":"colour"`},
	{"member in another case", js, ev(`,"Tenant_ID":"a"`), 422, `"member":"Tenant_ID"`},
	{"member twice", js, ev(`,"type":"u"`), 422, "more than once"},
	{"member twice, escaped", js, ev(`,"\u0074ype":"u"`), 422, "more than once"},
	{"second of three", js, "[" + good + "," + ev(`,"id":1`) + "," + good + "]", 422, `"index":1`},
	{"data too deep", js, `{"channel":"c","type":"t","data":` + strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65) + "}", 413, `"code":"LIMIT_EXCEEDED"`},
	{"data too large", js, `{"channel":"c","type":"t","data":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, 413, "limits.event_bytes"},
	{"too many events", js, "[" + strings.Repeat(good+",", 10_000) + good + "]", 413, "10000 events"},
	{"NDJSON: nothing", ndjson, "\n\n", 400, "holds no event"},
	{"NDJSON: bad second line", ndjson, good + "\n{", 400, `"index":1`},
	{"NDJSON: array", ndjson, "[" + good + "]", 400, `"index":0`},
	{"NDJSON: event over two lines", ndjson, "{\n\"channel\":\"c\"}", 400, `"index":0`},
	{"NDJSON: invalid third event", ndjson, good + "\n" + good + "\n" + `{"channel":"c"}`, 422, `"index":2`},
	{"NDJSON: too many", ndjson, strings.Repeat(good+"\n", 10_001), 413, "10000 events"},
	{"no content type", "", good, 415, "application/json"},
	{"text", "text/plain", good, 415, "application/json"},
	{"form", "application/x-www-form-urlencoded", "channel=c", 415, "application/json"},
	{"other JSON", "application/graphql+json", good, 415, "application/json"},
	{"charset", js + "; charset=latin1", good, 415, "charset"},
	{"broken content type", js + "; charset", good, 415, "application/json"},
}

func TestBadBodies(t *testing.T) {
	f := start(t, withTokens)
	for _, c := range badBodies {
		t.Run(c.name, func(t *testing.T) {
			headers := []string{}
			if c.contentType != "" {
				headers = []string{"Content-Type", c.contentType}
			}
			got := post(t, f, c.body, headers...)
			if got.status != c.status || !strings.Contains(got.body, c.part) || !strings.HasPrefix(got.body, `{"errors":[{"code":"`) {
				t.Errorf("%d %s, want %d %s", got.status, got.body, c.status, c.part)
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
				t.Errorf("Content-Type %s", ct)
			}
		})
	}
	if n := len(f.bus.taken()); n != 0 {
		t.Errorf("%d events of refused requests were published", n)
	}
	if got := post(t, f, good, "Content-Type", js); got.status != 202 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

const bearer = "Bearer " + anyToken

// badRequests are sent to a server with tokens, or to one without (closed) or with small limits (tight).
var badRequests = []struct {
	name, method, server, query, body string
	headers                           []string
	status                            int
	part                              string
}{
	{"GET", "GET", "", "", "", []string{"Authorization", bearer}, 405, "POST"},
	{"PUT", "PUT", "", "", good, []string{"Authorization", bearer}, 405, "POST"},
	{"OPTIONS", "OPTIONS", "", "", "", nil, 405, "POST"},
	{"no token", "POST", "", "", good, nil, 401, "UNAUTHENTICATED"},
	{"unknown token", "POST", "", "", good, []string{"Authorization", "Bearer nope-0123456789abcdef"}, 401, "not valid"},
	{"beginning of a token", "POST", "", "", good, []string{"Authorization", bearer[:20]}, 401, "not valid"},
	{"token in another case", "POST", "", "", good, []string{"Authorization", "Bearer " + strings.ToUpper(anyToken)}, 401, "not valid"},
	{"empty token", "POST", "", "", good, []string{"Authorization", "Bearer "}, 401, "UNAUTHENTICATED"},
	{"basic", "POST", "", "", good, []string{"Authorization", "Basic YTpi"}, 401, "Bearer"},
	{"two tokens", "POST", "", "", good, []string{"Authorization", bearer, "Authorization", bearer}, 401, "Bearer"},
	{"token in the query", "POST", "", "?access_token=" + anyToken, good, nil, 401, "UNAUTHENTICATED"},
	{"no tokens configured", "POST", "closed", "", good, []string{"Authorization", bearer}, 403, "publish.tokens"},
	{"channel", "POST", "", "", ev(""), []string{"Authorization", "Bearer " + ordersToken}, 403, `"member":"channel"`},
	{"channel prefix", "POST", "", "", `{"channel":"ordersx","type":"t","data":{}}`, []string{"Authorization", "Bearer " + ordersToken}, 403, `"member":"channel"`},
	{"one channel of two", "POST", "", "", "[" + good + "," + ev("") + "]", []string{"Authorization", "Bearer " + ordersToken}, 403, `"index":1`},
	{"broadcast", "POST", "", "", `{"channel":"orders","type":"t","data":{},"broadcast":true}`, []string{"Authorization", "Bearer " + ordersToken}, 403, `"member":"broadcast"`},
	{"no tenant", "POST", "", "", good, []string{"Authorization", "Bearer " + tenantToken}, 403, `"member":"tenant_id"`},
	{"foreign tenant", "POST", "", "", ev(`,"tenant_id":"t3"`), []string{"Authorization", "Bearer " + tenantToken}, 403, `"member":"tenant_id"`},
	{"broadcast instead of a tenant", "POST", "", "", ev(`,"broadcast":true`), []string{"Authorization", "Bearer " + tenantToken}, 403, `"member":"broadcast"`},
	{"gzip", "POST", "", "", good, []string{"Authorization", bearer, "Content-Encoding", "gzip"}, 415, "Content-Encoding"},
	{"foreign origin", "POST", "", "", good, []string{"Authorization", bearer, "Origin", "https://evil.example"}, 403, "origins"},
	{"body too large", "POST", "tight", "", good + strings.Repeat(" ", 1000), []string{"Authorization", bearer}, 413, "limits.publish_bytes"},
	{"batch too large", "POST", "tight", "", "[" + strings.Repeat(good+",", 3) + good + "]", []string{"Authorization", bearer}, 413, "3 events"},
}

func TestBadRequests(t *testing.T) {
	f := start(t, withTokens)
	closed := start(t, nil)
	tight := start(t, func(c *config.Config, o *Options) {
		withTokens(c, o)
		c.Limits.PublishBytes, c.Limits.PublishEvents = 1000, 3
	})
	urls := map[string]string{"": f.url, "closed": closed.url, "tight": tight.url}
	for _, c := range badRequests {
		t.Run(c.name, func(t *testing.T) {
			path := "/events" + c.query
			got := send(t, c.method, urls[c.server]+path, c.body, append([]string{"Content-Type", js}, c.headers...)...)
			if got.status != c.status || !strings.Contains(got.body, c.part) {
				t.Errorf("%d %s, want %d %s", got.status, got.body, c.status, c.part)
			}
			if c.status == 405 && got.header.Get("Allow") != "POST" {
				t.Errorf("Allow %q", got.header.Get("Allow"))
			}
			if c.status == 401 && got.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
	if n := len(f.bus.taken()) + len(tight.bus.taken()) + len(closed.bus.taken()); n != 0 {
		t.Errorf("%d events of refused requests were published", n)
	}
	for _, c := range []struct{ token, body string }{
		{ordersToken, good}, {ordersToken, `{"channel":"orders.eu","type":"t","data":{}}`},
		{tenantToken, ev(`,"tenant_id":"t1"`)}, {anyToken, ev(`,"broadcast":true`)},
	} {
		if got := send(t, "POST", f.url+"/events", c.body, "Authorization", "bearer "+c.token, "Content-Type", js); got.status != 202 {
			t.Errorf("allowed %s: %d %s", c.body, got.status, got.body)
		}
	}
	if log := f.log.String(); strings.Contains(log, "0123456789abcdef") || strings.Contains(log, "evil.example") {
		t.Errorf("the log holds text of a client:\n%s", log)
	}
}

func TestPublishUnderDev(t *testing.T) {
	open := start(t, dev)
	if got := send(t, "POST", open.url+"/events", good, "Content-Type", js); got.status != 202 {
		t.Errorf("without tokens: %d %s", got.status, got.body)
	}
	f := start(t, func(c *config.Config, o *Options) {
		dev(c, o)
		withTokens(c, o)
	})
	if got := send(t, "POST", f.url+"/events", good, "Content-Type", js); got.status != 202 {
		t.Errorf("none sent: %d %s", got.status, got.body)
	}
	if got := send(t, "POST", f.url+"/events", good, "Content-Type", js, "Authorization", "Bearer wrong"); got.status != 401 {
		t.Errorf("a wrong one sent: %d %s", got.status, got.body)
	}
}

func TestPublisherFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		after  int
		status int
		body   string
		retry  string
	}{
		{"bus", fmt.Errorf("redis 10.0.0.1: %w", bus.ErrUnavailable), 1, 503,
			`{"errors":[{"code":"BUS_UNAVAILABLE","message":"the event bus does not answer, and has not acknowledged the events after ` + "`accepted`" + `, which may be published all the same; send those again, with the same ids: one without an id may come twice"}],"accepted":1}`, "1"},
		{"closed", bus.ErrClosed, 0, 503,
			`{"errors":[{"code":"BUS_UNAVAILABLE","message":"the event bus does not answer, and has acknowledged none of the events, which may be published all the same; send all again, with the same ids: one without an id may come twice"}],"accepted":0}`, "1"},
		{"isolation", fmt.Errorf("publish: %w", &event.Error{Code: code.InvalidValue, Member: "tenant_id", Message: "is required", Index: 1}), 0, 422,
			`{"errors":[{"code":"INVALID_VALUE","message":"is required","index":1,"member":"tenant_id"}]}`, ""},
		{"several", errors.Join(&event.Error{Code: code.InvalidValue, Message: "a"}, &event.Error{Code: code.LimitExceeded, Message: "b", Index: 1}), 0, 413,
			`{"errors":[{"code":"INVALID_VALUE","message":"a","index":0},{"code":"LIMIT_EXCEEDED","message":"b","index":1}]}`, ""},
		{"too fast", fraiseql.PublishErrors{{Code: code.RateLimited, Message: "wait", RetryAfter: 1200 * time.Millisecond}}, 0, 429,
			`{"errors":[{"code":"RATE_LIMITED","message":"wait"}]}`, "2"},
		{"too much at once", fraiseql.PublishErrors{{Code: code.RateLimited, Message: "fewer"}}, 0, 429,
			`{"errors":[{"code":"RATE_LIMITED","message":"fewer"}]}`, ""},
		{"fault", errors.New("secret detail"), 1, 500, `{"errors":[{"code":"INTERNAL_SERVER_ERROR","message":"internal error"}],"accepted":1}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, withTokens)
			f.bus.fail, f.bus.after = c.err, c.after
			got := post(t, f, "["+good+","+good+"]", "Content-Type", js)
			if got.status != c.status || strings.TrimSpace(got.body) != c.body || got.header.Get("Retry-After") != c.retry {
				t.Errorf("%d %s %s", got.status, got.header.Get("Retry-After"), got.body)
			}
		})
	}
}

func TestPublishRate(t *testing.T) {
	f := start(t, func(c *config.Config, o *Options) {
		withTokens(c, o)
		c.Publish.Rate, c.Limits.PublishEvents = 1, 2
	})
	two := "[" + good + "," + good + "]"
	if got := post(t, f, two, "Content-Type", js); got.status != 202 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := post(t, f, two, "Content-Type", js)
	if got.status != 429 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "RATE_LIMITED") {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	other := send(t, "POST", f.url+"/events", good, "Content-Type", js, "Authorization", "Bearer "+ordersToken)
	if other.status != 202 {
		t.Errorf("another token is limited too: %d", other.status)
	}
}

func TestPublishIsCounted(t *testing.T) {
	f := start(t, func(c *config.Config, o *Options) {
		dev(c, o)
		withTokens(c, o)
	})
	post(t, f, good, "Content-Type", js)
	post(t, f, "{}", "Content-Type", js)
	text := send(t, "GET", f.url+"/metrics", "").body
	for _, line := range []string{
		`fraiseql_publish_requests_total{status="202"} 1`, `fraiseql_publish_requests_total{status="422"} 1`,
		`fraiseql_events_refused_total{code="INVALID_VALUE"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

package gqlhttp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// maxDepth bounds the nesting of a request.
const maxDepth = 128

var tapes = sync.Pool{New: func() any { return new(jsontape.Tape) }}

// readRequest reads what the client asks for.
func (x *exchange) readRequest() (*session.Request, *refusal) {
	most := x.h.cfg.messageBytes()
	if x.r.Method == http.MethodGet {
		if x.r.ContentLength != 0 || len(x.r.TransferEncoding) > 0 {
			return nil, bad(http.StatusBadRequest, "a GET request has no body: send parameters in the query string, or use POST")
		}
		return parseQuery(x.r.URL.RawQuery, most)
	}
	if no := checkContentType(x.r); no != nil {
		return nil, no
	}
	body, no := x.readBody(most, "message_bytes")
	if no != nil {
		return nil, no
	}
	return parseBody(body, most)
}

// checkContentType wants application/json in UTF-8. Pages of other sites cannot send that without asking first.
func checkContentType(r *http.Request) *refusal {
	values := r.Header.Values("Content-Type")
	if len(values) == 1 {
		name, parameters, err := mime.ParseMediaType(values[0])
		charset, given := parameters["charset"]
		if err == nil && name == "application/json" && (!given || strings.EqualFold(charset, "utf-8")) {
			if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
				return bad(http.StatusUnsupportedMediaType, "the body must not be encoded: leave Content-Encoding out")
			}
			return nil
		}
	}
	return bad(http.StatusUnsupportedMediaType, "the body must be application/json in UTF-8: set Content-Type")
}

var (
	errLong = errors.New("body too long")
	errBusy = errors.New("too many bodies at once")
)

// readBody reads the whole body within its bounds of time, of size, which key of limits sets, if any, and of what all bodies hold
// together.
func (x *exchange) readBody(limit int, key string) ([]byte, *refusal) {
	if x.r.ContentLength > int64(limit) {
		return nil, tooLong(limit, key)
	}
	x.boundBody()
	in := &bounded{from: x.r.Body, limit: limit, h: x.h}
	body, err := io.ReadAll(in)
	x.h.partial.Add(-int64(in.read))
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		x.read = true
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Time{})
		return body, nil
	case errors.Is(err, errLong):
		return nil, tooLong(limit, key)
	case errors.Is(err, errBusy):
		return nil, &refusal{status: http.StatusServiceUnavailable, code: code.RateLimited, message: "the server is busy, try again later", retry: true}
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return nil, bad(http.StatusRequestTimeout, "the body did not come in time")
	default:
		return nil, bad(http.StatusBadRequest, "the body is not complete")
	}
}

// tooLong refuses a body of more than limit bytes, which key of limits sets, if any.
func tooLong(limit int, key string) *refusal {
	no := &refusal{status: http.StatusRequestEntityTooLarge, code: code.LimitExceeded, message: "the body is longer than " + strconv.Itoa(limit) + " bytes", limit: key}
	if key != "" {
		no.message += " (limits." + key + ")"
	}
	return no
}

// bounded reads at most limit bytes and accounts for them.
type bounded struct {
	from  io.Reader
	limit int
	read  int
	h     *Handler
}

// partialFree is what one body may hold when all together hold too much.
const partialFree = 4 << 10

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.read += n
	sum := b.h.partial.Add(int64(n))
	switch {
	case b.read > b.limit:
		return 0, errLong
	case sum > b.h.cfg.PartialBytes && b.read > partialFree:
		return 0, errBusy
	}
	return n, err
}

// parseBody reads a JSON body. Members that are not ours are ignored.
func parseBody(body []byte, limit int) (*session.Request, *refusal) {
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	if len(body) == 0 {
		return nil, bad(http.StatusBadRequest, "the request has no body")
	}
	if err := t.Parse(body, jsontape.Limits{Depth: maxDepth, Bytes: limit}); err != nil {
		return nil, bad(http.StatusBadRequest, "the body is not valid JSON: "+err.Error())
	}
	if t.Kind(jsontape.Root) != jsontape.Object {
		return nil, illFormed("the body must be a JSON object with a member query")
	}
	req := &session.Request{}
	for _, m := range [...]struct {
		name string
		text *string
		json *[]byte
	}{{"query", &req.Query, nil}, {"operationName", &req.OperationName, nil}, {"variables", nil, &req.Variables}, {"extensions", nil, &req.Extensions}} {
		value := t.Member(jsontape.Root, m.name)
		switch kind := t.Kind(value); {
		case (kind == jsontape.Invalid || kind == jsontape.Null) && m.name != "query":
		case m.text != nil && kind == jsontape.String:
			*m.text = strings.ToValidUTF8(string(t.AppendString(nil, value)), "\uFFFD")
		case m.json != nil && kind == jsontape.Object:
			*m.json = append([]byte(nil), t.Raw(value)...)
		case m.name == "query" && kind == jsontape.Invalid:
			return nil, illFormed("the request needs a member query, a GraphQL document")
		case m.text != nil:
			return nil, illFormed(m.name + " must be a string")
		default:
			return nil, illFormed(m.name + " must be a JSON object")
		}
	}
	req.Resume = session.ReadResume(t, t.Member(jsontape.Root, "extensions"))
	return req, nil
}

// parseQuery reads the parameters of a GET request. Parameters that are not ours are ignored.
func parseQuery(raw string, limit int) (*session.Request, *refusal) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, bad(http.StatusBadRequest, "the query string is not valid")
	}
	for _, name := range [...]string{"query", "operationName", "variables", "extensions"} {
		if len(values[name]) > 1 {
			return nil, bad(http.StatusBadRequest, "the parameter "+name+" is there more than once")
		}
	}
	if !values.Has("query") {
		return nil, illFormed("the request needs a parameter query, a GraphQL document; a WebSocket is opened with Upgrade: websocket")
	}
	req := &session.Request{
		Query:         strings.ToValidUTF8(values.Get("query"), "\uFFFD"),
		OperationName: strings.ToValidUTF8(values.Get("operationName"), "\uFFFD"),
	}
	var no *refusal
	if req.Variables, _, no = objectParameter("variables", values.Get("variables"), limit); no != nil {
		return nil, no
	}
	if req.Extensions, req.Resume, no = objectParameter("extensions", values.Get("extensions"), limit); no != nil {
		return nil, no
	}
	return req, nil
}

// objectParameter checks a parameter that holds a JSON object; empty and null are none. resume is what it asks for if
// it is extensions.
func objectParameter(name, text string, limit int) (object []byte, resume *session.Resume, no *refusal) {
	if text == "" || text == "null" {
		return nil, resume, nil
	}
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	if err := t.Parse([]byte(text), jsontape.Limits{Depth: maxDepth, Bytes: limit}); err != nil {
		return nil, resume, bad(http.StatusBadRequest, "the parameter "+name+" is not valid JSON: "+err.Error())
	}
	if t.Kind(jsontape.Root) != jsontape.Object {
		return nil, resume, illFormed("the parameter " + name + " must be a JSON object")
	}
	return []byte(text), session.ReadResume(t, jsontape.Root), nil
}

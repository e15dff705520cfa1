package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestBearer(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Credentials
		want string // the token, or the reason with a ! before it
	}{
		{"nothing", Credentials{}, "!missing"},
		{"an address alone", Credentials{RemoteAddr: "127.0.0.1:1"}, "!missing"},
		{"header", Credentials{Authorization: "Bearer a.b.c"}, "a.b.c"},
		{"header, other case, spaces", Credentials{Authorization: "BEARER   a.b.c"}, "a.b.c"},
		{"cookie", Credentials{Cookie: "a.b.c"}, "a.b.c"},
		{"payload", Credentials{Payload: []byte(`{"authorization":"Bearer a.b.c"}`)}, "a.b.c"},
		{"payload, escaped name", Credentials{Payload: []byte(`{"\u0061uthorization":"Bearer a.b.c"}`)}, "a.b.c"},
		{"payload before header before cookie", Credentials{Payload: []byte(`{"authorization":"Bearer p"}`), Authorization: "Bearer h", Cookie: "c"}, "p"},
		{"header before cookie", Credentials{Payload: []byte(`{"other":{"authorization":"Bearer p"}}`), Authorization: "Bearer h", Cookie: "c"}, "h"},
		{"a payload that is null", Credentials{Payload: []byte(`null`), Cookie: "c"}, "c"},
		{"no scheme", Credentials{Authorization: "a.b.c"}, "!malformed"},
		{"another scheme", Credentials{Authorization: "Basic abc", Cookie: "c"}, "!malformed"},
		{"no token", Credentials{Authorization: "Bearer ", Cookie: "c"}, "!malformed"},
		{"two tokens", Credentials{Authorization: "Bearer a b"}, "!malformed"},
		{"two headers joined", Credentials{Authorization: "Bearer a, Bearer b"}, "!malformed"},
		{"a tab", Credentials{Authorization: "Bearer\ta"}, "!malformed"},
		{"payload: empty", Credentials{Payload: []byte(`{"authorization":""}`), Cookie: "c"}, "!malformed"},
		{"payload: null", Credentials{Payload: []byte(`{"authorization":null}`), Cookie: "c"}, "!malformed"},
		{"payload: number", Credentials{Payload: []byte(`{"authorization":1}`), Cookie: "c"}, "!malformed"},
		{"payload: object", Credentials{Payload: []byte(`{"authorization":{}}`), Cookie: "c"}, "!malformed"},
		{"payload: twice", Credentials{Payload: []byte(`{"authorization":"Bearer a","authorization":"Bearer a"}`)}, "!malformed"},
		{"payload: twice in other letters", Credentials{Payload: []byte(`{"authorization":"Bearer a","AUTHORIZATION":"Bearer a"}`)}, "!malformed"},
		{"payload: a list", Credentials{Payload: []byte(`[]`), Cookie: "c"}, "!malformed"},
		{"payload: a string", Credentials{Payload: []byte(`"Bearer a"`), Cookie: "c"}, "!malformed"},
		{"payload: not JSON", Credentials{Payload: []byte(`{"a":`), Cookie: "c"}, "!malformed"},
	} {
		got, err := tt.c.Bearer()
		var e *Error
		if errors.As(err, &e) {
			got = "!" + string(e.Reason)
		}
		if got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err         Error
		want        string
		unavailable bool
	}{
		{Error{Reason: Expired}, "credentials: expired", false},
		{Error{Reason: KeysUnavailable, Detail: "status 502"}, "credentials: keys_unavailable: status 502", true},
	} {
		if got := tt.err.Error(); got != tt.want || tt.err.Unavailable() != tt.unavailable {
			t.Errorf("got %q, unavailable %v", got, tt.err.Unavailable())
		}
	}
}

// FuzzBearer gives any payload and header: a token that comes out was there, and one that was in a payload is
// never passed over for the header's.
func FuzzBearer(f *testing.F) {
	f.Add([]byte(`{"authorization":"Bearer a.b.c"}`), "Bearer h")
	f.Add([]byte(`{"x":[{"authorization":1}],"Authorization":"Bearer \u0061"}`), "")
	f.Add([]byte(`{"authorization":null}`), "bearer  x")
	f.Add([]byte("null"), "")
	f.Add([]byte(`{"authorization":"Bearer 0"`), "1")
	f.Add([]byte(`{"authorization":"Bearer 0"} {}`), "1")
	f.Fuzz(func(t *testing.T, payload []byte, header string) {
		c := Credentials{Payload: payload, Authorization: header}
		token, err := c.Bearer()
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || token != "" {
				t.Fatalf("token %q with error %v", token, err)
			}
			return
		}
		if token == "" || strings.ContainsAny(token, " \t\r\n") {
			t.Fatalf("token %q", token)
		}
		var members map[string]any
		if json.Unmarshal(payload, &members) != nil {
			members = nil
		}
		for name, v := range members {
			if strings.EqualFold(name, "authorization") {
				if s, ok := v.(string); !ok || !strings.HasSuffix(s, " "+token) {
					t.Fatalf("token %q, the payload has %v", token, v)
				}
				return
			}
		}
		if !strings.HasSuffix(header, token) {
			t.Fatalf("token %q, the header is %q", token, header)
		}
	})
}

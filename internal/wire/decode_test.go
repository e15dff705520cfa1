package wire

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

func TestEventReadsEveryMember(t *testing.T) {
	const src = ` {"data": {"a": [1, "x y"],
		"b": {}}, "channel":"or\u0064ers","type":"created","id":"e-1","tenant_id":7,"user_id":"u 1",
		"federation_id":"f","service_name":"s","broadcast":false,"timestamp":"2026-11-23T13:45:00.5+02:00"}`
	var d Decoder
	got, err := d.Event([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := event.Event{
		Channel: "orders", Type: "created", ID: "e-1", TenantID: "7", UserID: "u 1", FederationID: "f", ServiceName: "s",
		Timestamp: time.Date(2026, 11, 23, 13, 45, 0, 5e8, time.FixedZone("", 7200)),
		Data:      []byte(`{"a":[1,"x y"],"b":{}}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEventOwnsItsMemory(t *testing.T) {
	src := []byte(`{"channel":"c","type":"t","data":{"k":1}}`)
	var d Decoder
	ev, err := d.Event(src)
	if err != nil {
		t.Fatal(err)
	}
	for i := range src {
		src[i] = '#'
	}
	if _, err := d.Event([]byte(`{"channel":"x","type":"y","data":{"z":2}}`)); err != nil {
		t.Fatal(err)
	}
	if ev.Channel != "c" || ev.Type != "t" || string(ev.Data) != `{"k":1}` {
		t.Errorf("the event changed with its source: %+v", ev)
	}
}

func TestIntegerAddressesAreDecimalText(t *testing.T) {
	for src, want := range map[string]string{
		"1": "1", "0": "0", "-0": "0", "-17": "-17", "9007199254740993": "9007199254740993",
		"123456789012345678901234567890": "123456789012345678901234567890", `"01"`: "01",
	} {
		var d Decoder
		ev, err := d.Event([]byte(`{"channel":"c","type":"t","tenant_id":` + src + `,"user_id":` + src + `,"data":{}}`))
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if ev.TenantID != want || ev.UserID != want {
			t.Errorf("%s: tenant %q, user %q, want %q", src, ev.TenantID, ev.UserID, want)
		}
	}
}

// base is a right event whose member m the tests replace.
func with(member, value string) string {
	members := map[string]string{"channel": `"c"`, "type": `"t"`, "data": `{}`}
	members[member] = value
	var b strings.Builder
	for _, name := range []string{"channel", "type", "data", member} {
		if v, ok := members[name]; ok {
			b.WriteString(`,"` + name + `":` + v)
			delete(members, name)
		}
	}
	return "{" + b.String()[1:] + "}"
}

func TestBadEventsAreRefused(t *testing.T) {
	for _, tt := range badEvents() {
		t.Run(tt.name, func(t *testing.T) {
			d := Decoder{Limits: Limits{EventBytes: 1000}}
			_, err := d.Event([]byte(tt.src))
			var e *event.Error
			if !errors.As(err, &e) {
				t.Fatalf("accepted or untyped: %v", err)
			}
			if e.Code != tt.code || e.Member != tt.member || !strings.Contains(e.Message, tt.text) {
				t.Errorf("got %s, member %q: %s\nwant %s, member %q: …%s…", e.Code, e.Member, e.Message, tt.code, tt.member, tt.text)
			}
			if batch, err := d.Batch([]byte(tt.src)); err == nil {
				t.Errorf("Batch accepted it: %+v", batch)
			}
		})
	}
}

type badEvent struct{ name, src, code, member, text string }

func badEvents() []badEvent {
	long, deep := strings.Repeat("x", 256), strings.Repeat(`{"a":`, 64)+"{}"+strings.Repeat("}", 64)
	bad := []badEvent{
		{"nothing", ``, code.BadUserInput, "", "value was expected"},
		{"space", "  \n", code.BadUserInput, "", "value was expected"},
		{"half", `{"channel":"c"`, code.BadUserInput, "", "byte 14"},
		{"trailing comma", `{"channel":"c",}`, code.BadUserInput, "", "member name"},
		{"two values", `{}{}`, code.BadUserInput, "", "byte 2"},
		{"comment", `{/**/}`, code.BadUserInput, "", "member name"},
		{"single quotes", `{'channel':'c'}`, code.BadUserInput, "", "double quotes"},
		{"byte order mark", "\ufeff{}", code.BadUserInput, "", "value was expected"},
		{"invalid UTF-8", "{\"channel\":\"\xff\"}", code.BadUserInput, "", "UTF-8"},
		{"NaN", `{"data":{"a":NaN}}`, code.BadUserInput, "", "value was expected"},
		{"leading zero", `{"data":{"a":01}}`, code.BadUserInput, "", "byte"},
		{"raw line feed in a string", "{\"channel\":\"a\nb\"}", code.BadUserInput, "", "escaped"},
		{"null", `null`, code.BadUserInput, "", "not null"},
		{"number", `1`, code.BadUserInput, "", "not a number"},
		{"string", `"c"`, code.BadUserInput, "", "not a string"},
		{"boolean", `true`, code.BadUserInput, "", "not a boolean"},
		{"empty object", `{}`, code.InvalidValue, "channel", "required"},
		{"no channel", `{"type":"t","data":{}}`, code.InvalidValue, "channel", "required"},
		{"no type", `{"channel":"c","data":{}}`, code.InvalidValue, "type", "required"},
		{"no data", `{"channel":"c","type":"t"}`, code.InvalidValue, "data", "required"},
		{"unknown member", with("topic", `"x"`), code.InvalidValue, "topic", "not a member"},
		{"unknown member by case", with("tenant_ID", `"x"`), code.InvalidValue, "tenant_ID", "not a member"},
		{"camel case", with("tenantId", `"x"`), code.InvalidValue, "tenantId", "not a member"},
		{"unknown member with a quote", with(`a\"b`, `1`), code.InvalidValue, "", "unknown member"},
		{"unknown member with a tag", with(`<script>`, `1`), code.InvalidValue, "", "unknown member"},
		{"empty member name", with(``, `1`), code.InvalidValue, "", "not a member"},
		{"Python's event_type", with("event_type", `"t"`), code.InvalidValue, "event_type", "called type"},
		{"version", with("v", `1`), code.InvalidValue, "v", "not a member"},
		{"position", with("position", `1`), code.InvalidValue, "position", "not a member"},
		{"final true", with("final", `true`), code.InvalidValue, "final", "reserved"},
		{"final false", with("final", `false`), code.InvalidValue, "final", "reserved"},
		{"final escaped", with(`\u0066inal`, `true`), code.InvalidValue, "final", "reserved"},
		{"channel twice", `{"channel":"c","type":"t","channel":"c","data":{}}`, code.InvalidValue, "channel", "more than once"},
		{"tenant twice, escaped", `{"channel":"c","type":"t","tenant_id":"a","tenant\u005fid":"a","data":{}}`, code.InvalidValue, "tenant_id", "more than once"},
		{"data twice", `{"channel":"c","type":"t","data":{},"data":{}}`, code.InvalidValue, "data", "more than once"},
		{"broadcast twice", `{"channel":"c","type":"t","broadcast":false,"broadcast":true,"data":{}}`, code.InvalidValue, "broadcast", "more than once"},
		{"reserved channel __", with("channel", `"__x"`), code.InvalidValue, "channel", "reserved"},
		{"reserved channel $", with("channel", `"$control"`), code.InvalidValue, "channel", "reserved"},
		{"reserved channel, escaped", with("channel", `"\u0024control"`), code.InvalidValue, "channel", "reserved"},
		{"wildcard *", with("channel", `"a*"`), code.InvalidValue, "channel", "* > { }"},
		{"wildcard >", with("channel", `"a.>"`), code.InvalidValue, "channel", "* > { }"},
		{"brace {", with("channel", `"{a"`), code.InvalidValue, "channel", "* > { }"},
		{"brace }", with("channel", `"a}"`), code.InvalidValue, "channel", "* > { }"},
		{"data null", with("data", `null`), code.InvalidValue, "data", "not null"},
		{"data array", with("data", `[]`), code.InvalidValue, "data", "not an array"},
		{"data string", with("data", `"{}"`), code.InvalidValue, "data", "not a string"},
		{"data number", with("data", `1`), code.InvalidValue, "data", "not a number"},
		{"data boolean", with("data", `false`), code.InvalidValue, "data", "not a boolean"},
		{"data too large", with("data", `{"a":"`+strings.Repeat("x", 993)+`"}`), code.LimitExceeded, "data", "1000 bytes"},
		{"data too deep", with("data", deep), code.LimitExceeded, "data", "64 levels"},
		{"broadcast string", with("broadcast", `"true"`), code.InvalidValue, "broadcast", "true or false"},
		{"broadcast number", with("broadcast", `1`), code.InvalidValue, "broadcast", "true or false"},
		{"broadcast null", with("broadcast", `null`), code.InvalidValue, "broadcast", "true or false"},
		{"broadcast with tenant", `{"channel":"c","type":"t","broadcast":true,"tenant_id":"a","data":{}}`, code.InvalidValue, "broadcast", "tenant_id or user_id"},
		{"broadcast with user", `{"channel":"c","type":"t","broadcast":true,"user_id":"a","data":{}}`, code.InvalidValue, "broadcast", "tenant_id or user_id"},
		{"timestamp number", with("timestamp", `1700000000`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp date", with("timestamp", `"2026-11-23"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp without zone", with("timestamp", `"2026-11-23T13:45:00"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp with space", with("timestamp", `"2026-11-23 13:45:00Z"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp with comma", with("timestamp", `"2026-11-23T13:45:00,5Z"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp month 13", with("timestamp", `"2026-13-23T13:45:00Z"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp day 30 of February", with("timestamp", `"2026-02-30T13:45:00Z"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp zone 25:00", with("timestamp", `"2026-11-23T13:45:00+25:00"`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp empty", with("timestamp", `""`), code.InvalidValue, "timestamp", "RFC 3339"},
		{"timestamp null", with("timestamp", `null`), code.InvalidValue, "timestamp", "not null"},
		{"timestamp year 1", with("timestamp", `"0001-01-01T00:00:00Z"`), code.InvalidValue, "timestamp", "year 1"},
		{"timestamp long", with("timestamp", `"2026-11-23T13:45:00.`+strings.Repeat("1", 100)+`Z"`), code.InvalidValue, "timestamp", "RFC 3339"},
	}
	for _, name := range []string{"channel", "type", "id"} {
		bad = append(bad,
			badEvent{name + " empty", with(name, `""`), code.InvalidValue, name, "empty"},
			badEvent{name + " null", with(name, `null`), code.InvalidValue, name, "not null"},
			badEvent{name + " number", with(name, `5`), code.InvalidValue, name, "not a number"},
			badEvent{name + " array", with(name, `["c"]`), code.InvalidValue, name, "not an array"},
			badEvent{name + " long", with(name, `"`+long+`"`), code.InvalidValue, name, "255 bytes"},
			badEvent{name + " space", with(name, `"a b"`), code.InvalidValue, name, "white space"},
			badEvent{name + " no-break space", with(name, `"a\u00a0b"`), code.InvalidValue, name, "white space"},
			badEvent{name + " line separator", with(name, `"a\u2028b"`), code.InvalidValue, name, "white space"},
			badEvent{name + " control", with(name, `"a\u0000b"`), code.InvalidValue, name, "control"},
			badEvent{name + " delete", with(name, `"a\u007fb"`), code.InvalidValue, name, "control"},
			badEvent{name + " C1 control", with(name, `"a\u009bb"`), code.InvalidValue, name, "control"},
			badEvent{name + " half a surrogate pair", with(name, `"a\ud800"`), code.InvalidValue, name, "UTF-8"},
		)
	}
	for _, name := range []string{"tenant_id", "user_id"} {
		bad = append(bad,
			badEvent{name + " fraction", with(name, `1.0`), code.InvalidValue, name, "fraction"},
			badEvent{name + " exponent", with(name, `1e3`), code.InvalidValue, name, "exponent"},
			badEvent{name + " long integer", with(name, strings.Repeat("9", 256)), code.InvalidValue, name, "255 bytes"},
		)
	}
	for _, name := range []string{"tenant_id", "user_id", "federation_id", "service_name"} {
		bad = append(bad,
			badEvent{name + " empty", with(name, `""`), code.InvalidValue, name, "empty"},
			badEvent{name + " null", with(name, `null`), code.InvalidValue, name, "not null"},
			badEvent{name + " boolean", with(name, `true`), code.InvalidValue, name, "not a boolean"},
			badEvent{name + " object", with(name, `{}`), code.InvalidValue, name, "not an object"},
			badEvent{name + " list", with(name, `["a"]`), code.InvalidValue, name, "not an array"},
			badEvent{name + " long", with(name, `"`+long+`"`), code.InvalidValue, name, "255 bytes"},
			badEvent{name + " control", with(name, `"a\nb"`), code.InvalidValue, name, "control"},
			badEvent{name + " half a surrogate pair", with(name, `"\udc00"`), code.InvalidValue, name, "UTF-8"},
		)
	}
	return bad
}

func TestBadEventsAreMany(t *testing.T) {
	names := map[string]bool{}
	for _, b := range badEvents() {
		if names[b.name] {
			t.Errorf("two cases called %q", b.name)
		}
		names[b.name] = true
	}
	if len(names) < 80 {
		t.Errorf("%d cases", len(names))
	}
}

package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/event"
)

func TestBusFormat(t *testing.T) {
	ev := event.Event{
		Channel: "c", Type: "t\u00e9\"", ID: "i", UserID: "u", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Data: []byte(`{"a":1}`),
	}
	const want = `{"v":1,"channel":"c","type":"té\"","id":"i","user_id":"u","timestamp":"2026-01-02T03:04:05.000000006Z","data":{"a":1}}`
	if got := string(AppendBusEvent(nil, &ev)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(AppendEvent(nil, &event.Event{Channel: "c", Type: "t", Broadcast: true, Data: []byte(`{}`)})); got != `{"channel":"c","type":"t","broadcast":true,"data":{}}` {
		t.Errorf("got %s", got)
	}
}

func TestAnIDWithoutTextIsWritten(t *testing.T) {
	ev := event.Event{Channel: "c", Type: "t", UID: event.NewID(), Data: []byte(`{}`)}
	var d Decoder
	got, err := d.BusEvent(AppendBusEvent(nil, &ev))
	if err != nil || got.ID != ev.UID.String() {
		t.Errorf("id %q, want %s: %v", got.ID, ev.UID, err)
	}
}

func TestBusReaderIgnoresWhatItDoesNotKnow(t *testing.T) {
	var d Decoder
	ev, err := d.BusEvent([]byte(`{"v":1,"channel":"c","later":{"x":[]},"type":"t","final":true,"data":{}}`))
	if err != nil || ev.Channel != "c" {
		t.Fatal(ev, err)
	}
	for src, member := range map[string]string{
		`{"v":2,"channel":"c","type":"t","data":{}}`:                "v",
		`{"v":"1","channel":"c","type":"t","data":{}}`:              "v",
		`{"v":1.0,"channel":"c","type":"t","data":{}}`:              "v",
		`{"channel":"c","type":"t","data":{}}`:                      "v",
		`{"v":1,"channel":"c","channel":"c","type":"t","data":{}}`:  "channel",
		`{"v":1,"channel":"c","type":"t","tenant_id":{},"data":{}}`: "tenant_id",
		`{"v":1,"type":"t","data":{}}`:                              "channel",
	} {
		_, err := d.BusEvent([]byte(src))
		var e *event.Error
		if !errors.As(err, &e) || e.Member != member {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// anyEvent draws a valid event.
func anyEvent(t *rapid.T) event.Event {
	name := rapid.StringMatching(`[a-zA-Z0-9é"\\/.:<&-]{1,40}`)
	address := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z0-9 é"\\\x{10000}-]{1,40}`))
	ev := event.Event{
		Channel: strings.ReplaceAll(name.Draw(t, "channel"), ">", "-"), Type: name.Draw(t, "type"),
		FederationID: address.Draw(t, "federation"), ServiceName: address.Draw(t, "service"),
		Data: []byte(`{"n":` + rapid.StringMatching(`[1-9][0-9]{0,9}`).Draw(t, "n") + `}`),
	}
	if rapid.Bool().Draw(t, "addressed") {
		ev.TenantID, ev.UserID = address.Draw(t, "tenant"), address.Draw(t, "user")
	} else {
		ev.Broadcast = rapid.Bool().Draw(t, "broadcast")
	}
	if rapid.Bool().Draw(t, "id") {
		ev.ID = event.NewID().String()
	}
	if rapid.Bool().Draw(t, "timestamp") {
		ev.Timestamp = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	}
	return ev
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := anyEvent(t)
		if err := ev.Validate(); err != nil {
			t.Fatal(err)
		}
		var d Decoder
		text, bus := AppendEvent(nil, &ev), AppendBusEvent(nil, &ev)
		if !json.Valid(text) || !json.Valid(bus) {
			t.Fatalf("not JSON: %s %s", text, bus)
		}
		for _, read := range []func() (event.Event, error){
			func() (event.Event, error) { return d.Event(text) },
			func() (event.Event, error) { return d.BusEvent(bus) },
		} {
			got, err := read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ev, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

var eventText = []byte(`{"channel":"orders","type":"order.created","id":"0190a6f0-0000-7000-8000-000000000000","tenant_id":"acme","data":{"id":"` +
	strings.Repeat("7", 20) + `","lines":[` + strings.Repeat(`{"sku":"abc","quantity":2},`, 11) + `{"sku":"abc","quantity":2}]}}`)

func TestAllocations(t *testing.T) {
	var d Decoder
	if _, err := d.Event(eventText); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Event(eventText) }); n > 1 {
		t.Errorf("reading an event: %v allocations, want 1", n)
	}
	ev, _ := d.Event(eventText)
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = AppendBusEvent(buf[:0], &ev) }); n > 0 {
		t.Errorf("writing an event: %v allocations", n)
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	var d Decoder
	b.SetBytes(int64(len(eventText)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Event(eventText); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendBusEvent(b *testing.B) {
	var d Decoder
	ev, _ := d.Event(eventText)
	buf := make([]byte, 0, 1024)
	b.SetBytes(int64(len(eventText)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendBusEvent(buf[:0], &ev)
	}
}

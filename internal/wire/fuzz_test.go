package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/event"
)

// FuzzDecode reads any bytes by every door. What is accepted must be valid, must be JSON to the standard
// library too, and must survive being written and read again.
func FuzzDecode(f *testing.F) {
	f.Add(eventText)
	f.Add([]byte(small + "\n" + small))
	f.Add([]byte("[" + small + "]"))
	f.Add([]byte(`{"v":1,"x":[{}],"channel":"c","type":"t","tenant_id":-0,"timestamp":"2026-11-23T13:45:00Z","data":{}}`))
	for _, b := range badEvents() {
		if len(b.src) < 300 {
			f.Add([]byte(b.src))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d := Decoder{Limits: Limits{EventDepth: 8}}
		ev, err := d.Event(src)
		if err == nil {
			accepted(t, src, &ev)
		} else {
			refused(t, err)
		}
		if lenient, err := d.BusEvent(src); err == nil {
			if !json.Valid(src) || lenient.Validate() != nil {
				t.Fatalf("%q accepted from a bus", src)
			}
		}
		events, err := d.Batch(src)
		var errs Errors
		if err != nil && (!errors.As(err, &errs) || len(errs) == 0 || events != nil) {
			t.Fatalf("Batch: %T %v", err, err)
		}
		r := NewReader(bytes.NewReader(src), d.Limits)
		for range len(src) + 2 {
			if _, err = r.Next(); err == io.EOF {
				return
			}
		}
		t.Fatal("the reader does not end")
	})
}

func accepted(t *testing.T, src []byte, ev *event.Event) {
	if !json.Valid(src) || !utf8.Valid(src) || !json.Valid(ev.Data) {
		t.Fatalf("%q accepted", src)
	}
	if err := ev.Validate(); err != nil {
		t.Fatal(err)
	}
	var d Decoder
	again, err := d.Event(AppendEvent(nil, ev))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*ev, again); diff != "" {
		t.Fatal(diff)
	}
}

func refused(t *testing.T, err error) {
	var e *event.Error
	if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
		t.Fatalf("untyped: %T %v", err, err)
	}
	if !utf8.ValidString(e.Error()) {
		t.Fatalf("not UTF-8: %q", e.Error())
	}
}

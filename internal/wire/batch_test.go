package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

const small = `{"channel":"c","type":"t","data":{"a":[1]}}`

func TestBatchTakesOneEventAndArrays(t *testing.T) {
	for src, want := range map[string]int{
		small: 1, "[" + small + "]": 1, " [ " + small + " ,\n" + small + "]\n": 2, "[]": 0,
	} {
		var d Decoder
		events, err := d.Batch([]byte(src))
		if err != nil || len(events) != want {
			t.Errorf("%s: %d events, %v", src, len(events), err)
		}
	}
}

func TestBatchReportsEveryBadEventWithItsIndex(t *testing.T) {
	src := `[` + small + `,{"channel":"a b","type":"t","data":{}},` + small + `,7,{"channel":"x y","type":"t","data":{}}]`
	var d Decoder
	events, err := d.Batch([]byte(src))
	var errs Errors
	if !errors.As(err, &errs) || events != nil {
		t.Fatalf("%v, %v", events, err)
	}
	got := ""
	for _, e := range errs {
		got += fmt.Sprint(e.Index, e.Member, " ")
	}
	if got != "1channel 3 4channel " {
		t.Errorf("errors at %q: %v", got, err)
	}
}

func TestBatchStopsComplaining(t *testing.T) {
	src := "[" + strings.Repeat("1,", 99) + "1]"
	var d Decoder
	_, err := d.Batch([]byte(src))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != maxErrors {
		t.Errorf("%d errors", len(errs))
	}
}

func TestBatchLimits(t *testing.T) {
	depth := func(n int) string {
		return `{"channel":"c","type":"t","data":` + strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n)
	}
	for _, tt := range []struct {
		name, src string
		code      string // empty: accepted
	}{
		{"two events", "[" + small + "," + small + "]", ""},
		{"three events", "[" + small + "," + small + "," + small + "]", code.LimitExceeded},
		{"bytes", "[" + small + strings.Repeat(" ", 300) + "]", code.LimitExceeded},
		{"depth 5", depth(5), ""},
		{"depth 6", depth(6), code.LimitExceeded},
		{"depth 5 in an array", "[" + depth(5) + "]", ""},
		{"depth 6 in an array", "[" + depth(6) + "]", code.LimitExceeded},
		{"array in an array", "[[" + small + "]]", code.BadUserInput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decoder{Limits: Limits{BatchEvents: 2, BatchBytes: 300, EventDepth: 5}}
			_, err := d.Batch([]byte(tt.src))
			var errs Errors
			switch {
			case tt.code == "" && err != nil:
				t.Error(err)
			case tt.code != "" && (!errors.As(err, &errs) || errs[0].Code != tt.code):
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
}

func TestBatchNamesTheEventThatIsTooDeep(t *testing.T) {
	deep := `{"channel":"c","type":"t","data":{"a":` + strings.Repeat("[", 10) + strings.Repeat("]", 10) + `}}`
	odd := `{"channel":"c","type":"t","data":{"[\\\"],":[1,{"a":2}],"b":"\\\\"}}`
	for src, want := range map[string]int{
		deep: 0, "[" + deep + "]": 0, "[" + small + "," + deep + "]": 1, " [" + odd + "," + small + " , " + odd + "," + deep + "," + small + "]": 3,
	} {
		d := Decoder{Limits: Limits{EventDepth: 5}}
		_, err := d.Batch([]byte(src))
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != 1 || errs[0].Limit != "event_depth" || errs[0].Index != want {
			t.Errorf("%s: %v, want %d", src, err, want)
		}
	}
}

func TestDataWithinItsBoundIsJudgedWithoutWhiteSpace(t *testing.T) {
	d := Decoder{Limits: Limits{EventBytes: 9}}
	if _, err := d.Event([]byte(`{"channel":"c","type":"t","data":{ "a" :   [1]   }}`)); err != nil {
		t.Error(err)
	}
}

func TestReader(t *testing.T) {
	src := small + "\r\n\n  \n" + `{"channel":"a b","type":"t","data":{}}` + "\n" + small
	for name, in := range map[string]io.Reader{
		"whole":  strings.NewReader(src),
		"bytes":  iotest.OneByteReader(strings.NewReader(src)),
		"at end": iotest.DataErrReader(strings.NewReader(src)),
		"line":   strings.NewReader(src + "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(in, Limits{})
			if ev, err := r.Next(); err != nil || ev.Channel != "c" {
				t.Fatal(ev, err)
			}
			_, err := r.Next()
			var e *event.Error
			if !errors.As(err, &e) || e.Index != 1 || e.Member != "channel" {
				t.Fatal(err)
			}
			if ev, err := r.Next(); err != nil || string(ev.Data) != `{"a":[1]}` {
				t.Fatal(ev, err)
			}
			for range 2 {
				if _, err := r.Next(); err != io.EOF {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestReaderBounds(t *testing.T) {
	endless := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s), zeros{}) }
	for name, r := range map[string]*Reader{
		"line":   NewReader(endless(""), Limits{EventBytes: 1000}),
		"input":  NewReader(endless(""), Limits{BatchBytes: 5000}),
		"events": NewReader(strings.NewReader(strings.Repeat(small+"\n", 3)), Limits{BatchEvents: 2}),
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				var err error
				for err == nil {
					_, err = r.Next()
				}
				var e *event.Error
				if !errors.As(err, &e) || e.Code != code.LimitExceeded {
					t.Fatal(err)
				}
			}
		})
	}
}

// zeros is an endless line.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestReaderPassesOnReadErrors(t *testing.T) {
	r := NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(small))), Limits{})
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	}
}

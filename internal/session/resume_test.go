package session

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

func TestReadResume(t *testing.T) {
	for text, want := range map[string]*Resume{
		`{"resume":true}`:             {},
		`{"resume":"AbC-_9"}`:         {Cursor: "AbC-_9"},
		`{"\u0072esume":"\u0041"}`:    {Cursor: "A"},
		`{"resume":""}`:               {Cursor: notACursor},
		`{"resume":1,"resume":true}`:  {},
		`{"resume":false}`:            nil,
		`{"resume":null}`:             nil,
		`{"drops":true}`:              nil,
		`{}`:                          nil,
		`[]`:                          nil,
		`{"resume":1}`:                {Invalid: true},
		`{"resume":{"cursor":"AbC"}}`: {Invalid: true},
		`{"resume":["AbC"]}`:          {Invalid: true},
	} {
		var tape jsontape.Tape
		if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := ReadResume(&tape, jsontape.Root); (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	var tape jsontape.Tape
	if got := ReadResume(&tape, jsontape.None); got != nil {
		t.Errorf("no extensions: %+v", got)
	}
}

func TestSubscribeSaysWhereItResumes(t *testing.T) {
	var in inbound
	var tape jsontape.Tape
	const message = `{"id":"1","type":"subscribe","payload":{"query":"q","extensions":{"resume":"AbC"}}}`
	if reason := in.decode(&tape, []byte(message), NewOptions(Options{})); reason != "" {
		t.Fatal(reason)
	}
	if got := in.request(&tape).Resume; got == nil || *got != (Resume{Cursor: "AbC"}) {
		t.Errorf("%+v", got)
	}
}

package bus

import (
	"testing"
)

// silent says nothing about itself.
type silent struct{ Bus }

// durable does.
type durable struct{ Bus }

func (durable) Describe() Description {
	return Description{Name: "durable", Guarantee: AtLeastOnce, Durable: true, Shared: true}
}

func TestDescribe(t *testing.T) {
	if d := Describe(silent{}); d.Guarantee != AtMostOnce || d.Durable || d.Shared || d.Name == "" {
		t.Errorf("a bus that says nothing: %+v", d)
	}
	if d := Describe(durable{}); d.Name != "durable" || !d.Durable || d.Guarantee.String() != "at least once" {
		t.Errorf("a bus that says something: %+v", d)
	}
	if got := AtMostOnce.String(); got != "at most once" {
		t.Errorf("got %q", got)
	}
}

func TestNamesOfControlChannels(t *testing.T) {
	for name, want := range map[string][2]bool{
		ControlChannel: {true, false}, NodeChannel("n1"): {true, true}, "$": {true, false}, "": {false, false}, "orders": {false, false}, "node/x": {false, false}, "x$control": {false, false},
	} {
		if got := [2]bool{IsControl(name), IsNode(name)}; got != want {
			t.Errorf("%q: control, node %v, want %v", name, got, want)
		}
	}
}

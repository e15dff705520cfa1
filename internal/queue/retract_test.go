package queue

import "testing"

type deaf struct{}

func (deaf) Wake(*Queue) {}

// What is retracted does not come and counts no more; a close, and what begins with something else, does.
func TestRetract(t *testing.T) {
	var c Conn
	c.Init(deaf{}, nil)
	c.Retract([]byte("a")) // nothing waits
	for _, text := range []string{"a1", "b", "a2"} {
		c.Control(Control{Kind: Text, Data: []byte(text)})
	}
	c.Control(Control{Kind: Close, Data: []byte("a reason")})
	c.Retract([]byte("a"))
	if n := c.Bytes(); n != len("b")+len("a reason") {
		t.Errorf("%d bytes wait", n)
	}
	items, more := c.Take(nil, 1<<20)
	if more || len(items) != 2 || string(items[0].Control.Data) != "b" || items[1].Control.Kind != Close || c.Bytes() != 0 {
		t.Errorf("got %v, %v", items, more)
	}
}

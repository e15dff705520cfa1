package loadgen

import (
	"fmt"
	"testing"
	"time"
)

func tick(room, seq int) string {
	return fmt.Sprintf(`{"room":%d,"seq":%d,"sent":5,"sum":%d,"pad":"x"}`, room, seq, checksum(room, seq))
}

// TestCentrifugeMessages reads replies and pushes, several of them in a message, and answers pings.
func TestCentrifugeMessages(t *testing.T) {
	p := &parser{protocol: Centrifuge, rooms: 5, perConn: 2}
	var sent []string
	c := &client{number: 2, subs: make([]subscription, 2), write: func(b []byte) error { sent = append(sent, string(b[6:])); return nil }}
	push := func(room, seq int) string {
		return fmt.Sprintf(`{"push":{"channel":"tick:%d","pub":{"data":%s}}}`, room, tick(room, seq))
	}
	for _, m := range []string{`{"id":1,"connect":{"client":"c"}}` + "\n" + `{"id":2,"subscribe":{}}` + "\n" + push(4, 0), `{}`, push(4, 1) + "\n" + push(0, 1), push(4, 2)} {
		if err := p.message(c, []byte(m), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if p.all != 3 || p.ready != 1 || p.corrupt != 0 || c.subs[0].received != 2 || c.subs[1].received != 1 || len(sent) != 1 || sent[0] != `{}` {
		t.Errorf("%+v %+v %q", p.tally, c.subs, sent)
	}
	if err := p.message(c, []byte(push(3, 1)), time.Second); err != nil || p.corrupt != 1 {
		t.Errorf("a room of another connection: %v, %d", err, p.corrupt)
	}
	if p.message(c, []byte(`{"id":2,"error":{"code":103}}`), time.Second) == nil {
		t.Error("an error is no problem")
	}
}

// TestEventStream reads events from the chunks of a body, wherever it is cut.
func TestEventStream(t *testing.T) {
	body, chunk := "", func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	for seq := range 4 {
		whole := "event: next\ndata: {\"data\":{\"tick\":" + tick(0, seq) + "}}\n\n"
		body += chunk(whole[:20]) + chunk(whole[20:]) + chunk(":\n\n")
	}
	for cut := 1; cut < len(body); cut++ {
		p := &parser{protocol: SSE, rooms: 1, perConn: 1}
		c := &client{subs: make([]subscription, 1)}
		for _, part := range []string{body[:cut], body[cut:]} {
			if err := p.feed(c, []byte(part), time.Second); err != nil {
				t.Fatal(cut, err)
			}
		}
		if p.all != 3 || p.ready != 1 || p.corrupt+p.duplicates+p.disorder != 0 {
			t.Fatalf("cut at %d: %+v", cut, p.tally)
		}
	}
	p := &parser{protocol: SSE, rooms: 1, perConn: 1}
	if p.feed(&client{subs: make([]subscription, 1)}, []byte("0\r\n\r\n"), 0) == nil {
		t.Error("the end of the stream is no problem")
	}
	if _, err := Run(t.Context(), Config{URL: "http://127.0.0.1:1", Protocol: SSE, Subscriptions: 2}); err == nil {
		t.Error("two subscriptions in one stream")
	}
}

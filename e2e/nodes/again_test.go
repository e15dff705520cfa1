package nodes

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestPublishedAgainAfterANodeWasKilled kills the node that has delivered events, and publishes some of them again to
// another one, which has no subscriber of the channel yet: once while nobody is connected, once when everybody has come back. Nobody
// gets them twice, and everybody gets what follows.
func TestPublishedAgainAfterANodeWasKilled(t *testing.T) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) {
			const subscribers, rooms = 40, 10
			server := c.start(t)
			url := server.url(server.addr())
			nodes := start(t, url, url)
			first, second := nodes.nodes[0], nodes.nodes[1]
			nodes.balancer.SetTargets(first.Addr)
			channels := channelNames(rooms)
			crowd := follow(t, []string{nodes.balancer.Addr}, channels, subscribers)
			publish := func(n int) {
				for _, channel := range channels {
					second.Publish("", numberedEvent(channel, n))
				}
			}
			again := func(n int) {
				for _, channel := range channels {
					if s, ok := server.(natsServer); ok {
						s.again(t, channel, n)
						continue
					}
					second.Publish("", numberedEvent(channel, n))
				}
			}
			all := func(n int) {
				crowd.await(time.Minute, fmt.Sprint("no event ", n), func(s *subscriber) bool { return s.last >= n })
			}
			for n := 1; n <= 3; n++ {
				publish(n)
			}
			all(3)
			first.Kill()
			again(3)
			again(2)
			publish(4)
			nodes.balancer.SetTargets(second.Addr)
			all(4)
			again(1)
			again(3)
			again(4)
			publish(5)
			all(5)
			got := crowd.finish(map[string]int{}, time.Minute)
			if got.Received != 5*subscribers || got.Duplicates+got.Backwards+got.Lost+got.Gaps > 0 {
				t.Errorf("%d subscribers, 5 events for each, counted %+v", subscribers, got)
			}
		})
	}
}

// numberedEvent is the nth event of a channel, always with the same id.
func numberedEvent(channel string, n int) map[string]any {
	return map[string]any{"channel": channel, "type": "message", "id": fmt.Sprintf("%s-%d", channel, n), "data": map[string]any{"n": n}}
}

// again publishes an event as a program does that JetStream does not know it by: later than within half a minute, which is how long
// JetStream leaves out the same one itself.
func (s natsServer) again(t *testing.T, channel string, n int) {
	t.Helper()
	nc, err := nats.Connect("nats://" + s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	event := numberedEvent(channel, n)
	data, err := json.Marshal(event["data"])
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: "fraiseql." + channel, Data: data, Header: nats.Header{"Fraiseql-Type": {"message"}, "Fraiseql-Id": {event["id"].(string)}}}
	if _, err := nc.RequestMsg(m, 10*time.Second); err != nil { // the stream's acknowledgement
		t.Fatal(err)
	}
}

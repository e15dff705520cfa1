package session

import (
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

const (
	// fenceTime bounds how long a pong waits: clients take seconds without one for a connection that is dead.
	fenceTime = time.Second
	// fencedPongs is how many wait at most, so that who sends nothing but pings holds nothing.
	fencedPongs = 8
)

// fence holds pongs back until the subscribes that came before their pings have an outcome. The protocol has no answer
// to a subscribe that succeeds; a ping behind it is one: who has the pong gets the events that are published from then on.
type fence struct {
	pongs [][]byte
	timer *time.Timer
}

// pongLocked sends a pong, or holds it back while subscribes are being prepared.
func (d *Driver) pongLocked(text []byte) {
	if !d.machine.Preparing() {
		d.sendLocked(text)
		return
	}
	f := d.machine.ops.fence()
	if f == nil {
		f = &fence{}
		f.timer = time.AfterFunc(fenceTime, d.fenceTimeout)
		d.machine.ops.setFence(f)
	}
	if f.pongs = append(f.pongs, text); len(f.pongs) > fencedPongs {
		d.unfenceLocked(f)
	}
}

// unfenceLocked sends what was held back.
func (d *Driver) unfenceLocked(f *fence) {
	d.machine.ops.setFence(nil)
	f.timer.Stop()
	for _, text := range f.pongs {
		d.sendLocked(text)
	}
}

// fenceTimeout finds nothing to do when the connection was closed: its table is empty.
func (d *Driver) fenceTimeout() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.machine.ops.fence(); f != nil {
		d.unfenceLocked(f)
	}
}

func (d *Driver) sendLocked(text []byte) {
	d.peer.Outbound().Control(queue.Control{Kind: queue.Text, Data: text})
}

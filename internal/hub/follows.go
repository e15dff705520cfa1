package hub

import (
	"sync"
	"time"
)

// follows are the channels with followers, who are told now and then that only the position moved: one timer for all,
// that is set while there are any.
type follows struct {
	hub *Hub

	mu       sync.Mutex
	channels map[*channel]struct{}
	timer    *time.Timer // nil until first used
	armed    bool
	closed   bool
	sweeps   sync.WaitGroup // one for each time that the timer is set
}

func (f *follows) init(h *Hub) { f.hub, f.channels = h, make(map[*channel]struct{}) }

func (f *follows) add(c *channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.channels[c] = struct{}{}
	f.armLocked()
}

func (f *follows) remove(c *channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.channels, c)
}

func (f *follows) armLocked() {
	every := f.hub.cfg.Bus.Positions
	if f.armed || f.closed || every <= 0 || len(f.channels) == 0 {
		return
	}
	f.armed = true
	f.sweeps.Add(1)
	if f.timer == nil {
		f.timer = time.AfterFunc(every, f.sweep)
		return
	}
	f.timer.Reset(every)
}

// sweep tells the followers of every channel. It runs when the timer fires.
func (f *follows) sweep() {
	defer f.sweeps.Done()
	f.mu.Lock()
	list := make([]*channel, 0, len(f.channels))
	for c := range f.channels {
		list = append(list, c)
	}
	f.mu.Unlock()
	for _, c := range list {
		c.tell()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	f.armLocked()
}

func (c *channel) tell() {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follow != nil {
		c.follow.tellLocked()
	}
}

func (f *follows) close() {
	f.mu.Lock()
	f.closed = true
	if f.armed && f.timer.Stop() {
		f.armed = false
		f.sweeps.Done()
	}
	f.mu.Unlock()
	f.sweeps.Wait()
}

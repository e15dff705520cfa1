package redisbus

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/rueidis"
)

// gatherMost is up to how many XADDs a call of Publish has to share a pipeline with others.
const gatherMost = 4

// gathering joins what is published at one moment: the first that comes lets everybody who can run come too, then sends
// all of it as one pipeline. That is one write to the driver and one wait there instead of one for each; nobody
// waits for a pipeline that is under way, and one who is alone sends at once.
type gathering struct {
	mu    sync.Mutex
	list  []*sending
	spare []*sending
	led   bool // somebody will send what is in list
}

// do sends the commands of s, alone or with those of others, and returns the answers. The error is ctx's, which ended before:
// what becomes of the commands is not known then, and s is still in use. Where s was to send for others, their answers
// are that error, and they try again.
func (g *gathering) do(ctx context.Context, c rueidis.Client, s *sending) ([]rueidis.RedisResult, error) {
	g.mu.Lock()
	g.list = append(g.list, s)
	lead := !g.led
	g.led = true
	g.mu.Unlock()
	if lead {
		runtime.Gosched()
		return g.lead(ctx, c, s), nil
	}
	select {
	case <-s.done:
		return s.answers, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lead sends what has gathered and returns the answers for s, which is among it.
func (g *gathering) lead(ctx context.Context, c rueidis.Client, s *sending) (own []rueidis.RedisResult) {
	g.mu.Lock()
	list := g.list
	g.list, g.spare, g.led = g.spare[:0], nil, false
	g.mu.Unlock()
	switch {
	case len(list) > 1:
		own = pipelined(ctx, c, list, s)
	case len(s.commands) == 1:
		s.one[0] = c.Do(ctx, s.commands[0])
		own = s.one[:]
	default:
		own = c.DoMulti(ctx, s.commands...)
	}
	clear(list)
	g.mu.Lock()
	g.spare = list
	g.mu.Unlock()
	return own
}

// pipelined sends what several have to publish, and gives each its answers.
func pipelined(ctx context.Context, c rueidis.Client, list []*sending, s *sending) (own []rueidis.RedisResult) {
	total := 0
	for _, other := range list {
		total += len(other.commands)
	}
	commands := make([]rueidis.Completed, 0, total)
	for _, other := range list {
		commands = append(commands, other.commands...)
	}
	answers := c.DoMulti(ctx, commands...)
	for _, other := range list {
		n := len(other.commands)
		if other == s {
			own = answers[:n]
		} else {
			other.answers = answers[:n]
			other.done <- struct{}{} // has space: it is sent to once
		}
		answers = answers[n:]
	}
	return own
}

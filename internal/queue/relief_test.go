package queue

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// relieved is a connection of an engine that can wait for its queues.
func relieved(r *Relief) *Conn {
	c := &Conn{}
	c.Init(&sink{}, &Limits{Relief: r})
	return c
}

// waitFor is how long a wait of at most a second takes.
func waitFor(r *Relief) time.Duration {
	start := time.Now()
	r.Wait(time.Second)
	return time.Since(start)
}

// Whoever fills a queue by more than half is told, and may wait until three quarters of it are free again.
func TestFilledQueuesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Relief
		c := relieved(&r)
		c.TellsBlocked()
		q := c.queue("q", Policy{Overflow: CloseConnection, Messages: 8, Bytes: 1000})
		for i, want := range []Result{Enqueued, Enqueued, Enqueued, Enqueued, Filled, Filled} {
			if got := q.Enqueue(text("m")); got != want {
				t.Errorf("message %d: %v, want %v", i, got, want)
			}
		}
		if d := waitFor(&r); d != time.Second {
			t.Errorf("waited %v while nobody reads", d)
		}
		q.Enqueue(text("m"))
		done := make(chan time.Duration)
		go func() { done <- waitFor(&r) }()
		synctest.Wait()
		for q.Len() > 2 {
			q.Pop()
		}
		if d := <-done; d != 0 {
			t.Errorf("waited %v while it was read", d)
		}
		if d := waitFor(&r); d != 0 {
			t.Errorf("waited %v for nothing", d)
		}
	})
}

// Bytes count as numbers do, and those of the connection; one message can be too much.
func TestFilledByBytes(t *testing.T) {
	var r Relief
	c := relieved(&r)
	for _, tt := range []struct {
		policy   Policy
		messages []string
		want     Result
	}{
		{Policy{Messages: 8, Bytes: 1000}, []string{"a", strings.Repeat("b", 600)}, Filled},
		{Policy{Messages: 8, Bytes: 1000}, []string{strings.Repeat("b", 600)}, Filled},
		{Policy{Messages: 1, Bytes: 1000}, []string{"a"}, Filled},
		{Policy{Messages: 2, Bytes: 1000}, []string{"a"}, Enqueued},
		{Policy{Messages: 8, Bytes: 1 << 20}, []string{strings.Repeat("b", 600<<10)}, Filled},
		{Policy{Messages: 8, Bytes: 1 << 30}, []string{strings.Repeat("b", 5<<20), strings.Repeat("b", 5<<20)}, Filled},
		{Policy{Overflow: Latest, Messages: 2, Bytes: 1000}, []string{"a", "b"}, Filled},
	} {
		q := c.queue("q", tt.policy)
		var got Result
		for _, m := range tt.messages {
			got = q.Enqueue(text(m))
		}
		if got != tt.want {
			t.Errorf("%v, %d messages: %v, want %v", tt.policy, len(tt.messages), got, tt.want)
		}
		q.Complete()
	}
	if len(r.full) > 0 {
		t.Errorf("%d queues are waited for", len(r.full))
	}
}

// Queues that nobody reads are waited for once, until they are empty, and blocked connections never.
func TestSlowQueuesAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Relief
		slow, blocked := relieved(&r), relieved(&r)
		q, full := slow.queue("q", Policy{Overflow: DropOldest, Messages: 4, Bytes: 1000}), blocked.queue("q", wide)
		full.policy = &Policy{Messages: 4, Bytes: 1000}
		fill := func(q *Queue) (told bool) {
			for range 4 {
				told = q.Enqueue(text("m")) == Filled || told
			}
			return told
		}
		if !fill(q) || !fill(full) {
			t.Error("not told")
		}
		blocked.Block(true)
		if len(r.full) != 1 || waitFor(&r) != time.Second {
			t.Errorf("%d are waited for", len(r.full))
		}
		full.Pop()
		if full.Enqueue(text("m")) != Enqueued || fill(q) || waitFor(&r) != 0 {
			t.Error("one that does not read is waited for again")
		}
		for q.Len() > 0 {
			q.Pop()
		}
		blocked.Shut()
		<-time.After(time.Second) // it was waited for in vain in this one
		if !fill(q) || len(r.full) != 1 {
			t.Error("one that has read everything is not waited for again")
		}
		slow.Shut()
		if waitFor(&r) != 0 {
			t.Error("what is shut is waited for")
		}
	})
}

// Who reads in the goroutine that publishes, and so never while it is waited for, does not make every event cost a wait.
func TestReadersThatPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Relief
		q := relieved(&r).queue("q", Policy{Overflow: Latest, Messages: 1, Bytes: 1000})
		const wait = 10 * time.Millisecond
		publish := func() (filled bool) {
			if filled = q.Enqueue(text("m")) == Filled; filled {
				r.Wait(wait)
			}
			return filled
		}
		vainly := func(times int) (waits int) {
			for range times {
				if publish() {
					waits++
				}
				q.Pop()
			}
			return waits
		}
		if n := vainly(1000); n != int(patience/wait) {
			t.Errorf("waited %d times", n)
		}
		<-time.After(time.Second)
		if n := vainly(4); n != 4 {
			t.Errorf("waited %d times in another second", n)
		}
		done := make(chan bool)
		go func() { done <- publish() }()
		synctest.Wait()
		q.Pop()
		if !<-done || vainly(1000) != int(patience/wait) {
			t.Error("that it was read while it was waited for does not count")
		}
	})
}

// Nor does it cost more with many connections, as those of an event loop that publishes.
func TestManyReadersThatPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Relief
		const wait = 10 * time.Millisecond
		vainly := func() (waits int) {
			for range 100 {
				q := relieved(&r).queue("q", Policy{Messages: 1000})
				for range 600 {
					if q.Enqueue(text("m")) == Filled {
						r.Wait(wait)
						waits++
					}
				}
				for q.Len() > 0 {
					q.Pop()
				}
			}
			return waits
		}
		if n := vainly(); n != int(patience/wait) {
			t.Errorf("waited %d times", n)
		}
		<-time.After(time.Second)
		q := relieved(&r).queue("q", Policy{Messages: 1000})
		go func() {
			<-time.After(wait / 2)
			for q.Len() > 0 {
				q.Pop()
			}
		}()
		for range 501 {
			if q.Enqueue(text("m")) == Filled {
				r.Wait(wait)
			}
		}
		if q.Len() != 0 {
			t.Errorf("%d wait in the next second, when it would not be in vain", q.Len())
		}
	})
}

// Package shift shares the processors between goroutines that serve many clients each, such as workers of package session, and the others
// of the process.
package shift

import "time"

const (
	// least is how long a goroutine works before it lets others run.
	least = 100 * time.Microsecond
	// most is how long it works at most, where it had to wait that long for its last turn.
	most = 2 * time.Millisecond
)

// Shift is that of one goroutine. It lets others run each 100 µs; where they take longer than that, because there are many, it works
// as long as it waited: else one that yields often would get next to nothing beside goroutines that compute until they are
// preempted, and what it serves would wait for it. The zero value begins with the first Pause.
type Shift struct {
	began, length time.Duration // began is since epoch; 0: unknown
}

// epoch is before every shift.
var epoch = time.Now().Add(-time.Second)

// Rested says that the goroutine has slept: its shift begins with the next call of Pause.
func (s *Shift) Rested() { s.began = 0 }

// Pause lets others run if the shift is over. It is for moments between two pieces of work of some 10 µs.
func (s *Shift) Pause() {
	now := time.Since(epoch)
	switch {
	case s.began == 0:
		s.began, s.length = now, least
	case now-s.began >= s.length:
		Yield()
		s.began = time.Since(epoch)
		s.length = next(s.began - now)
	}
}

// next is the length of a shift after others have had the processor for so long.
func next(waited time.Duration) time.Duration { return min(max(waited, least), most) }

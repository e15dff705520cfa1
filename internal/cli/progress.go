package cli

import (
	"fmt"
	"strings"
	"time"
)

// progress shows on a terminal how far a long input is. Without a terminal it is silent, but for notes.
type progress struct {
	env     *Env
	size    int64 // bytes of the input, 0: not known
	in      *countingReader
	started time.Time
	shown   time.Time
	width   int
}

const (
	// progressAfter is how long a run takes before anything is shown.
	progressAfter = 500 * time.Millisecond
	progressEvery = 200 * time.Millisecond
)

func newProgress(env *Env, size int64, in *countingReader) *progress {
	return &progress{env: env, size: size, in: in, started: time.Now()}
}

// update shows the count, at most five times a second.
func (p *progress) update(accepted int) {
	now := time.Now()
	if !p.env.StderrTerminal || now.Sub(p.started) < progressAfter || now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	text := fmt.Sprintf("%s events, %s/s", thousands(accepted), thousands(int(float64(accepted)/now.Sub(p.started).Seconds())))
	if p.size > 0 {
		text += fmt.Sprintf(", %d %%", 100*min(p.in.bytes, p.size)/p.size)
	}
	p.line(text)
}

// line overwrites the line that is shown.
func (p *progress) line(text string) {
	pad := strings.Repeat(" ", max(0, p.width-len(text)))
	p.width = len(text)
	// A terminal that is gone needs no progress.
	_, _ = fmt.Fprint(p.env.Stderr, "\r"+text+pad)
}

// note prints a line of its own.
func (p *progress) note(format string, args ...any) {
	p.done()
	p.env.say(format, args...)
}

// done clears the line.
func (p *progress) done() {
	if p.width > 0 {
		p.line("")
		_, _ = fmt.Fprint(p.env.Stderr, "\r")
		p.width = 0
	}
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

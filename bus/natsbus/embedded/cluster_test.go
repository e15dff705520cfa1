package embedded

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// patience bounds each wait for something that must happen. An election takes seconds.
const patience = 90 * time.Second

// process is one member in a process of its own.
type process struct {
	t       *testing.T
	url     string
	command *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	wait    sync.WaitGroup

	mu      sync.Mutex
	lines   []string // all that was printed by all lives
	changed chan struct{}
}

// startProcess starts a member and ends it with the test.
func startProcess(t *testing.T, url string) *process {
	t.Helper()
	p := &process{t: t, url: url, changed: make(chan struct{})}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("a member printed:\n%s", strings.Join(p.lines[max(0, len(p.lines)-40):], "\n"))
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.command = exec.Command(os.Args[0])
	p.command.Env = append(os.Environ(), memberURL+"="+p.url)
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if p.out, err = p.command.StdoutPipe(); err != nil {
		p.t.Fatal(err)
	}
	p.command.Stderr = p.command.Stdout
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.wait.Go(func() {
		for lines := bufio.NewScanner(p.out); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
	})
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.command.Process.Kill() // it may have ended
	p.wait.Wait()
	_ = p.command.Wait() // how it ended is known
}

// count returns how many lines begin so.
func (p *process) count(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// await waits until n lines begin so, in all lives of the process, for as long as ever more do.
func (p *process) await(prefix string, n int) {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for have := 0; ; {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if now := p.count(prefix); now >= n {
			return
		} else if now > have {
			have = now
			timer.Reset(patience)
		}
		select {
		case <-changed:
		case <-timer.C:
			p.t.Fatalf("%d of %d lines %q", p.count(prefix), n, prefix)
		}
	}
}

// untilDone gives a command again and again until it is done: what members refuse while they elect may be tried again.
func (p *process) untilDone(command, done, refused string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		before, n := p.count(done), p.count(refused)
		if _, err := fmt.Fprintln(p.in, command); err != nil {
			p.t.Fatal(err)
		}
		for p.count(done) == before && p.count(refused) == n {
			p.mu.Lock()
			changed := p.changed
			p.mu.Unlock()
			select {
			case <-changed:
			case <-time.After(time.Second):
			}
			if time.Now().After(end) {
				p.t.Fatalf("%q: not done", command)
			}
		}
		if p.count(done) > before {
			return
		}
	}
}

// members starts three members that know one another.
func members(t *testing.T) []*process {
	t.Helper()
	var addrs []string
	for range 3 {
		addrs = append(addrs, testkit.FreeAddr(t))
	}
	var list []*process
	for i, addr := range addrs {
		list = append(list, startProcess(t, fmt.Sprintf("nats://nodes:s3cret@embedded?store=%s&name=n%d&cluster_listen=%s&routes=%s&members=3",
			url.QueryEscape(t.TempDir()), i, addr, strings.Join(addrs, ","))))
	}
	for _, p := range list {
		p.await("attached", 1)
	}
	for _, p := range list {
		p.untilDone("want c", "wanted c", "refused:")
	}
	return list
}

// TestThreeMembers publishes at each of three processes, kills one, goes on with two, and starts it again: every event
// that was acknowledged reaches every member that runs, and the third when it is back, from the history of its store.
func TestThreeMembers(t *testing.T) {
	list := members(t)
	for i, p := range list {
		p.untilDone(fmt.Sprintf("publish c %d 100", 100*i), "published 100 <nil>", "published 0")
	}
	for _, p := range list {
		p.await("event c ", 300)
	}
	// Whoever is killed may lead the stream, its consumers, or the cluster: each in turn.
	next := 300
	for i, victim := range list {
		others := []*process{list[(i+1)%3], list[(i+2)%3]}
		victim.kill()
		for _, p := range others {
			p.untilDone(fmt.Sprintf("publish c %d 50", next), "published 50 <nil>", "published ")
			next += 50
		}
		for _, p := range others {
			p.awaitEvents(next)
		}
		attached := victim.count("attached")
		victim.start()
		victim.await("attached", attached+1)
		victim.untilDone("want c", "wanted c", "refused:")
		others[0].untilDone(fmt.Sprintf("publish c %d 50", next), "published 50 <nil>", "published ")
		victim.awaitLast(next, 50)
		next += 50
		victim.untilDone("history c", fmt.Sprintf("history %d true", next), "history ")
	}
	for _, p := range list {
		if n := p.count("gap"); n > 0 {
			t.Errorf("%d gaps", n)
		}
	}
}

// ids returns the ids of the events that came, in order, each once.
func (p *process) ids() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	var list []string
	for _, line := range p.lines {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "event" && !seen[f[2]] {
			seen[f[2]] = true
			list = append(list, f[2])
		}
	}
	return list
}

// awaitLast waits for n events from a number on, and fails unless they came in order at the end.
func (p *process) awaitLast(from, n int) {
	p.t.Helper()
	last := fmt.Sprint(from + n - 1)
	p.await("event c "+last+" ", 1)
	list := p.ids()
	for i, id := range list[max(len(list)-n, 0):] {
		if id != fmt.Sprint(from+i) {
			p.t.Fatalf("event %s at %d of %d from %d", id, i, n, from)
		}
	}
}

// awaitEvents waits for the event before next, and fails if one that was published while this member ran is missing.
func (p *process) awaitEvents(next int) {
	p.t.Helper()
	p.await(fmt.Sprintf("event c %d ", next-1), 1)
	list := p.ids()
	for i := 1; i < 100 && i <= len(list); i++ { // published by two members in turn
		if want := fmt.Sprint(next - i); list[len(list)-i] != want {
			p.t.Fatalf("event %s, want %s", list[len(list)-i], want)
		}
	}
}

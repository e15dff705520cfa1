package redisbus

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/bus"
)

// tapBetween returns a bus of one partition that reads nothing itself, a tap of it, and the other end of that.
func tapBetween(t testing.TB) (*partition, *tap, net.Conn) {
	t.Helper()
	b, err := Open("redis://localhost?partitions=1", bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.layout(1); err != nil {
		t.Fatal(err)
	}
	p := b.home("orders")
	p.reader = &reader{bus: b, parts: []*partition{p}}
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return p, &tap{Conn: near, bus: b, in: source{from: near}}, far
}

// command is how the driver writes one.
func command(words ...string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&s, "$%d\r\n%s\r\n", len(w), w)
	}
	return s.String()
}

// told is an answer to XREAD with one stream, as a map or as a list.
func told(asMap bool, stream string, entries ...[]string) string {
	s := fmt.Sprintf("*1\r\n*2\r\n$%d\r\n%s\r\n*%d\r\n", len(stream), stream, len(entries))
	if asMap {
		s = "%1\r\n" + strings.TrimPrefix(s, "*1\r\n*2\r\n")
	}
	for _, e := range entries {
		s += fmt.Sprintf("*2\r\n$%d\r\n%s\r\n", len(e[0]), e[0]) + command(e[1:]...)
	}
	return s
}

// ask writes to the tap, answers, and returns what the driver reads up to the end of a line.
func ask(t *testing.T, c *tap, far net.Conn, question, answer string) string {
	t.Helper()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, len(question)))
		_, _ = io.WriteString(far, answer)
	}()
	if _, err := io.WriteString(c, question); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReaderSize(readOnly{c}, 16).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// readOnly hides what else a connection can do.
type readOnly struct{ io.Reader }

func TestEntriesPassTheDriver(t *testing.T) {
	p, c, far := tapBetween(t)
	question := command("XREAD", "COUNT", "64", "BLOCK", "2000", "STREAMS", p.stream, "1-1")
	first, second := []string{"7-1", "channel", "orders", "data", "{}"}, []string{"7-2", "data", strings.Repeat("x", 20_000)}
	for _, asMap := range []bool{true, false} {
		p.reader.found = nil
		if line := ask(t, c, far, question, told(asMap, p.stream, first, second)); line != "_\r\n" {
			t.Fatalf("the driver read %q", line)
		}
		var got [][]string
		for _, e := range p.reader.found[0].entries {
			list := []string{e.at.String()}
			for f := e.fields; len(f) > 0; {
				value, rest, _ := f.next()
				list, f = append(list, string(value)), rest
			}
			got = append(got, list)
		}
		if diff := cmp.Diff([][]string{first, second}, got); diff != "" {
			t.Fatal(diff)
		}
	}
	for answer, want := range map[string]string{
		"_\r\n":                           "_\r\n",
		"*-1\r\n":                         "_\r\n",
		"-MOVED 1 127.0.0.1:1\r\n":        "-MOVED 1 127.0.0.1:1\r\n",
		"-NOPERM this user may not\r\n":   "-NOPERM this user may not\r\n",
		"-UNBLOCKED client unblocked\r\n": "-UNBLOCKED client unblocked\r\n",
	} {
		p.reader.found = nil
		if line := ask(t, c, far, question, answer); line != want || p.reader.found != nil {
			t.Errorf("%q came as %q", answer, line)
		}
	}
	for _, other := range []string{command("PING"), command("XREAD", "COUNT", "1", "STREAMS", "another", "0"), command("XRANGE", p.stream, "-", "+")} {
		if line := ask(t, c, far, other, "*1\r\n+x\r\n"); line != "*1\r\n" {
			t.Errorf("an answer to %q came as %q", other, line)
		}
	}
}

// A driver that reads before it asks gets everything as it comes: nothing of it is taken for an answer.
func TestNothingIsTakenFromAConnectionThatIsReadAhead(t *testing.T) {
	p, c, far := tapBetween(t)
	question, answer := command("XREAD", "COUNT", "64", "BLOCK", "2000", "STREAMS", p.stream, "1-1"), told(true, p.stream, []string{"7-1", "data", "{}"})
	began, lines := make(chan struct{}, 1), make(chan string)
	c.Conn = begins{c.Conn, began}
	go func() {
		all := make([]byte, len(answer))
		_, _ = io.ReadFull(c, all)
		lines <- string(all)
	}()
	<-began
	go func() { _, _ = io.WriteString(c, question) }()
	if _, err := io.ReadFull(far, make([]byte, len(question))); err != nil {
		t.Fatal(err)
	}
	for _, half := range []string{answer[:9], answer[9:]} {
		if _, err := io.WriteString(far, half); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-lines; got != answer || p.reader.found != nil {
		t.Errorf("the driver read %q", got)
	}
}

// begins says when somebody reads, also if that is asked later: began holds one.
type begins struct {
	net.Conn
	began chan struct{}
}

func (b begins) Read(p []byte) (int, error) {
	select {
	case b.began <- struct{}{}:
	default:
	}
	return b.Conn.Read(p)
}

func TestAnEntryThatIsTooLarge(t *testing.T) {
	p, _, _ := tapBetween(t)
	head := fmt.Sprintf("%%1\r\n$%d\r\n%s\r\n*2\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$4\r\ndata\r\n$%d\r\n", len(p.stream), p.stream, entryMost)
	tail := "\r\n*2\r\n$3\r\n7-2\r\n*2\r\n$4\r\ndata\r\n$2\r\n{}\r\n"
	in := source{from: io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, entryMost), strings.NewReader(tail))}
	if taken, err := p.reader.take(&in); !taken || err != nil {
		t.Fatal(taken, err)
	}
	got := p.reader.found[0].entries
	if len(got) != 2 || got[0].at != (id{7, 1}) || got[0].fields != nil || string(got[1].fields) != "\x04data\x02{}" {
		t.Errorf("%v", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzAnswer reads answers whole and byte by byte: both must say the same, and what was read reads the same again.
func FuzzAnswer(f *testing.F) {
	p, _, _ := tapBetween(f)
	f.Add([]byte(told(true, p.stream, []string{"7-1", "channel", "orders"}, []string{"7-2"})))
	f.Add([]byte(told(false, p.stream, []string{"7-1", "a", "", "b", "c"})))
	f.Add([]byte("*-1\r\n"))
	f.Add([]byte("-MOVED\r\n"))
	read := func(from io.Reader) (string, bool, error) {
		r := &reader{bus: p.bus}
		taken, err := r.take(&source{from: from})
		var text strings.Builder
		for _, found := range r.found {
			list := make([][]string, 0, len(found.entries))
			for _, e := range found.entries {
				one := []string{e.at.String()}
				for f := e.fields; len(f) > 0; {
					value, rest, ok := f.next()
					if !ok {
						panic("a record that cannot be read")
					}
					one, f = append(one, string(value)), rest
				}
				list = append(list, one)
			}
			text.WriteString(told(true, p.stream, list...))
		}
		return text.String(), taken, err
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		whole, taken, err := read(bytes.NewReader(answer))
		slow, taken2, err2 := read(iotest.OneByteReader(bytes.NewReader(answer)))
		if whole != slow || taken != taken2 || (err == nil) != (err2 == nil) {
			t.Fatalf("whole %q %v %v, byte by byte %q %v %v", whole, taken, err, slow, taken2, err2)
		}
		if err == nil && strings.Count(whole, "%1\r\n") == 1 && strings.HasPrefix(whole, "%1\r\n") {
			if again, _, err := read(strings.NewReader(whole)); err != nil || again != whole {
				t.Fatalf("%q reads as %q: %v", whole, again, err)
			}
		}
	})
}

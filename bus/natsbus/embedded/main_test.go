package embedded

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// memberURL makes the test program one member of a cluster, for tests that need processes to kill.
const memberURL = "FRAISEQL_TEST_MEMBER"

// TestMain fails when goroutines are left after all tests.
func TestMain(m *testing.M) {
	if url := os.Getenv(memberURL); url != "" {
		os.Exit(member(url))
	}
	os.Exit(testkit.NoLeaks(m))
}

// printer prints what is delivered.
type printer struct{}

func (printer) Deliver(m *bus.Message) int {
	fmt.Printf("event %s %s %v\n", m.Event.Channel, m.Event.ID, m.Position)
	return 1
}

func (printer) Gap(channel string, _ event.Position) { fmt.Printf("gap %s\n", channel) }

// member attaches to the bus of a URL and does what it is told on standard input, a line each: "want CHANNEL", "history
// CHANNEL", "publish CHANNEL FROM N". It answers on standard output, and closes the bus when the input ends.
func member(url string) int {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := Open(url, bus.Options{Logger: log, PublishTimeout: 10 * time.Second})
	if err == nil {
		err = b.Attach(ctx, printer{})
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("attached")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var channel string
		var from, n int
		switch word, rest, _ := strings.Cut(in.Text(), " "); word {
		case "want":
			b.Interest(rest, true)
			if err := bus.Established(ctx, b, rest); err != nil {
				fmt.Println("refused:", err)
				continue
			}
			fmt.Println("wanted", rest)
		case "history":
			page, err := b.History(ctx, rest, event.Position{}, 100_000)
			fmt.Println("history", len(page.Messages), page.Complete, err)
		case "publish":
			if _, err := fmt.Sscanf(rest, "%s %d %d", &channel, &from, &n); err != nil {
				fmt.Println("failed:", err)
				return 1
			}
			batch := make([]bus.Message, n)
			for i := range batch {
				batch[i].Event = event.Event{Channel: channel, Type: "t", ID: fmt.Sprint(from + i), Data: []byte(`{}`)}
			}
			r, err := b.Publish(ctx, batch)
			fmt.Println("published", r.Accepted, err)
		}
	}
	if err := b.Close(ctx); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// publishCommand is `fraiseql publish`.
type publishCommand struct {
	remote
	Event string        `arg:"" optional:"" help:"One event, or an array of events, as JSON."`
	File  string        `name:"file" short:"f" placeholder:"FILE" help:"File with events: JSON, an array, or one event per line. - is standard input."`
	Batch int           `name:"batch" default:"500" placeholder:"N" help:"Events per request, at most 10000 (default: ${default})."`
	Wait  time.Duration `name:"wait" default:"30s" placeholder:"TIME" help:"How long to try while the server or its bus is out of reach, with a request that is under way; 0 tries once (default: ${default})."`
}

// Help is shown below the flags.
func (*publishCommand) Help() string {
	return `Without an event and a file, events are read from standard input. They are sent in their order. An event without id is given one, so that sending again after a failure can't double it where the bus suppresses duplicates. On success {"accepted":N} is printed: the bus has acknowledged N events.

Exit codes: 0 all accepted, 1 an event was refused, 2 wrong usage, 3 the server or its bus stayed out of reach.

Examples:

  fraiseql publish '{"channel":"orders","type":"created","data":{"id":1}}'
  fraiseql publish --file events.ndjson --token-file publish.token
  generate-events | fraiseql publish --url https://events.example.com`
}

// maxBatch is what a server takes at most.
const maxBatch = 10_000

// Run publishes.
func (c *publishCommand) Run(ctx context.Context, env *Env) error {
	in, size, err := c.input(env)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if c.Batch < 1 || c.Batch > maxBatch {
		return usage("--batch must be between 1 and %d", maxBatch)
	}
	url, err := c.endpoint("/events")
	if err != nil {
		return err
	}
	url = strings.Replace(strings.Replace(url, "ws://", "http://", 1), "wss://", "https://", 1)
	token, err := c.token(env)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	counted := &countingReader{in: in}
	p := &publisher{url: url, token: token, wait: c.Wait, batch: c.Batch, progress: newProgress(env, size, counted)}
	err = p.all(ctx, newEventReader(counted))
	p.progress.done()
	if err != nil {
		if p.accepted > 0 {
			env.say("%d events were accepted before", p.accepted)
		}
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "{\"accepted\":%d}\n", p.accepted)
	return err
}

// input opens what is to be published; size is in bytes, 0 when it is not known.
func (c *publishCommand) input(env *Env) (in io.ReadCloser, size int64, err error) {
	switch {
	case c.Event != "" && c.File != "":
		return nil, 0, usage("give an event or --file, not both")
	case c.Event != "" && c.Event != "-":
		return io.NopCloser(strings.NewReader(c.Event)), int64(len(c.Event)), nil
	case c.File != "" && c.File != "-":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, 0, fmt.Errorf("open events: %w", err)
		}
		info, err := f.Stat()
		if err != nil || info.IsDir() {
			return nil, 0, errors.Join(fmt.Errorf("open events: %s is not a file", c.File), f.Close())
		}
		return f, info.Size(), nil
	case env.StdinTerminal && c.Event == "" && c.File == "":
		return nil, 0, usage("nothing to publish: give an event, --file, or events on standard input")
	}
	return io.NopCloser(env.Stdin), 0, nil
}

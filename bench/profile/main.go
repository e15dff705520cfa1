// Command profile makes a profile for the compiler (go build -pgo): it runs the built server under the loads of
// BENCHMARKS.md, takes a CPU profile of each from its operators' port, and merges them. Builds do not use one, because
// none was faster (docs/adr/0019); with this another compiler can be tried.
//
//	go run ./bench/profile -o /tmp/fraiseql.pgo
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const schema = `type Subscription {
  tick(room: Int, from: Int @match(path: "room", op: GTE), to: Int @match(path: "room", op: LTE)): Tick!
}

type Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }
`

// loads are what the server does while it is looked at.
var loads = []string{
	"-c 1000 -r 200",
	"-c 1000 --rooms 1000 -r 5000 --tick 10ms",
	"-c 100 -r 1000",
	"-c 8 --rooms 1000 --pairs 64",
	"-c 100 -r 100 --churn 300",
	"-c 200 -r 3000 --tick 5ms",
}

func main() {
	out := flag.String("o", "fraiseql.pgo", "where the profile goes")
	seconds := flag.Int("seconds", 6, "length of each load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := refresh(ctx, *out, *seconds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func refresh(ctx context.Context, out string, seconds int) error {
	temp, err := os.MkdirTemp("", "fraiseql-profile-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	binary := filepath.Join(temp, "fraiseql")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/fraiseql").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	if err := os.WriteFile(filepath.Join(temp, "tick.graphql"), []byte(schema), 0o600); err != nil {
		return err
	}
	args := []string{"tool", "pprof", "-proto"}
	for i, load := range loads {
		file := filepath.Join(temp, fmt.Sprintf("%d.pprof", i))
		if err := profile(ctx, binary, temp, load, file, seconds); err != nil {
			return fmt.Errorf("%s: %w", load, err)
		}
		args = append(args, file)
	}
	merge := exec.CommandContext(ctx, "go", args...)
	var text bytes.Buffer
	merge.Stderr = &text
	merged, err := merge.Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w\n%s", err, text.Bytes())
	}
	return os.WriteFile(out, merged, 0o644)
}

// profile takes one profile of a server under a load.
func profile(ctx context.Context, binary, temp, load, file string, seconds int) error {
	address, admin, err := free()
	if err != nil {
		return err
	}
	server := exec.Command(binary, "serve", "--dev", "--schema", filepath.Join(temp, "tick.graphql"), "--listen", address,
		"--set", "admin.listen="+admin, "--set", "admin.pprof=true")
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait() // it was told to end
	}()
	if err := await(ctx, address, admin); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var taken error
	wg.Go(func() { taken = take(ctx, admin, file, seconds) })
	generator := exec.CommandContext(ctx, binary, append([]string{"bench", "--url", "http://" + address + "/graphql", "--publish-url", "http://" + address + "/events",
		"--channel", "tick", "--query", "subscription($room: Int!) { tick(room: $room) { room seq sent sum pad } }",
		"--warmup", "1s", "-d", fmt.Sprintf("%ds", seconds)}, strings.Fields(load)...)...)
	text, err := generator.CombinedOutput()
	wg.Wait()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, text)
	}
	return errors.Join(err, taken)
}

// take writes a profile of the next seconds.
func take(ctx context.Context, admin, file string, seconds int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, seconds), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP status %s: %.200s", response.Status, text)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// free returns two addresses that nobody listens at.
func free() (one, other string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

// await waits until something listens at the addresses.
func await(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, address := range addresses {
		for {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("nothing listens at %s: %w", address, err)
			}
		}
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// peer is a system of the comparison: a server of the same subscriptions, below bench/peers.
type peer struct {
	name string
	// tool must be there for it to be built.
	tool string
	// build makes what is started, in dir, and returns the command.
	build func(ctx context.Context, b *builder) ([]string, error)
	// window is how many events may be under way when the loop is closed: enough to keep it busy.
	window int
	limit  string // what its figures are limited by
	// protocol is what it speaks, graphql-transport-ws unless given.
	protocol string
	// only are the comparisons that it is for; all, unless given.
	only []string
}

const (
	us        = "fraiseql"
	floor     = "floor"
	floorHTTP = "floor-http"
)

// pythons are the systems inside Python, ours and others, which comparisons of their own are about.
var pythons = []string{"fraiseql-serve", "fraiseql-asgi", "strawberry", "ariadne", "graphql-core"}

// unnamed are the systems that no aim names, and in how many rounds they are measured.
var unnamed = []string{"graph-gophers", "async-graphql", "mercurius", "yoga", "strawberry", "ariadne", "graphql-core"}

const unnamedRounds = 3

// The comparisons that some are for; the others would say nothing new of them.
var (
	// interpreted are those that execute in Python for each subscriber. The rates of other comparisons are many times what they hold; P1 and
	// P2 are within their reach, B1 and C show what they are beside.
	interpreted = []string{"B1", "C", "P1", "P2"}
	// inPython are ours inside Python: ranges, pairs, storms, many subscriptions and large events are the engine's, which is the same.
	inPython = []string{"A1", "A2", "A4", "B1", "C", "D", "E", "P1", "P2"}
	// asLibrary is the engine in a program of its own: where it matters how events come.
	asLibrary = []string{"A1", "A2", "A3", "A4", "A5", "B1", "B2", "D", "E2", "F"}
	// delayed is where deliveries can share a write.
	delayed = []string{"A1", "A2", "A4", "A5", "B1"}
)

// peers are all systems, ours first.
var peers = []peer{
	{us, "go", ours, 64, "System calls and copies into sockets; events come by HTTP.", "", nil},
	{"library", "go", goPeer("library"), 64, "The same engine in a program of its own, which takes events as the others do.", "", asLibrary},
	{floor, "go", goPeer(floor), 64, "write(2) of ready frames: nothing but system calls.", "", nil},
	{floorHTTP, "go", goPeer(floor, "-http"), 64, "The same, with events by `net/http`: what the request takes, which ours are published by.", "", []string{"A1", "A2", "D"}},
	{"centrifuge", "go", goPeer("centrifuge"), 16, "Not GraphQL: nothing is executed, bytes are shared; a write for each message.", "centrifuge", nil},
	{"centrifuge-5ms", "go", goPeer("centrifuge", "-write-delay", "5ms"), 64, "The same; messages gather for 5 ms before they are written.", "centrifuge", delayed},
	{"gqlgen", "go", goPeer("gqlgen"), 4, "Executes and encodes for each subscriber; a goroutine and a write for each message.", "", nil},
	{"graph-gophers", "go", goPeer("graph-gophers"), 4, "The same, with a minimal transport of coder/websocket.", "", nil},
	{"async-graphql", "cargo", cargoPeer("async-graphql"), 4, "Rust, tokio and axum; the same.", "", nil},
	{"graphql-ws", "npm", nodePeer("graphql-ws"), 4, "One thread; executes and encodes for each subscriber.", "", nil},
	{"mercurius", "npm", nodePeer("mercurius"), 4, "The same.", "", nil},
	{"yoga", "npm", nodePeer("yoga"), 4, "The same, over server-sent events.", "sse", nil},
	{"fraiseql-serve", "python3", pythonPeer("fraiseql-serve"), 64, "The engine inside Python, its own transport: as ours, but events are read and published in Python.", "", inPython},
	{"fraiseql-asgi", "python3", pythonPeer("fraiseql-asgi"), 16, "The engine inside Python, mounted into uvicorn: uvicorn's WebSocket, a call and a write for each message.", "", inPython},
	{"strawberry", "python3", pythonPeer("strawberry"), 4, "One thread of Python; executes and encodes for each subscriber.", "", interpreted},
	{"ariadne", "python3", pythonPeer("ariadne"), 4, "The same.", "", interpreted},
	{"graphql-core", "python3", pythonPeer("graphql-core"), 4, "The same: its `subscribe` behind a minimal transport.", "", interpreted},
}

// builder knows where things are.
type builder struct {
	root, binary, temp string
}

func goPeer(name string, args ...string) func(context.Context, *builder) ([]string, error) {
	return func(ctx context.Context, b *builder) ([]string, error) {
		dir, out := filepath.Join(b.root, "bench", "peers", name), filepath.Join(b.temp, name)
		if _, err := os.Stat(filepath.Join(dir, "gqlgen.yml")); err == nil {
			if err := quietly(ctx, dir, "go", "tool", "gqlgen", "generate"); err != nil {
				return nil, err
			}
		}
		return append([]string{out}, args...), quietly(ctx, dir, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
	}
}

func nodePeer(name string) func(context.Context, *builder) ([]string, error) {
	return func(ctx context.Context, b *builder) ([]string, error) {
		dir := filepath.Join(b.root, "bench", "peers", name)
		return []string{"node", filepath.Join(dir, "server.mjs")}, quietly(ctx, dir, "npm", "ci", "--no-audit", "--no-fund")
	}
}

// cargoPeer is built outside of the tree, where the next run finds what it needs not build again.
func cargoPeer(name string) func(context.Context, *builder) ([]string, error) {
	return func(ctx context.Context, b *builder) ([]string, error) {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		target := filepath.Join(cache, "fraiseql-bench", "cargo")
		if set := os.Getenv("CARGO_TARGET_DIR"); set != "" {
			target = set
		}
		dir := filepath.Join(b.root, "bench", "peers", name)
		return []string{filepath.Join(target, "release", "peer-"+name)}, quietly(ctx, dir, "cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target)
	}
}

// pythonPeer is one of python/bench, whose virtual environment make bench has made.
func pythonPeer(name string) func(context.Context, *builder) ([]string, error) {
	return func(ctx context.Context, b *builder) ([]string, error) {
		python := filepath.Join(b.root, ".venvs", "bench", "bin", "python")
		if _, err := os.Stat(python); err != nil {
			return nil, errors.New("no virtual environment: make .venvs/bench/.installed")
		}
		if strings.HasPrefix(name, us) {
			if err := quietly(ctx, b.root, python, "-c", "import fraiseql"); err != nil {
				return nil, errors.New("the package fraiseql is not in .venvs/bench: make .venvs/bench/.fraiseql")
			}
		}
		return []string{python, filepath.Join(b.root, "python", "bench", "serve.py"), name}, nil
	}
}

// tickSchema is the schema of every peer; filters are ours to declare.
const tickSchema = `type Subscription {
  tick(room: Int, from: Int @match(path: "room", op: GTE), to: Int @match(path: "room", op: LTE)): Tick!
}

type Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }
`

func ours(_ context.Context, b *builder) ([]string, error) {
	schema := filepath.Join(b.temp, "tick.graphql")
	if err := os.WriteFile(schema, []byte(tickSchema), 0o644); err != nil {
		return nil, err
	}
	return []string{b.binary, "serve", "--dev", "--schema", schema}, nil
}

// quietly runs a command and shows what it printed if it fails.
func quietly(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// about is what a peer says of itself, in one line of JSON, when it listens.
type about struct {
	URL        string            `json:"url"`
	PublishURL string            `json:"publish_url"`
	Versions   map[string]string `json:"versions"`
}

// server is a peer that runs.
type server struct {
	about
	command *exec.Cmd
}

// start starts a peer, ours with more environment, and waits until it listens.
func start(ctx context.Context, p *peer, line, env []string) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if p.name == us {
		return startOurs(ctx, line, env)
	}
	s := &server{command: exec.Command(line[0], line[1:]...)}
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.command.Process.Kill() })
	defer stop()
	text, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &s.about)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s does not say where it is: %w", p.name, err)
	}
	return s, nil
}

// startOurs starts the server on a port that is free now, and waits until something answers there.
func startOurs(ctx context.Context, line, env []string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	s := &server{about: about{URL: "http://" + address + "/graphql", PublishURL: "http://" + address + "/events"}}
	s.command = exec.Command(line[0], append(line[1:len(line):len(line)], "--listen", address)...)
	s.command.Env = append(os.Environ(), env...)
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			return s, c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.stop()
			return nil, fmt.Errorf("fraiseql serve: nothing listens at %s", address)
		}
	}
}

// cpu is the CPU time of the server so far, in seconds; 0 without one.
func (s *server) cpu() float64 {
	if s == nil {
		return 0
	}
	return processCPU(s.command.Process.Pid)
}

// stop ends the server, which nobody needs any more.
func (s *server) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(5*time.Second, func() { _ = s.command.Process.Kill() })
	defer late.Stop()
	_ = s.command.Wait() // it was told to end: how does not matter
}

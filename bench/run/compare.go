package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// comparison is a scenario that every peer runs.
type comparison struct {
	letter, title string
	args          []string // of fraiseql bench
	query         string   // byRoom, unless given
	kind          kind
	without       []string       // peers that cannot
	only          []string       // if given: peers that can
	python        bool           // a rate that those inside Python hold: of the others, only ours and the floor
	windows       map[string]int // by peer, where theirs is not what the scenario needs
	note          string
}

// kind is what a comparison measures.
type kind uint8

const (
	paced     kind = iota // deliveries at a rate
	saturated             // deliveries in a closed loop, each peer with its window
	resting               // memory
	pairing               // subscribes with their completes
	storming              // connections that come back
	tenants               // paced; each room is a tenant
)

const (
	byRoom   = "subscription($room: Int!) { tick(room: $room) { room seq sent sum pad } }"
	byRange  = "subscription($from: Int!, $to: Int!) { tick(from: $from, to: $to) { room seq sent sum pad } }"
	byTenant = "subscription { tick { room seq sent sum pad } }"
)

func words(s string) []string { return strings.Fields(s) }

// comparisons are all of them. Tenants have no counterpart elsewhere.
var comparisons = []comparison{
	{letter: "A1", title: "1 room × 1,000 subscribers, 20 events/s", args: words("-c 1000 -r 20 -d 4s --warmup 1s")},
	{letter: "A2", title: "1 room × 1,000 subscribers, 200 events/s", args: words("-c 1000 -r 200 -d 3s --warmup 1s")},
	{letter: "A3", title: "1 room × 10,000 subscribers, 2 events/s", args: words("-c 10000 -r 2 -d 4s --warmup 1s")},
	{letter: "A4", title: "1 room × 1,000 subscribers, as fast as it goes", args: words("-c 1000 -d 3s --warmup 1s"), kind: saturated},
	{letter: "A5", title: "1 room × 1,000 subscribers, 1,520 events/s", args: words("-c 1000 -r 1520 --tick 10ms -d 3s --warmup 1s"),
		only: []string{us, "library", floor, "centrifuge", "centrifuge-5ms"},
		note: "Those that come near such a rate; A4 has the others. The rate counts until the last delivery arrived, and is below what was asked for by its latency."},
	{letter: "B1", title: "1,000 rooms × 1 subscriber, 2,500 events/s", args: words("-c 1000 --rooms 1000 -r 2500 --tick 10ms -d 3s --warmup 1s")},
	{letter: "P1", title: "inside Python: 1 room × 1,000 subscribers, 3 events/s", python: true, args: words("-c 1000 -r 3 -d 5s --warmup 1s")},
	{letter: "P2", title: "inside Python: 1,000 rooms × 1 subscriber, as fast as it goes", python: true, kind: saturated,
		args: words("-c 1000 --rooms 1000 -d 4s --warmup 1s"), note: "1 room as fast as it goes is A4, 1,000 rooms at one rate are B1.",
		windows: map[string]int{us: 8000, floor: 8000, "fraiseql-serve": 8000, "fraiseql-asgi": 4000, "strawberry": 2000, "ariadne": 2000, "graphql-core": 2000}},
	{letter: "B2", title: "100,000 rooms × 1 subscription, 10 of a connection, 2,500 events/s",
		args:    words("-c 10000 -m 10 --rooms 100000 -r 2500 --tick 10ms -d 5s --warmup 3s"),
		without: []string{floor, "yoga"}},
	{letter: "C", title: "10,000 idle connections", args: words("--idle --settle 0s -c 10000"), kind: resting, note: atOnce},
	{letter: "C2", title: "18,000 idle connections", args: words("--idle --settle 0s -c 18000"), kind: resting, note: atOnce},
	{letter: "D", title: "20 subscribers, 100 events/s: latency", args: words("-c 20 -r 100 -d 10500ms --warmup 500ms")},
	{letter: "E", title: "100 subscribers, 50 events/s, beside 300 connections a second that come, subscribe and break off",
		args: words("-c 100 -r 50 -d 4s --warmup 1s --churn 300")},
	{letter: "E2", title: "8 connections that subscribe and complete, 64 pairs under way, 1,000 different arguments", kind: pairing,
		args: words("--pairs 64 -c 8 --rooms 1000 -d 3s --warmup 1s"), without: []string{floor, "centrifuge", "yoga"},
		note: "The rate is of pairs. Each reuses the operation id of the one before, which a server refuses unless that was completed."},
	{letter: "F", title: "10,000 subscriptions with ranges of their own, 1 % of which match, 20 events/s", query: byRange,
		without: []string{floor, "centrifuge"}, args: words("-c 10000 --rooms 100 --spread 1000 -r 20 -d 3s --warmup 1s"),
		note: "10,000 different ranges; each holds the value of one event in a hundred."},
	{letter: "G", title: "1,000 tenants × 10 subscribers of one channel, each with a token, 2,500 events/s", query: byTenant, kind: tenants, only: []string{us},
		args: words("-c 10000 --rooms 1000 --tenants -r 2500 --tick 10ms -d 4s --warmup 1s"), note: "An event of another tenant would count as altered."},
	{letter: "H1", title: "1,000 subscribers, 50 events/s of 10 kB", only: holdLarge, args: words("-c 1000 -r 50 -d 4s --warmup 4s --payload 10000"),
		note: "Those that hold this rate; the others lose half of it or more: H3 and H4 are within their reach."},
	{letter: "H2", title: "the same beside one client that never reads", only: holdLarge, args: words("-c 1000 -r 50 -d 4s --warmup 4s --payload 10000 --stalled 1")},
	{letter: "H3", title: "100 subscribers, 50 events/s of 10 kB", args: words("-c 100 -r 50 -d 4s --warmup 4s --payload 10000")},
	{letter: "H4", title: "the same beside one client that never reads", args: words("-c 100 -r 50 -d 4s --warmup 4s --payload 10000 --stalled 1")},
	{letter: "I", title: "10,000 connections that break off at once and come back as fast as they can", kind: storming, without: []string{floor},
		args: words("--storm -c 10000 --warmup 1s"), note: "Back: when the last of 10,000 subscriptions has received an event. The load generator takes about half of the CPU time."},
}

// holdLarge are those that send 500 MB a second.
var holdLarge = []string{us, floor, "centrifuge"}

const atOnce = "RSS from 2,000 connections on, read at once when the last one is there: nothing has been given back to the system and no collection was forced."

// peersFile holds the raw results of the comparison.
const peersFile = "peers.jsonl"

// compare builds the peers and runs one comparison after the other, each in rounds within which the peers take turns: so a
// run of a few comparisons is the same as that part of a run of all, and one that was broken off has whole ones.
func compare(ctx context.Context, o *options, run *run, binary, dir string) (err error) {
	temp, err := os.MkdirTemp("", "fraiseql-peers-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	built, err := buildPeers(ctx, o, run.Peers, &builder{root: o.root, binary: binary, temp: temp})
	if err != nil {
		return err
	}
	run.Peers = namesOf(built)
	if err := run.write(dir); err != nil {
		return err
	}
	r, err := openRecords(o, binary, filepath.Join(dir, peersFile))
	if err != nil {
		return err
	}
	defer func() {
		if closed := r.file.Close(); err == nil {
			err = closed
		}
	}()
	r.secret = filepath.Join(temp, "secret")
	if err := os.WriteFile(r.secret, []byte(tenantSecret), 0o600); err != nil {
		return err
	}
	rounds := o.rounds
	if o.short {
		rounds = 1
	}
	for i := range comparisons {
		c := &comparisons[i]
		if o.letters != "" && !slices.Contains(strings.Split(o.letters, ","), c.letter) {
			continue
		}
		for round := 1; round <= rounds; round++ {
			if err := r.compareOne(ctx, round, c, built); err != nil {
				return err
			}
		}
	}
	return nil
}

// builtPeer is a peer with the command that starts it.
type builtPeer struct {
	*peer
	line []string
}

func namesOf(built []builtPeer) (list []string) {
	for i := range built {
		list = append(list, built[i].name)
	}
	return list
}

// buildPeers builds those that were asked for. What cannot be built here is left out, and said. Where an earlier sitting has built
// some, they are the ones: who takes turns stays the same.
func buildPeers(ctx context.Context, o *options, before []string, b *builder) (list []builtPeer, err error) {
	wanted := strings.Split(o.peers, ",")
	for i := range peers {
		p := &peers[i]
		if o.peers != "" && !slices.Contains(wanted, p.name) || before != nil && !slices.Contains(before, p.name) {
			continue
		}
		if _, err := exec.LookPath(p.tool); err != nil {
			if before != nil {
				return nil, fmt.Errorf("%s took part in an earlier sitting: %w", p.name, err)
			}
			o.log("%s is left out: %v", p.name, err)
			continue
		}
		o.log("building %s", p.name)
		line, err := p.build(ctx, b)
		if err != nil {
			if p.name == us || p.name == floor || before != nil || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			o.log("%s is left out: %v", p.name, err)
			continue
		}
		list = append(list, builtPeer{p, line})
	}
	return list, nil
}

// compareOne runs one comparison against each peer; who begins changes with the round.
func (r *recorder) compareOne(ctx context.Context, round int, c *comparison, built []builtPeer) error {
	for i := range built {
		p := &built[(i+round-1)%len(built)]
		if !c.includes(p.peer) || round > c.rounds(p.peer) || r.recorded(&record{Scenario: c.letter, Round: round, Peer: p.name}) != nil {
			continue
		}
		var env, hidden []string
		if c.kind == tenants {
			env, hidden = tenantEnv, []string{"--tenant-key-file", r.secret}
		}
		s, err := start(ctx, p.peer, p.line, env)
		if err != nil {
			return err
		}
		shown := r.comparisonArgs(c, p.peer)
		rec := record{Scenario: c.letter, Round: round, Peer: p.name, Versions: s.Versions, Command: "fraiseql " + quoted(shown)}
		if err := r.sameVersions(&rec); err != nil {
			s.stop()
			return err
		}
		r.server = s
		_, err = r.runAs(ctx, rec, append(append(shown, "--url", s.URL, "--publish-url", s.PublishURL), hidden...))
		r.server = nil
		s.stop()
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil { // it cannot: that is a result too
			r.o.log("  %v", err)
			rec.ExitCode, rec.Result.Problem = 3, err.Error()
			if err := r.write(&rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// includes reports whether a peer takes part.
func (c *comparison) includes(p *peer) bool {
	if p.only != nil && !slices.Contains(p.only, c.letter) {
		return false
	}
	if c.python && p.name != us && p.name != floor && !slices.Contains(pythons, p.name) {
		return false
	}
	if c.only != nil && !slices.Contains(c.only, p.name) {
		return false
	}
	return !slices.Contains(c.without, p.name)
}

// rounds is how often a peer takes part, at most: a system that no aim names is measured less often, so that all can be in one
// run. Routing (B) is to be cheaper than with every peer, and inside Python (P) every system is named.
func (c *comparison) rounds(p *peer) int {
	if slices.Contains(unnamed, p.name) && !slices.Contains([]string{"B1", "B2", "P1", "P2"}, c.letter) {
		return unnamedRounds
	}
	return math.MaxInt
}

// tenantSecret signs the tokens of tenants, on this machine and for the time of a run.
const tenantSecret = "the secret of tenants in a benchmark"

var tenantEnv = []string{"FRAISEQL_AUTH_JWT_SECRET=" + tenantSecret, "FRAISEQL_AUTH_JWT_ISSUER=bench", "FRAISEQL_AUTH_JWT_AUDIENCE=bench",
	"FRAISEQL_AUTH_JWT_CLAIMS_TENANT=tenant_id", "FRAISEQL_SECURITY_ISOLATION=strict"}

// comparisonArgs are the arguments without the addresses.
func (r *recorder) comparisonArgs(c *comparison, p *peer) []string {
	query := c.query
	if query == "" {
		query = byRoom
	}
	args := r.args(append([]string{"--channel", "tick", "--query", query}, c.args...)...)
	if p.protocol != "" {
		args = append(args, "--protocol", p.protocol)
	}
	if c.kind == saturated {
		window := p.window
		if n, ok := c.windows[p.name]; ok {
			window = n
		}
		args = append(args, "--window", strconv.Itoa(window))
	}
	return args
}

func (r *recorder) write(rec *record) error {
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

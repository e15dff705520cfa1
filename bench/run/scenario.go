package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/loadgen"
)

// record is one run of the command: a line of the raw results.
type record struct {
	Scenario string `json:"scenario"`
	Variant  string `json:"variant,omitempty"`
	Round    int    `json:"round"`
	Command  string `json:"command"`
	// Peer is the system of a comparison, Versions what it is made of.
	Peer     string            `json:"peer,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	ExitCode int               `json:"exit_code"` // 1: a delivery was not right

	LoadBefore  float64 `json:"load_before"`
	LoadAfter   float64 `json:"load_after"`
	OthersCPU   float64 `json:"others_cpu_seconds"` // of processes that are not of this run
	WallSeconds float64 `json:"wall_seconds"`

	Result loadgen.Result `json:"result"`
	// Kernel is what the kernel has for the connections.
	Kernel *kernelUse `json:"kernel,omitempty"`

	run string // name of the run that it is of
}

// The scenarios.
const (
	fanOut = "fan-out"
	idle   = "idle"
	slow   = "slow client"
	asHeld = "saturated fan-out"
)

// The variants of the slow client.
const (
	without = "without"
	with    = "with one stalled client"
)

// recorder runs the command and keeps what it says.
type recorder struct {
	o      *options
	binary string
	file   *os.File
	secret string   // file with that of tenants
	server *server  // that of a comparison, whose CPU time is not that of others
	before []record // of earlier sittings
}

// scenarios runs all of them, round by round.
func scenarios(ctx context.Context, o *options, binary, name string) (err error) {
	r, err := openRecords(o, binary, name)
	if err != nil {
		return err
	}
	defer func() {
		if closed := r.file.Close(); err == nil {
			err = closed
		}
	}()
	rounds := o.rounds
	if o.short {
		rounds = 1
	}
	for round := 1; round <= rounds; round++ {
		if err := r.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// round runs each scenario once; the slow client as a pair.
func (r *recorder) round(ctx context.Context, round int) error {
	for _, s := range []struct {
		name string
		run  func(context.Context, int) error
	}{
		{fanOut, func(ctx context.Context, round int) error {
			_, err := r.run(ctx, record{Scenario: fanOut, Round: round}, r.args("-c", "100", "-r", "1000", "-d", "10s", "--warmup", "2s"))
			return err
		}},
		{idle, func(ctx context.Context, round int) error {
			_, err := r.run(ctx, record{Scenario: idle, Round: round}, r.args("--idle", "-c", "10000"))
			return err
		}},
		{slow, r.slowPairs},
		{asHeld, r.saturate},
		{many, r.manyConnections},
	} {
		if r.o.own != "" && !slices.Contains(strings.Split(r.o.own, ","), s.name) {
			continue
		}
		if err := s.run(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// slowPairs measures twice a round, as the aim is about ten pairs.
func (r *recorder) slowPairs(ctx context.Context, round int) error {
	if r.o.short {
		return r.slowPair(ctx, round)
	}
	if err := r.slowPair(ctx, 2*round-1); err != nil {
		return err
	}
	return r.slowPair(ctx, 2*round)
}

// slowPair measures without and with a stalled client, every other pair the other way round. The warm-up is long
// enough for the socket of the stalled client to be full: what is measured begins when its queue begins to fill, and
// lasts until it overflowed and the server gave the client up.
func (r *recorder) slowPair(ctx context.Context, round int) error {
	common := []string{"-c", "1000", "-r", "50", "-d", "16s", "--warmup", "9s", "--payload", "10000"}
	variants := []string{without, with}
	if round%2 == 0 {
		slices.Reverse(variants)
	}
	for _, variant := range variants {
		args := common
		if variant == with {
			args = append(slices.Clone(common), "--stalled", "1")
		}
		if _, err := r.run(ctx, record{Scenario: slow, Variant: variant, Round: round}, r.args(args...)); err != nil {
			return err
		}
	}
	return nil
}

// rungs are the events per second, to 100 connections each, that are tried until one is too many.
var rungs = []int{2000, 4000, 6000, 8000, 10_000, 12_000, 15_000, 20_000, 30_000, 40_000, 60_000}

// saturate goes up the ladder. The last rung that was sustained is the figure of the round; the one that was not is
// kept in the raw results as well.
func (r *recorder) saturate(ctx context.Context, round int) error {
	for _, rate := range rungs {
		last, err := r.run(ctx, record{Scenario: asHeld, Variant: strconv.Itoa(rate) + " events/s", Round: round},
			r.args("-c", "100", "-r", strconv.Itoa(rate), "-d", "4s", "--warmup", "1s", "--tick", "5ms"))
		if err != nil {
			return err
		}
		if !last.sustained() || r.o.short {
			return nil
		}
	}
	return nil
}

// sustained reports whether a rate was held: every delivery right, and at least 98 % of them in the time.
func (r *record) sustained() bool {
	each := float64(r.Result.Connections) / float64(max(r.Result.Channels, 1)) // deliveries of an event
	return r.ExitCode == 0 && r.Result.DeliveriesPerSecond >= 0.98*r.Result.Rate*each
}

// args are the arguments of a scenario, made small for a short run.
func (r *recorder) args(args ...string) []string {
	args = append([]string{"bench", "--json"}, args...)
	if !r.o.short {
		return args
	}
	small := map[string]string{"-c": "3", "-d": "300ms", "--warmup": "100ms", "--rooms": "3", "-m": "2", "--spread": "100", "--pairs": "2"}
	for i := range args[:len(args)-1] {
		if value, ok := small[args[i]]; ok {
			args[i+1] = value
		}
	}
	return args
}

// run runs the command once and writes the record, unless an earlier sitting has it. A command that ends without a result is an
// error; deliveries that were not right are figures.
func (r *recorder) run(ctx context.Context, rec record, args []string) (*record, error) {
	if before := r.recorded(&rec); before != nil {
		return before, nil
	}
	rec.Command = "fraiseql " + strings.Join(args, " ")
	return r.runAs(ctx, rec, args)
}

// runAs is run for a command that is shown as something else.
func (r *recorder) runAs(ctx context.Context, rec record, args []string) (*record, error) {
	r.o.log("round %d, %s %s%s: %s", rec.Round, rec.Scenario, rec.Variant, rec.Peer, rec.Command)
	command := exec.CommandContext(ctx, r.binary, args...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // it ends its server
	command.WaitDelay = 20 * time.Second
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	rec.LoadBefore = loadAverage()
	before, server, start := readCPU(), r.server.cpu(), time.Now()
	err := command.Run()
	rec.WallSeconds, rec.LoadAfter = time.Since(start).Seconds(), loadAverage()
	rec.OthersCPU = max(0, readCPU().others(before)-(r.server.cpu()-server))
	if rec.Scenario == many {
		rec.OthersCPU = 0 // its servers, and those of the others, are of this run
	}
	if err := ctx.Err(); err != nil {
		return nil, err // whatever it says of the part that it did
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) && failed.ExitCode() == 1 {
		err, rec.ExitCode = nil, 1
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &rec.Result)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", rec.Command, err, errs.Bytes())
	}
	if rec.ExitCode != 0 {
		r.o.log("  %s", bytes.TrimSpace(errs.Bytes()))
	}
	rec.Result.Server.PID = 0 // of no use to anybody else
	return &rec, r.write(&rec)
}

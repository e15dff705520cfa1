package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// many is the scenario of more connections than one process may have files: several servers, each with a load generator of
// its own, hold theirs at the same time.
const many = "many connections"

// together is the variant of the record about all of them; those of the single ones are named by their number.
const together = "all"

const (
	manyServers = 6
	// manyEach stays below a limit of 20,000 files.
	manyEach = "18000"
	// manyQuiet is how long each step is held: long enough for all of them to be there at the same time.
	manyQuiet = "30s"
)

// manySchema is what the load generator subscribes to.
const manySchema = "type Subscription { tick(room: Int): Tick! }\ntype Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }\n"

// kernelUse is what the kernel had at the moment of the most connections, more than before there were any.
type kernelUse struct {
	// Sockets are both ends, and so is the memory, as clients and servers are on this machine.
	Sockets       int64 `json:"sockets"`
	SlabKB        int64 `json:"slab_kb"`
	UnreclaimedKB int64 `json:"unreclaimable_slab_kb"`
	BufferPages   int64 `json:"tcp_buffer_pages"`
	ServersRSSKB  int64 `json:"servers_rss_kb"`
}

func readKernel(servers []*server) (k kernelUse) {
	memory, sockets := read("/proc/meminfo"), strings.Fields(field(read("/proc/net/sockstat"), "TCP"))
	k.SlabKB, k.UnreclaimedKB = kilobytes(field(memory, "Slab")), kilobytes(field(memory, "SUnreclaim"))
	for i := 0; i+1 < len(sockets); i += 2 {
		n, _ := strconv.ParseInt(sockets[i+1], 10, 64)
		switch sockets[i] {
		case "inuse":
			k.Sockets = n
		case "mem":
			k.BufferPages = n
		}
	}
	for _, s := range servers {
		k.ServersRSSKB += kilobytes(field(read("/proc/"+strconv.Itoa(s.command.Process.Pid)+"/status"), "VmRSS"))
	}
	return k
}

// above is what was added since before.
func (k kernelUse) above(before kernelUse) kernelUse {
	return kernelUse{k.Sockets - before.Sockets, k.SlabKB - before.SlabKB, k.UnreclaimedKB - before.UnreclaimedKB, k.BufferPages - before.BufferPages,
		k.ServersRSSKB - before.ServersRSSKB}
}

// manyConnections starts the servers and their load generators, and notes the moment at which there are the most connections. That
// takes three minutes and is the same each time: the first round does it alone.
func (r *recorder) manyConnections(ctx context.Context, round int) (err error) {
	if round > 1 || r.recorded(&record{Scenario: many, Variant: together, Round: round}) != nil {
		return nil
	}
	servers, quiet := manyServers, manyQuiet
	if r.o.short {
		servers, quiet = 2, "100ms"
	}
	temp, err := os.MkdirTemp("", "fraiseql-many-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	schema := filepath.Join(temp, "tick.graphql")
	if err := os.WriteFile(schema, []byte(manySchema), 0o600); err != nil {
		return err
	}
	var running []*server
	defer func() {
		for _, s := range running {
			s.stop()
		}
	}()
	for range servers {
		s, err := startOurs(ctx, []string{r.binary, "serve", "--dev", "--schema", schema, "--log-level", "error"}, nil)
		if err != nil {
			return err
		}
		running = append(running, s)
	}
	before, start, ended := readKernel(running), time.Now(), make(chan error, servers)
	for i, s := range running {
		args := append(r.args("--idle", "--settle", quiet, "-c", manyEach, "--channel", "tick", "--query", byRoom), "--url", s.URL, "--publish-url", s.PublishURL)
		// The addresses are of no use to anybody else.
		rec := record{Scenario: many, Variant: strconv.Itoa(i + 1), Round: round, Command: "fraiseql " + quoted(args[:len(args)-4])}
		go func() {
			_, err := r.runAs(ctx, rec, args)
			ended <- err
		}()
	}
	most, err := watchMost(running, before, ended)
	if err != nil {
		return err
	}
	all := record{Scenario: many, Variant: together, Round: round, Command: "fraiseql " + quoted(r.args("--idle", "--settle", quiet, "-c", manyEach)), Kernel: &most}
	all.WallSeconds, all.Result.Connections = time.Since(start).Seconds(), int(most.Sockets/2)
	all.Result.Subscriptions = all.Result.Connections
	if n := float64(all.Result.Connections); n > 0 {
		all.Result.Server.RSSKB, all.Result.Server.RSSKBPerConnection = most.ServersRSSKB, float64(most.ServersRSSKB)/n
	}
	return r.write(&all)
}

// watchMost waits until all load generators have ended and returns what there was at the moment of the most connections.
func watchMost(servers []*server, before kernelUse, ended <-chan error) (most kernelUse, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for left := len(servers); left > 0; {
		select {
		case failed := <-ended:
			err = errors.Join(err, failed)
			left--
		case <-tick.C:
			if now := readKernel(servers).above(before); now.Sockets >= most.Sockets { // the last moment of several: it has settled
				most = now
			}
		}
	}
	return most, err
}

package natsbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
)

// kind is one of the three streams of a prefix.
type kind int

const (
	events  kind = iota // ordinary channels
	control             // bus.ControlChannel, which nothing ordinary may push out
	node                // the channels of nodes: a minute of them
	kinds
)

func kindOf(channel string) kind {
	switch {
	case bus.IsNode(channel):
		return node
	case bus.IsControl(channel):
		return control
	}
	return events
}

const (
	// duplicateWindow is how long JetStream knows ids; the engine knows them longer, and per channel.
	duplicateWindow = 30 * time.Second
	nodeAge         = time.Minute
	controlBytes    = 64 << 20
	nodeBytes       = 64 << 20
	// metaEpoch is where a stream says that it lost its tail.
	metaEpoch = "fraiseql-epoch"
)

// spec is what one stream is to be.
type spec struct {
	kind  kind
	name  string
	space string // begins the subjects that events are published to, with its dot
}

func (c *config) spec(k kind) spec {
	switch k {
	case control:
		return spec{k, c.stream + "_control", c.prefix + ".control."}
	case node:
		return spec{k, c.stream + "_node", c.prefix + ".node."}
	}
	return spec{k, c.stream, c.prefix + "."}
}

// subject is where a channel's events are published.
func (s *spec) subject(tok string) string { return s.space + tok }

// stored is the subject that the server gives to an event of the partition; "*" stands for every channel.
func (s *spec) stored(partition uint32, tok string) string {
	return s.space + strconv.FormatUint(uint64(partition), 10) + "." + tok
}

// transform is how the server puts events into partitions.
func (s *spec) transform() *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source: s.space + "*", Destination: fmt.Sprintf("%s{{partition(%d,1)}}.{{wildcard(1)}}", s.space, partitionsOf(s.kind)),
	}
}

// create is the configuration of a stream that does not exist yet. wholes: the server knows them.
func (s *spec) create(c *config, retain time.Duration, wholes bool) jetstream.StreamConfig {
	out := jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.space + "*"}, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardOld, Duplicates: duplicateWindow, AllowDirect: true, Replicas: max(c.replicas, 1),
		SubjectTransform: s.transform(), MaxBytes: defaultMaxBytes, MaxAge: defaultMaxAge,
		Description: "events of FraiseQL subscriptions",
	}
	switch s.kind {
	case events:
		out.AllowAtomicPublish = wholes && out.Replicas > 1
		if c.maxBytes > 0 {
			out.MaxBytes = c.maxBytes
		}
		if c.maxAge > 0 {
			out.MaxAge = c.maxAge
		}
	case control:
		// A revocation is refused, which shows, rather than forgotten, which does not.
		out.Discard, out.MaxBytes, out.MaxAge = jetstream.DiscardNew, controlBytes, retain
	case node:
		out.MaxBytes, out.MaxAge = nodeBytes, nodeAge
	}
	out.Duplicates = min(out.Duplicates, out.MaxAge)
	return out
}

// adjust changes what a URL asks for explicitly and reports whether anything was changed.
func (s *spec) adjust(have *jetstream.StreamConfig, c *config, retain time.Duration, wholes bool) bool {
	changed := false
	if c.replicas > 0 && have.Replicas != c.replicas {
		have.Replicas, changed = c.replicas, true
	}
	switch s.kind {
	case events:
		if wholes && have.Replicas > 1 && !have.AllowAtomicPublish {
			have.AllowAtomicPublish, changed = true, true
		}
		if c.maxBytes > 0 && have.MaxBytes != c.maxBytes {
			have.MaxBytes, changed = c.maxBytes, true
		}
		if c.maxAge > 0 && have.MaxAge != c.maxAge {
			have.MaxAge, changed = c.maxAge, true
		}
	case control:
		if have.MaxAge > 0 && have.MaxAge < retain { // never shortened: another node may need it
			have.MaxAge, changed = retain, true
		}
	}
	return changed
}

// state is a stream at one moment.
type state struct {
	created     time.Time
	epoch       uint64
	first, last uint64    // sequences
	newest      time.Time // when the server stored the last
	deleted     int       // messages deleted one by one, inside
	ages        bool      // it refuses what it has no room for: only age takes its oldest, and who may purge it
	roomy       bool      // its limits are so wide that a reader who waits for a message gets it before they drop it
}

// missing reports whether something after a sequence is no longer held.
func (s *state) missing(after uint64) bool { return s.first > after+1 }

// epochOf names a stream's life: from its creation, or from when it was found to have lost its tail.
func epochOf(info *jetstream.StreamInfo) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(info.Created.UnixNano())))
	_, _ = h.Write([]byte(info.Config.Metadata[metaEpoch]))
	return h.Sum64() | 1
}

// roomy reports whether nobody could fill the stream while a consumer wakes up.
func roomy(c *jetstream.StreamConfig) bool {
	const bytes, messages = 64 << 20, 50_000
	return (c.MaxBytes <= 0 || c.MaxBytes >= bytes) && (c.MaxMsgs <= 0 || c.MaxMsgs >= messages) && (c.MaxAge == 0 || c.MaxAge >= time.Second)
}

func stateOf(info *jetstream.StreamInfo) state {
	return state{
		created: info.Created, epoch: epochOf(info), first: info.State.FirstSeq, last: info.State.LastSeq, newest: info.State.LastTime, deleted: info.State.NumDeleted,
		ages: info.Config.Discard == jetstream.DiscardNew, roomy: roomy(&info.Config),
	}
}

// ensure finds a stream or creates it.
func (s *session) ensure(ctx context.Context, sp spec) error {
	c := &s.bus.config
	retain := s.bus.retention()
	found, err := s.js.Stream(ctx, sp.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = s.js.CreateStream(ctx, sp.create(c, retain, s.wholes()))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			found, err = s.js.Stream(ctx, sp.name)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", sp.name, err)
	}
	have := found.CachedInfo().Config
	if err := sp.verify(&have); err != nil {
		return err
	}
	if sp.adjust(&have, c, retain, s.wholes()) {
		if _, err := s.js.UpdateStream(ctx, have); err != nil {
			return fmt.Errorf("change stream %s: %w", sp.name, err)
		}
		s.bus.log.Info("stream changed to what the URL asks for", "bus", "nats", "stream", sp.name)
	}
	if sp.kind == events {
		s.replicated.Store(have.Replicas > 1 && have.AllowAtomicPublish)
	}
	return nil
}

// verify checks that a stream that somebody else made can carry events.
func (s *spec) verify(have *jetstream.StreamConfig) error {
	wrong := func(what string) error {
		return fmt.Errorf("stream %s exists, but %s: delete it, or name another prefix and stream", s.name, what)
	}
	switch {
	case !slices.Contains(have.Subjects, s.space+"*"):
		return wrong("does not hold the subject " + s.space + "*")
	case have.Retention != jetstream.LimitsPolicy:
		return wrong("its retention is not by limits")
	case !have.AllowDirect:
		return wrong("it does not allow direct gets")
	case have.MaxMsgsPerSubject > 0:
		return wrong("it has a limit of messages per subject, so that what is missing cannot be told")
	case have.SubjectTransform == nil || *have.SubjectTransform != *s.transform():
		return wrong("does not turn " + s.space + "* into " + s.transform().Destination)
	}
	return nil
}

// inspect asks the leader of a stream for its state.
func (s *session) inspect(ctx context.Context, k kind) (state, error) {
	found, err := s.js.Stream(ctx, s.streams[k].name)
	if err != nil {
		return state{}, fmt.Errorf("stream %s: %w", s.streams[k].name, err)
	}
	return stateOf(found.CachedInfo()), nil
}

// revive is inspect, but makes a stream anew that somebody deleted.
func (s *session) revive(ctx context.Context, k kind) (state, error) {
	st, err := s.inspect(ctx, k)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err = s.ensure(ctx, s.streams[k]); err == nil {
			st, err = s.inspect(ctx, k)
		}
	}
	return st, err
}

// lostTail writes a new epoch into a stream that holds less than was delivered from it, unless another node has
// already. The sequences that follow were used before.
func (s *session) lostTail(ctx context.Context, k kind, seen uint64) (state, error) {
	found, err := s.js.Stream(ctx, s.streams[k].name)
	if err != nil {
		return state{}, err
	}
	info := found.CachedInfo()
	if epochOf(info) != seen {
		return stateOf(info), nil
	}
	changed := info.Config
	changed.Metadata = map[string]string{}
	for name, v := range info.Config.Metadata {
		changed.Metadata[name] = v
	}
	changed.Metadata[metaEpoch] = strconv.FormatInt(time.Now().UnixNano(), 10)
	if found, err = s.js.UpdateStream(ctx, changed); err != nil {
		return state{}, err
	}
	return stateOf(found.CachedInfo()), nil
}

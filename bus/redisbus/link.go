package redisbus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
)

// link is how the bus is with Redis, for Status and for those who wait.
type link struct {
	laidOut chan struct{} // closed when the table of partitions is known
	poke    chan struct{} // asks for a look at Redis now

	mu         sync.Mutex
	changed    chan struct{} // closed when visited or up changes
	visited    bool          // the last look at Redis was well, and no connection broke since
	ears       []*ear
	up         bool // visited, and everything that is wanted is read
	was        bool // up at least once
	since      time.Time
	problem    string
	cause      bus.Cause
	reconnects uint64
}

func (l *link) init() {
	l.laidOut, l.poke = make(chan struct{}), make(chan struct{}, 1)
	l.changed = make(chan struct{})
	l.since, l.problem, l.cause = time.Now(), "not connected yet", bus.Silent
}

// problemNow returns why Redis cannot be used, "" if it can.
func (l *link) problemNow() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// trouble is problemNow with its cause.
func (l *link) trouble() (string, bus.Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem, l.cause
}

// ear is one that reads from Redis, as the link knows it.
type ear struct {
	hears atomic.Bool   // what is wanted of it is read; set under link.mu
	retry chan struct{} // 1 slot: Redis is back, a connection may be tried
}

func newEar() *ear { return &ear{retry: make(chan struct{}, 1)} }

// calm forgets that Redis was back before now.
func (e *ear) calm() {
	select {
	case <-e.retry:
	default:
	}
}

// listen notes those that read. The bus is not up until they do.
func (l *link) listen(ears ...*ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ears = append(l.ears, ears...)
	l.judgeLocked()
}

// set notes how a look at Redis was (err: why Redis cannot be used) and reports whether the bus is up or down by that.
func (l *link) set(err error) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.setLocked(err)
}

func (l *link) setLocked(err error) (changed bool) {
	if was := l.visited; was != (err == nil) {
		l.visited = !was
		l.changedLocked()
	}
	if err != nil {
		l.problem, l.cause = describe(err), causeOf(err)
	}
	return l.judgeLocked()
}

// judgeLocked puts the parts together and reports whether the whole has changed.
func (l *link) judgeLocked() (changed bool) {
	up := l.visited && !slices.ContainsFunc(l.ears, func(e *ear) bool { return !e.hears.Load() })
	if up {
		l.problem, l.cause = "", ""
	}
	if up == l.up {
		return false
	}
	l.up, l.since = up, time.Now()
	l.changedLocked()
	if up && l.was {
		l.reconnects++
	}
	l.was = l.was || up
	return true
}

func (l *link) changedLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// fail notes that a connection broke, of e if it is not nil, and reports whether that is news.
func (l *link) fail(e *ear, err error) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e != nil {
		e.hears.Store(false)
	}
	visited, problem := l.visited, l.problem
	return l.setLocked(err) || visited && l.problem != problem
}

// doubt notes that a look at Redis failed: who reads may be on a connection that is as dead.
func (l *link) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.ears {
		e.hears.Store(false)
	}
}

// resume lets those that read try at once to connect.
func (l *link) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.ears {
		select {
		case e.retry <- struct{}{}:
		default:
		}
	}
}

// heard notes that everything that is wanted of e is read.
func (b *Bus) heard(e *ear) {
	if e.hears.Load() || b.ctx.Err() != nil {
		return
	}
	b.link.mu.Lock()
	e.hears.Store(true)
	changed := b.link.judgeLocked()
	b.link.mu.Unlock()
	b.tellUp(changed)
}

func (b *Bus) tellUp(changed bool) {
	if changed {
		b.o.Logger.Info("redis: connected")
	}
}

// awaitUp waits until Redis is there, whether or not what is wanted is read.
func (b *Bus) awaitUp(ctx context.Context) error {
	for {
		b.link.mu.Lock()
		visited, changed := b.link.visited, b.link.changed
		b.link.mu.Unlock()
		if visited {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.ctx.Done():
			return bus.ErrClosed
		}
	}
}

// lost is called by whoever finds a connection broken; e, if it is not nil, reads over it.
func (b *Bus) lost(e *ear, err error) {
	if b.ctx.Err() != nil || err == nil {
		return
	}
	if b.link.fail(e, err) {
		b.o.Logger.Warn("redis: connection lost", "problem", describe(err))
	}
	b.poke()
}

// Status says how the bus is with Redis.
func (b *Bus) Status() bus.Status {
	l := &b.link
	l.mu.Lock()
	s := bus.Status{Connected: l.up, Since: l.since, Problem: l.problem, Cause: l.cause, Reconnects: l.reconnects}
	l.mu.Unlock()
	s.Gaps, s.Repeated = b.reports.gaps.Load(), b.reports.repeated.Load()
	s.Gauges = []bus.Gauge{
		{Name: "fraiseql_redis_entries_invalid", Help: "Entries that were dropped because they break the format, since the start.", Value: float64(b.reports.invalid.Load())},
		{Name: "fraiseql_redis_partitions_read", Help: "Partitions that this node reads.", Value: float64(b.partitionsRead())},
	}
	return s
}

func (b *Bus) partitionsRead() (n int) {
	if t := b.table.Load(); t != nil {
		for _, p := range t.all() {
			if p.wanted() {
				n++
			}
		}
	}
	return n
}

// connect keeps the bus connected until it is closed: it makes the client, then looks after it. It is the goroutine
// that owns all others.
func (b *Bus) connect() {
	var wait backoff
	for b.ctx.Err() == nil {
		err := b.visit()
		switch {
		case err == nil:
			b.deliverAll()
			b.tellUp(b.link.set(nil))
			if wait.tries > 0 {
				b.link.resume()
				b.wakeAll()
			}
			wait = backoff{}
			b.forgetUnused()
			b.pause(b.cfg.tendEach*3/4+rand.N(b.cfg.tendEach/2), b.link.poke)
		case b.ctx.Err() != nil:
			return
		default:
			if b.link.set(err) || wait.tries == 0 {
				b.o.Logger.Warn("redis: not connected", "problem", describe(err))
			}
			b.link.doubt()
			b.pause(wait.next(), nil)
		}
	}
}

// pause waits for some time, an early call, or the end.
func (b *Bus) pause(d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-b.ctx.Done():
	}
}

// backoff doubles from 20 ms to 2 s; each wait is between half of that and all.
type backoff struct{ tries int }

func (w *backoff) next() time.Duration {
	d := min(20*time.Millisecond<<min(w.tries, 10), 2*time.Second)
	w.tries++
	return d/2 + rand.N(d/2)
}

// visitTime bounds one look at Redis.
const visitTime = 5 * time.Second

// visit makes the client if there is none and tends every partition.
func (b *Bus) visit() error {
	ctx, cancel := context.WithTimeout(b.ctx, visitTime)
	defer cancel()
	c, err := b.dial(ctx)
	if err != nil {
		return err
	}
	if b.pubsub != nil {
		return c.Do(ctx, c.B().Ping().Build()).Error()
	}
	since, err := b.found(ctx, c)
	if err != nil {
		return err
	}
	return b.tendAll(ctx, c, since)
}

// dial returns the client, which is made at the first success.
func (b *Bus) dial(ctx context.Context) (rueidis.Client, error) {
	if c := b.client.Load(); c != nil {
		return *c, nil
	}
	c, err := rueidis.NewClient(b.options())
	if err != nil {
		return nil, err
	}
	if err := b.examine(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	b.client.Store(&c)
	return c, nil
}

// options are those of the driver.
func (b *Bus) options() rueidis.ClientOption {
	c, patience := b.cfg, b.o.PublishTimeout
	o := rueidis.ClientOption{
		InitAddress: c.addrs, Username: c.user, Password: c.password, SelectDB: c.db, TLSConfig: c.tls,
		ClientName: "fraiseql", DisableCache: true, ForceSingleClient: c.topology == single, DialCtxFn: b.tapped,
		Dialer:            net.Dialer{Timeout: min(patience, 5*time.Second), KeepAlive: patience / 10},
		ConnWriteTimeout:  patience * 8 / 10, // with the pause before it: what Publish may take
		RingScaleEachConn: 10, ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
	}
	if c.topology == sentinel {
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: c.master, Username: c.sentinelUser, Password: c.sentinelPassword, TLSConfig: c.tls, Dialer: o.Dialer,
			TopologyRefreshInterval: 5 * time.Second,
		}
	}
	return o
}

// examine refuses servers that lack what the format needs. A user who may not ask is let through.
func (b *Bus) examine(ctx context.Context, c rueidis.Client) error {
	text, err := c.Do(ctx, c.B().Info().Section("server").Build()).ToString()
	if err != nil {
		if _, answered := rueidis.IsRedisErr(err); answered && strings.HasPrefix(err.Error(), "NOPERM") {
			return nil
		}
		return err
	}
	return examined(text, b.cfg.topology)
}

// examined reads the section "server" of INFO.
func examined(text string, want topology) error {
	version, mode := "", ""
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			version = value
		case "redis_mode":
			mode = value
		}
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < 7 {
		return problem("the server is Redis " + version + ", at least 7.0 is needed")
	}
	if mode == "cluster" && want != cluster {
		return problem("the server is part of a cluster: use redis+cluster://")
	}
	if mode != "cluster" && mode != "" && want == cluster {
		return problem("the server is not part of a cluster: use redis://")
	}
	return nil
}

// problem is an error whose text may be shown to operators.
type problem string

func (p problem) Error() string { return string(p) }

// transient are the first words of Redis' errors that go away by themselves, or that an operator may mend while we run.
var transient = map[string]bool{
	"LOADING": true, "READONLY": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "OOM": true, "MISCONF": true,
	"NOREPLICAS": true, "BUSY": true, "UNBLOCKED": true, "MOVED": true, "ASK": true, "NOGOODSLAVE": true, "NOMASTERLINK": true,
	"NOAUTH": true, "WRONGPASS": true, "NOPERM": true,
}

// permanent reports whether Redis has answered, and will answer the same next time.
func permanent(err error) bool {
	if _, ok := errors.AsType[problem](err); ok {
		return false // an operator may mend it while we run
	}
	r, answered := rueidis.IsRedisErr(err)
	if !answered {
		return false
	}
	word := wordOf(r)
	return !r.IsNil() && !transient[word] && !strings.Contains(r.Error(), "max number of clients")
}

// wordOf is the first word of what Redis has answered. That a user may not do something is told in another way of a script.
func wordOf(r *rueidis.RedisError) string {
	if strings.HasPrefix(r.Error(), "The user executing the script") {
		return "NOPERM"
	}
	word, _, _ := strings.Cut(r.Error(), " ")
	return word
}

// cause keeps the code of an error of Redis, not its text, which may name a user or a key.
func cause(err error) error { return bus.Because(causeOf(err), problem(describe(err))) }

// causeOf is the cause of an error for publishers.
func causeOf(err error) bus.Cause {
	if r, ok := rueidis.IsRedisErr(err); ok {
		word := wordOf(r)
		switch {
		case word == "NOAUTH", word == "WRONGPASS":
			return bus.BadLogin
		case word == "NOPERM":
			return bus.Denied
		case word == "OOM", word == "MISCONF", strings.Contains(r.Error(), "max number of clients"):
			return bus.Full
		case strings.Contains(r.Error(), "DB index is out of range"):
			return bus.NoDatabase
		case transient[word]:
			return bus.NotReady
		}
		return ""
	}
	if _, ok := errors.AsType[problem](err); ok {
		return bus.NotSet
	}
	return cmp.Or(bus.CauseOf(err), bus.Lost)
}

// describe says in one sentence, without addresses and names, what went wrong.
func describe(err error) string {
	if p, ok := errors.AsType[problem](err); ok {
		return string(p)
	}
	if r, ok := rueidis.IsRedisErr(err); ok {
		word := wordOf(r)
		if text, ok := answers[word]; ok {
			return text
		}
		if strings.Contains(r.Error(), "DB index is out of range") {
			return "redis has no database of this number"
		}
		return "redis refused a command (" + word + ")"
	}
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "redis does not answer in time"
	case errors.As(err, &certificate):
		return "the certificate of redis was refused: " + unwrapped(err).Error()
	case errors.As(err, &dns):
		return "the name of the redis host is not known"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection to redis" + at(op) + ": " + unwrapped(op).Error()
	}
	return "the connection to redis broke"
}

// at says which address was dialled.
func at(op *net.OpError) string {
	if op.Addr == nil {
		return ""
	}
	return " at " + op.Addr.String()
}

// unwrapped is the innermost cause, which names no address.
func unwrapped(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// answers explains the errors that operators meet.
var answers = map[string]string{
	"NOAUTH": "redis wants a password", "WRONGPASS": "redis refuses the user name or password",
	"NOPERM":  "redis does not permit a command or key to this user (the documentation lists what is needed)",
	"LOADING": "redis is loading its data", "READONLY": "redis is a replica now", "OOM": "redis is out of memory",
	"MISCONF": "redis cannot write its data to disk", "CLUSTERDOWN": "the cluster is down", "NOREPLICAS": "redis has too few replicas",
	"WRONGTYPE": "a key under this prefix is of another type: use another prefix", "MASTERDOWN": "the replica has no master",
}

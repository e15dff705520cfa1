package fraiseql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/revoke"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Revocation says which credentials are refused from now on, before they end: those for which everything that is set
// holds. Nothing set is everybody.
type Revocation struct {
	TokenID  string
	UserID   string
	TenantID string
	// IssuedBefore refuses credentials that were issued before, or presented before where they do not say when they were
	// issued. Zero: with a TokenID whenever, else the time of the call, beyond which it may be by five minutes at most, as
	// clocks differ; of what was presented to a node it is then all until the node hears of it, within those minutes.
	IssuedBefore time.Time
}

// ErrTooManyRevocations refuses a revocation beyond 100,000 that are in force. Ask for more at once: a user or a tenant
// rather than each token.
var ErrTooManyRevocations = &Error{Code: code.LimitExceeded, Message: "There are as many revocations in force as there may be."}

var errFutureRevocation = &Error{Code: code.InvalidValue, Message: "issued_before must not be in the future: credentials that are not issued yet cannot be revoked"}

const (
	maxRevocations = 100_000
	// revocationSpare is how many more are taken: others, here and on other nodes, ask for the last ones at the same time.
	revocationSpare = 10_000
	revocationType  = "revocation"
	// controlPage is how many control events are read at a time, controlWait how long whoever presents credentials waits
	// for the first reading, less than clients wait for an answer, and controlRetry the wait between attempts.
	controlPage  = 1000
	controlWait  = 2 * time.Second
	controlRetry = time.Second
	// clockSkew is how much longer than Config.MaxTokenLife a revocation is kept, and how far ahead its time may be: clocks
	// differ, and tokens have a leeway.
	clockSkew = 5 * time.Minute
)

// control is what the engine knows by the events of bus.ControlChannel.
type control struct {
	rules *revoke.Set
	share share
	known atomic.Bool   // the channel was read from its start
	told  chan struct{} // closed when known is set
	kick  chan struct{} // 1 slot: connections are to be looked at again
	reads chan struct{} // 1 slot: the channel is to be read from its start
	start sync.Once     // of the goroutines, which few engines need
	ctx   context.Context
	stop  context.CancelFunc
	works sync.WaitGroup // the goroutines
	sweeps
}

// sweeps are looks at all connections, after rules that came. rules are added, and looks asked for, under mu.
type sweeps struct {
	mu    sync.Mutex
	asked uint64        // rules that need a look
	done  uint64        // of those, the ones that a look has found which has ended
	news  chan struct{} // closed when done changes; nil: nobody waits
}

// begin returns which rules a look that begins now finds.
func (s *sweeps) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// end says that the look has ended that has found so many rules.
func (s *sweeps) end(found uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = found
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// behind returns what is closed when there is something new, if not all of the first rules were found; else nil.
func (s *sweeps) behind(rules uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done >= rules {
		return nil
	}
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return s.news
}

func (c *control) init() {
	c.rules = revoke.NewSet(maxRevocations + revocationSpare)
	c.kick, c.reads = make(chan struct{}, 1), make(chan struct{}, 1)
	c.told = make(chan struct{})
	c.ctx, c.stop = context.WithCancel(context.Background())
}

// inbox takes what the bus delivers: control events, and those for subscribers, which the hub takes.
type inbox struct {
	*hub.Hub
	engine *Engine
}

// Deliver implements bus.Handler.
func (b *inbox) Deliver(m *bus.Message) int {
	if bus.IsControl(m.Event.Channel) {
		b.engine.heed(m)
		return 0
	}
	return b.Hub.Deliver(m)
}

// paceWait bounds one wait for those who read.
const paceWait = 10 * time.Millisecond

// Pace implements bus.Pacer. Meanwhile nothing is left to publishers who have announced to help: one of them waits here.
func (b *inbox) Pace() {
	if h := b.engine.helped.Load(); h != nil {
		for _, p := range h.pollers {
			p.Suspend()
			defer p.Resume()
		}
	}
	b.engine.relief.Wait(paceWait)
}

// startControl begins to read the control events that there are; the bus is attached. A bus that is away is asked again
// and again: nobody is admitted by credentials until then.
func (e *Engine) startControl() {
	if e.ownsBus { // it is new
		e.control.inform()
		return
	}
	e.control.share.init()
	e.bus.Interest(bus.ControlChannel, true)
	if _, remote := e.bus.(bus.Reporter); !remote { // within the process: at once
		if err := e.readControl(e.control.ctx); err == nil {
			e.control.inform()
			return
		}
	}
	e.wakeControl(e.control.reads)
}

// inform says that the control events are known; it reports whether they were not before.
func (c *control) inform() bool {
	if c.known.Swap(true) {
		return false
	}
	close(c.told)
	return true
}

// informed waits until the control events are known, for a short while.
func (c *control) informed(ctx context.Context) bool {
	if c.known.Load() {
		return true
	}
	timer := time.NewTimer(controlWait)
	defer timer.Stop()
	select {
	case <-c.told:
	case <-ctx.Done():
	case <-timer.C:
	}
	return c.known.Load()
}

// wakeControl tells a goroutine by its channel. The first call starts both, one that reads and one that looks at connections
// even while the bus is out of reach; control.stop ends them.
func (e *Engine) wakeControl(channel chan struct{}) {
	c := &e.control
	signal(channel)
	c.start.Do(func() {
		c.works.Go(func() { e.runReads(c.ctx) })
		c.works.Go(func() { e.runSweeps(c.ctx) })
	})
}

// awaitControl waits for the end of the goroutines; control.stop was called.
func (e *Engine) awaitControl() {
	e.control.start.Do(func() {})
	e.control.works.Wait()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (e *Engine) runSweeps(ctx context.Context) {
	c := &e.control
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
			found := c.begin()
			e.expel()
			c.end(found)
		}
	}
}

func (e *Engine) runReads(ctx context.Context) {
	c := &e.control
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.reads:
			err := e.readControl(ctx)
			if err == nil {
				if c.inform() && !e.forgetful() {
					e.log.Info("revocations were read")
				}
				continue
			}
			if !c.known.Load() && ctx.Err() == nil {
				e.log.Debug("revocations could not be read yet: nobody is admitted by credentials until they are", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(controlRetry):
				signal(c.reads)
			}
		}
	}
}

// readControl reads the control channel from its start. What comes meanwhile is delivered, too.
func (e *Engine) readControl(ctx context.Context) error {
	if err := bus.Established(ctx, e.bus, bus.ControlChannel); err != nil {
		return err
	}
	for at := (event.Position{}); ; {
		page, err := e.bus.History(ctx, bus.ControlChannel, at, controlPage)
		if err != nil {
			return err
		}
		if at.IsZero() && !page.Complete && bus.Describe(e.bus).Durable { // others promise nothing
			e.log.Error("the bus has lost revocations that may be in force: revoke again what must not be admitted", "since", time.Now().Add(-e.cfg.maxTokenLife()))
		}
		for i := range page.Messages {
			e.heed(&page.Messages[i])
			at = page.Messages[i].Position
		}
		if len(page.Messages) == 0 || at == page.Head { // a page may be short for what it weighs
			return e.shareControl(ctx)
		}
	}
}

// heed puts a control event in force. It is called under the bus's turn: connections are looked at later.
func (e *Engine) heed(m *bus.Message) {
	if m.Event.Channel == bus.ControlChannel && m.Event.Type == askType {
		e.asked(m)
		return
	}
	if m.Event.Channel != bus.ControlChannel || m.Event.Type != revocationType {
		return // of a later version, or for another node
	}
	rule, err := revoke.Parse(m.Event.Data)
	if err == nil {
		err = rule.Validate()
	}
	if err != nil {
		e.log.Error("a revocation on the bus cannot be read: was it published by another version?", "error", err)
		return
	}
	if e.enforce(rule, m.Event.Timestamp) {
		e.control.share.hear(m.Event.Data)
	}
}

// enforce refuses what a rule names that was made at a time, from now until all of it has ended; false: there are too many.
func (e *Engine) enforce(rule revoke.Rule, since time.Time) bool {
	fresh, ok := e.addRule(rule, since)
	switch {
	case !ok:
		e.log.Error("a revocation was not put in force: there are too many", "limit", maxRevocations+revocationSpare)
		e.observer.Counted(observe.Revocations, "refused", 1)
	case fresh:
		e.observer.Counted(observe.Revocations, "enforced", 1)
		e.wakeControl(e.control.kick)
	}
	return ok
}

func (e *Engine) addRule(rule revoke.Rule, since time.Time) (fresh, ok bool) {
	c, now := &e.control, time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh, ok = c.rules.Add(rule, e.presentedBefore(&rule, since, now), now, since.Add(e.cfg.keptFor()))
	if fresh && ok {
		c.asked++
	}
	return fresh, ok
}

// presentedBefore is until when credentials that do not say when they were issued were presented, by this node's clock, for a
// rule made at a time and heard of now to name them: until IssuedBefore. A rule of all until it was made, which is heard of
// while the node serves, names what is here by now, as clocks differ, but no more than clockSkew later.
func (e *Engine) presentedBefore(rule *revoke.Rule, since, now time.Time) time.Time {
	at := rule.IssuedBefore
	if at.Before(since) || !e.control.known.Load() {
		return at
	}
	switch late := at.Add(clockSkew); {
	case now.After(late):
		return late
	case now.Before(at):
		return at
	}
	return now.Add(1) // what is presented at this very time is here by now
}

// revoked reports whether credentials are refused.
func (e *Engine) revoked(who *identity.Identity) bool { return e.control.rules.Matches(who) }

// revokedText is what clients see whose credentials were revoked.
const revokedText = "Forbidden: the credentials were revoked"

// expel closes the connections whose credentials are refused, and ends the pulled subscriptions.
func (e *Engine) expel() {
	now, n := time.Now(), 0
	for _, s := range e.serving() {
		n += s.dismiss(e.revoked, session.CodeForbidden, revokedText)
	}
	for _, s := range e.pulls.live() {
		if e.revoked(s.Identity()) {
			s.End(appendErrors(nil, refused(code.Unauthenticated, revokedText)))
			n++
		}
	}
	e.log.Info("a revocation is in force", "ended", n, "rules", e.control.rules.Len(), "took", time.Since(now))
}

// expelled waits until the connections have ended that the rules which are there name, or ctx ends.
func (e *Engine) expelled(ctx context.Context) error {
	c := &e.control
	rules := c.begin()
	for news := c.behind(rules); news != nil; news = c.behind(rules) {
		select {
		case <-news:
		case <-c.ctx.Done(): // Close ends everything
			return nil
		case <-ctx.Done():
			return fmt.Errorf("end what was revoked: %w", ctx.Err())
		}
	}
	return nil
}

// Revoke refuses credentials from now on, on every node that shares the bus, and closes the connections that were opened
// with them, with 4403; subscriptions that are pulled end with UNAUTHENTICATED. It returns when the bus has acknowledged and
// this node has ended them: what is published from then on reaches none of them here. Other nodes act shortly after. The
// revocation is kept as long as Config.MaxTokenLife. The errors are ErrTooManyRevocations, an *Error for a revocation that is
// none, those of the bus, and that of ctx, which may end when the revocation is in force already.
func (e *Engine) Revoke(ctx context.Context, r Revocation) error {
	now := event.Now()
	if r.TokenID == "" && r.IssuedBefore.IsZero() {
		r.IssuedBefore = now
	}
	rule := revoke.Rule(r)
	if err := rule.Validate(); err != nil {
		return &Error{Code: code.InvalidValue, Message: err.Error()}
	}
	if r.IssuedBefore.After(now.Add(clockSkew)) { // it would be forgotten before what it names has ended
		return errFutureRevocation
	}
	if e.closed.Load() {
		return bus.ErrClosed
	}
	if e.control.rules.Full(&rule, maxRevocations, now) {
		return ErrTooManyRevocations
	}
	m := bus.Message{Event: event.Event{Channel: bus.ControlChannel, Type: revocationType, Data: rule.Append(nil), Timestamp: now, UID: event.NewIDAt(now)}}
	if _, err := e.bus.Publish(ctx, []bus.Message{m}); err != nil {
		return errors.Join(errors.New("publish a revocation"), err)
	}
	if !e.enforce(rule, now) { // here at once, whenever it comes back
		return ErrTooManyRevocations
	}
	return e.expelled(ctx)
}

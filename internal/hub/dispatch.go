package hub

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// dispatch is the scratch of one event on its way through one channel. Pooled.
type dispatch struct {
	hub      *Hub
	event    *event.Event
	at       event.Position
	tape     *jsontape.Tape
	own      Parsed  // for events that arrive unparsed
	parsed   *Parsed // own, or what came with the event
	base     *policy.Audience
	aud      *policy.Audience // base, or narrowed: by the paths of the shape at work
	narrowed policy.Audience
	narrows  bool // narrowed was used
	seq      uint64
	now      uint32 // see clock
	budget   int
	slab     slab
	last     *plan.Projection // whose payload of this event is payload
	payload  []byte
	message  *queue.Message // of the group that was prepared last
	kept     []*Group       // that keep theirs until the end of the event
	memo     plan.Memo      // what other projections of this event found
	cursor   []byte         // text of the event's cursor, once it was needed
	buf      []byte         // texts of addresses
	key      []byte         // index key
	owners   []string       // list at an @owner path
	cells    []*cell        // those that narrowing found
	started  time.Time
	timed    uint8
	// discarded is why the turn refused the event, a label of observe.EventsDiscarded.
	discarded string

	// Under isolation strict: a shape was left out for want of a tenant; another one had one.
	isolated, addressed bool

	results results
	lanes   []*Group // a resolver must be called for each, once per mention
	out     observe.Dispatch
}

// memberBatch is how many members are served before joins and leaves get a chance: some 300 µs. With 256, an event to thousands beside many
// joins took 1.4 times as long, since the lock went to those who had waited a millisecond, and the dispatch to the end of a run queue.
const memberBatch = 1024

func newDispatch(h *Hub) *dispatch { return &dispatch{hub: h} }

// begin prepares the counts of an event.
func (d *dispatch) begin(m *bus.Message) {
	d.event, d.at, d.discarded = &m.Event, m.Position, ""
	d.out = observe.Dispatch{Latency: -1}
	d.results, d.isolated, d.addressed = results{}, false, false
	d.lanes = d.lanes[:0]
	d.last, d.payload, d.cursor = nil, nil, nil
	d.memo.Reset()
	d.buf, d.owners = d.buf[:0], d.owners[:0]
	if d.timed++; d.timed%16 == 0 {
		d.started = time.Now()
	}
}

// open parses what did not come parsed and finds whom the event is for. It returns why the event is discarded,
// one of the labels of observe.EventsDiscarded, or nothing.
func (d *dispatch) open(m *bus.Message) string {
	p, ok := m.Parsed.(*Parsed)
	if !ok {
		p = &d.own
		if p.Parse(d.event, &d.hub.cfg.Address, d.hub.limits.Load().Events) != nil {
			return "invalid"
		}
	}
	d.parsed, d.tape, d.base = p, &p.Tape, &p.Audience
	return ""
}

// end forgets the event, so that scratch keeps nothing alive.
func (d *dispatch) end() {
	d.event, d.tape, d.parsed = nil, nil, nil
	if d.narrows {
		d.narrowed, d.narrows = policy.Audience{}, false
	}
	d.base, d.aud = nil, nil
	d.last, d.payload, d.cursor, d.message = nil, nil, nil, nil
	clear(d.lanes)
	clear(d.owners)
	clear(d.cells)
	d.cells = d.cells[:0]
}

// dispatch takes the channel's turn and serves the event to every subscription that matches and may see it.
func (c *channel) dispatch(d *dispatch) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if d.at != (event.Position{}) && d.at.Epoch == c.last.Epoch && d.at.Partition == c.last.Partition && d.at.Compare(c.last) <= 0 {
		d.discarded = "duplicate"
		return
	}
	d.now = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hub.cfg.Bus.Redelivers && c.repeatsLocked(d) {
		c.last = d.at
		d.discarded = "duplicate"
		return
	}
	if c.follow != nil {
		c.follow.beginLocked(d)
	}
	c.last = d.at
	c.seq++
	d.seq = c.seq
	c.running, d.budget = true, memberBatch
	for i := 0; i < len(c.shapes); i++ {
		if s := c.shapes[i]; s.wants(d.event.Type) {
			c.dispatchShapeLocked(d, s)
		}
	}
	c.running = false
	d.forgetKept()
	if c.follow != nil {
		c.follow.recordLocked(d)
	}
	c.removePostponedLocked()
	if d.timed%16 == 0 {
		d.out.Latency = time.Since(d.started)
	}
}

func (c *channel) removePostponedLocked() {
	for i, s := range c.leaving {
		c.removeLocked(s)
		c.leaving[i] = nil
	}
	c.leaving = c.leaving[:0]
	for i, g := range c.abandoned {
		c.unreserveLocked(g)
		c.abandoned[i] = nil
	}
	c.abandoned = c.abandoned[:0]
}

func (c *channel) dispatchShapeLocked(d *dispatch, s *shape) {
	if !d.appendKey(s) {
		return
	}
	b := s.find(d.key)
	if b == nil {
		return
	}
	if d.narrow(s); d.aud.Nobody {
		d.deny(d.aud.Denied, int(b.members))
		return
	}
	switch {
	case b.one != nil:
		c.dispatchCellLocked(d, b.one)
	case b.many == nil: // a group that joins has no member yet
	case b.many.byTenant == nil:
		for _, cell := range b.many.flat {
			c.dispatchCellLocked(d, cell)
		}
	default:
		c.dispatchTenantsLocked(d, b)
	}
}

// dispatchTenantsLocked visits the cells of the audience's tenant, or of all.
func (c *channel) dispatchTenantsLocked(d *dispatch, b *bucket) {
	tenants := b.many.byTenant
	if d.aud.AnyTenant() {
		for _, t := range tenants {
			c.dispatchTenantLocked(d, t)
		}
		return
	}
	t := tenants[d.aud.Tenant]
	if t == nil {
		d.out.Denied[policy.Tenant] += int(b.members)
		return
	}
	d.out.Denied[policy.Tenant] += int(b.members) - t.members
	c.dispatchTenantLocked(d, t)
}

// appendKey puts the event's canonical values for the shape into d.key; false when one is missing, which
// equals nothing.
func (d *dispatch) appendKey(s *shape) bool {
	d.key = d.key[:0]
	for i := range s.keys {
		r := d.tape.LookupNames(jsontape.Root, s.keys[i])
		if r == jsontape.None {
			return false
		}
		start := len(d.key)
		d.key = append(d.key, 0, 0, 0, 0)
		var ok bool
		if d.key, ok = s.paths[i].Leaf.AppendKey(d.key, d.tape, r); !ok {
			return false
		}
		binary.LittleEndian.PutUint32(d.key[start:], uint32(len(d.key)-start-4))
	}
	return true
}

// narrow sets d.aud: the event's audience with the shape's @tenant and @owner paths and isolation applied.
func (d *dispatch) narrow(s *shape) {
	if d.aud = d.base; s.tenant == nil && s.owner == nil && !d.hub.cfg.Address.Strict {
		return
	}
	d.aud, d.narrowed, d.narrows = &d.narrowed, *d.base, true
	var at policy.Address
	if s.tenant != nil {
		at, d.buf = pathAddress(d.tape, d.tape.LookupNames(jsontape.Root, s.tenant), d.buf)
		d.narrowed = d.narrowed.WithTenant(at)
	}
	if d.hub.cfg.Address.Strict {
		addressed := !d.narrowed.Nobody
		d.narrowed = d.narrowed.Isolated(d.event)
		d.isolated = d.isolated || addressed && d.narrowed.Nobody
		d.addressed = d.addressed || !d.narrowed.Nobody
	}
	if s.owner == nil {
		return
	}
	r := d.tape.LookupNames(jsontape.Root, s.owner)
	if d.tape.Kind(r) == jsontape.Array {
		d.owners, d.buf = ownerAddresses(d.tape, r, d.owners[:0], d.buf)
		d.narrowed = d.narrowed.WithOwners(d.owners)
		return
	}
	at, d.buf = pathAddress(d.tape, r, d.buf)
	d.narrowed = d.narrowed.WithOwner(at)
}

// deny counts n subscriptions that a check excludes; those before it passed.
func (d *dispatch) deny(check policy.Check, n int) {
	for c := policy.Tenant; c < check; c++ {
		d.out.Allowed[c] += n
	}
	d.out.Denied[check] += n
}

// dispatchCellLocked runs checks 2 to 4 for the members of a cell and serves those that pass.
func (c *channel) dispatchCellLocked(d *dispatch, cell *cell) {
	n := cell.len()
	if !d.aud.AllowsTenant(cell.domain.tenant) {
		d.out.Denied[policy.Tenant] += n
		return
	}
	d.out.Allowed[policy.Tenant] += n
	federated := policy.FederationAllows(d.aud.FederationID, d.aud.ServiceName, cell.domain.federationID, cell.domain.serviceName)
	if d.aud.AnyUser() {
		d.out.Allowed[policy.Row] += n
		if !federated {
			d.out.Denied[policy.Federation] += n
			return
		}
		d.out.Allowed[policy.Federation] += n
		c.serveAllLocked(d, cell)
		return
	}
	served := c.serveUsersLocked(d, cell, federated)
	d.out.Allowed[policy.Row] += served
	d.out.Denied[policy.Row] += n - served
	if federated {
		d.out.Allowed[policy.Federation] += served
	} else {
		d.out.Denied[policy.Federation] += served
	}
}

func (c *channel) serveAllLocked(d *dispatch, cell *cell) {
	g := cell.group
	if !d.prepare(g) {
		return
	}
	members, followed := cell.members(), g.cursors
	for i := 0; i < len(members); i++ {
		expect(members, i)
		if d.serve(g, members[i]); followed {
			d.tell(members[i])
		}
		if d.budget--; d.budget == 0 {
			c.breatheLocked(d)
			members = cell.members()
		}
	}
}

// expect asks for members that come after number i before they are needed: first for the subscription, and when that is
// there for its connection.
func expect(members []*Subscription, i int) {
	const far, near = 16, 8
	if i+far < len(members) {
		members[i+near].Expect(unsafe.Pointer(members[i+far]))
	}
}

// serveUsersLocked visits the members of the audience's users and returns how many there are; they are served
// if also federated.
func (c *channel) serveUsersLocked(d *dispatch, cell *cell, federated bool) int {
	served := 0
	visit := func(s *Subscription) {
		if s.joined >= d.seq { // while the lock was let go: nobody has counted it
			return
		}
		served++
		if federated && d.prepare(cell.group) {
			if d.serve(cell.group, s); cell.group.cursors {
				d.tell(s)
			}
			if d.budget--; d.budget == 0 {
				c.breatheLocked(d)
			}
		}
	}
	if cell.len() <= flatMembers {
		for i := 0; i < cell.len(); i++ {
			if s := cell.at(i); d.aud.AllowsUser(s.who.Load().UserID) {
				visit(s)
			}
		}
		return served
	}
	if d.aud.User != "" {
		for _, s := range cell.users()[d.aud.User] {
			visit(s)
		}
		return served
	}
	for i, user := range d.aud.Users {
		if repeats(d.aud.Users, i) {
			continue
		}
		for _, s := range cell.users()[user] {
			visit(s)
		}
	}
	return served
}

func repeats(list []string, i int) bool {
	for _, s := range list[:i] {
		if s == list[i] {
			return true
		}
	}
	return false
}

// breatheLocked lets joins and leaves in, after each batch of members. Leaves wait for the end of the dispatch all
// the same; lists may have grown.
func (c *channel) breatheLocked(d *dispatch) {
	d.budget = memberBatch
	c.mu.Unlock()
	c.mu.Lock()
}

// prepare evaluates the rest of the filter and projects, once per event and group. It reports whether the
// event is for the group now: with a resolver, messages come later.
func (d *dispatch) prepare(g *Group) bool {
	if g.stamp == d.seq {
		if g.rest != nil && g.rest.message != nil {
			d.message = g.rest.message
		}
		return g.pass
	}
	g.stamp = d.seq
	g.pass = g.filter.Match(d.tape, jsontape.Root)
	if !g.pass {
		return false
	}
	d.out.Groups++
	if l := g.lane(); l != nil && d.enter(g, l) {
		g.pass = false
		return false
	}
	d.message = d.compose(g)
	if g.rest != nil && len(g.rest.cells) > 0 {
		g.rest.message = d.message
		d.kept = append(d.kept, g)
	}
	return true
}

// forgetKept lets groups of several cells forget their messages: one that is silent from now on holds nothing of an event.
func (d *dispatch) forgetKept() {
	for i, g := range d.kept {
		g.rest.message = nil
		d.kept[i] = nil
	}
	d.kept = d.kept[:0]
}

// compose makes the group's message of the event.
func (d *dispatch) compose(g *Group) *queue.Message {
	payload := d.project(g)
	switch {
	case g.cursors || g.keyed:
		return d.extend(g, payload)
	case d.slab.apart:
		return &queue.Message{Payload: payload}
	}
	m := d.slab.message()
	m.Payload = payload
	return m
}

// project returns the event's payload. Groups of one document that differ in arguments only, one after the
// other, share the bytes.
func (d *dispatch) project(g *Group) []byte {
	if p := g.projection; d.last != p {
		out := d.slab.room()
		if several := g.channel().groups.len() > 1; several {
			out = p.AppendShared(out, d.tape, &d.memo)
		} else {
			out = p.AppendPayload(out, d.tape, jsontape.Root)
		}
		d.last, d.payload = p, d.slab.carve(out)
	}
	return d.payload
}

// tell notes what a follower was told last.
func (d *dispatch) tell(s *Subscription) {
	if s.joined < d.seq {
		s.follower().told = d.standing()
	}
}

// serve enqueues the group's message for one member.
func (d *dispatch) serve(g *Group, s *Subscription) {
	if s.joined >= d.seq {
		return
	}
	if s.expires != 0 && s.expires <= d.clock() {
		d.results[queue.Gone]++
		return
	}
	r, messages := s.EnqueueCounted(d.message)
	if r.Waits() {
		d.out.Enqueued++
	}
	if r != queue.Enqueued {
		d.results[r] += messages
	}
}

// clock returns the present second. It is read once per event, and only where a subscription expires. The
// event's own timestamp says nothing here: its publisher chose it.
func (d *dispatch) clock() uint32 {
	if d.now == 0 {
		d.now = unixNow()
	}
	return d.now
}

func unixNow() uint32 { return uint32(min(time.Now().Unix(), 1<<32-1)) }

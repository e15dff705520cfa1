package hub

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Join is a subscription that wants in. It is read during the call only, except for what is documented.
type Join struct {
	Conn      *queue.Conn
	ID        []byte // operation id, JSON-escaped
	Plan      *plan.Plan
	Variables []byte         // the object of the coerced variables
	Tape      *jsontape.Tape // of Variables
	Mask      policy.Mask
	Identity  *identity.Identity // kept; must not change
	Policy    *queue.Policy      // kept
	// Resolver is for every event, Types by the type of the event; both kept, nil: none. Resolver goes first.
	Resolver *Resolver
	Types    *Types
	// Extensions: the subscriber asked to be told of drops.
	Extensions bool
	// Cursors: it asked for a cursor with each message. Only for Follow.
	Cursors bool

	salt  uint64 // of a lane
	again bool   // it takes the place of one that was there: bounds of groups do not refuse it
}

const (
	channelGroupsText = "too many different subscriptions on this channel: use variables rather than literals, and fewer variants (limits.groups_per_channel)"
	tenantGroupsText  = "too many different subscriptions of this tenant on this channel: use variables rather than literals, and fewer variants (limits.groups_per_tenant)"
)

// Join adds a subscription to its channel's index: events accepted after it returns are for it. begin, if
// any, is called without a lock once nothing can refuse the subscription any more and before it can receive;
// when it returns false Join returns nil and no error. The errors are those of binding the plan, or one with
// code LIMIT_EXCEEDED. Where the schema of j's plan was replaced meanwhile, or Readmit has given the subscription another
// identity since begin was called, j is renewed (Config.Renew); a subscription that has begun by then, and is not valid any
// more, ends with an error.
func (h *Hub) Join(j *Join, begin func(*Subscription) bool) (*Subscription, []*gql.Error) {
	g, errs := h.reserveNow(j)
	if errs != nil {
		return nil, errs
	}
	s := j.subscription(g.channel())
	if begin != nil && !begin(s) {
		g.channel().giveUp(g)
		return nil, nil
	}
	for stale := g.channel().enter(g, s, j.Identity); stale; {
		if g = h.reserveAgain(j, g, s); g == nil {
			break
		}
		stale = g.channel().enter(g, s, j.Identity)
	}
	return s, nil
}

// enter makes s a member of g, on the place that is kept for who, unless it was completed meanwhile. When g is of a schema
// that was replaced, or s has another identity by now, it does nothing and says so: the place is still kept.
func (c *channel) enter(g *Group, s *Subscription, who *identity.Identity) (stale bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.Ended(): // between begin and here: it was never in the index
		c.unreserveLocked(g)
	case c.hub.stale(g.projection.Plan), s.who.Load() != who:
		return true
	default:
		c.addLocked(g, s)
	}
	return false
}

// giveUp gives a place in a group back.
func (c *channel) giveUp(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unreserveLocked(g)
}

// reserve returns the group for a subscription with a place in it kept, so that group and channel stay.
func (h *Hub) reserve(j *Join, key []byte) (*Group, []*gql.Error) {
	c := h.acquire(j.Plan.Channel)
	defer c.mu.Unlock()
	g, ok := c.groups.get(key)
	if !ok {
		var errs []*gql.Error
		c.members++
		if g, errs = c.bindLocked(j, key, j.Plan.Bind); g == nil && errs == nil {
			g, errs = c.bindLocked(j, key, j.Plan.BindUnkeyed)
		}
		c.members--
		if len(errs) > 0 {
			c.retireIfEmptyLocked()
			return nil, errs
		}
	}
	g.members++
	c.members++
	return g, nil
}

// bindLocked returns the group of a key, made with bind unless there is one by then; neither group nor error when
// the channel has no shape left for its index keys. It lets go of the lock while it binds.
func (c *channel) bindLocked(j *Join, key []byte, bind func(plan.Variables, policy.Mask) (*plan.Bound, []*gql.Error)) (*Group, []*gql.Error) {
	c.mu.Unlock()
	bound, errs := bind(j.Tape, j.Mask)
	c.mu.Lock()
	if g, ok := c.groups.get(key); ok || len(errs) > 0 {
		return g, errs
	}
	g, err := c.newGroupLocked(string(key), bound, j)
	if err != nil {
		return nil, []*gql.Error{err}
	}
	return g, nil
}

func (j *Join) subscription(c *channel) *Subscription {
	s := j.allocate()
	s.channel, s.expires = c, expiry(j.Identity)
	s.who.Store(j.Identity)
	s.Init(j.Conn, j.Policy, j.ID, j.Extensions || j.Cursors)
	return s
}

// expiry is the second from which on nothing is delivered to an identity, the first that begins with its credentials at
// their end; 0: never.
func expiry(who *identity.Identity) uint32 {
	if who.ExpiresAt.IsZero() {
		return 0
	}
	at := who.ExpiresAt.Unix()
	if who.ExpiresAt.Nanosecond() > 0 {
		at++
	}
	return uint32(max(1, min(at, 1<<32-1)))
}

func (j *Join) allocate() *Subscription {
	if j.Cursors {
		return &new(follower).Subscription
	}
	return new(Subscription)
}

// appendKey appends what a group's members have in common: plan, variables, mask, and for a resolver's result
// as much of the identity as it may depend on (docs/security.md).
func (j *Join) appendKey(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(uintptr(unsafe.Pointer(j.Plan))))
	dst = binary.AppendUvarint(dst, uint64(j.Mask))
	if j.Cursors {
		dst = append(dst, 1) // what follows begins with 0 or with a brace
	}
	if j.Resolver != nil || j.Types != nil {
		dst = j.appendResolver(dst)
	}
	return append(dst, j.Variables...)
}

func appendText[T string | []byte](dst []byte, texts ...T) []byte {
	for _, s := range texts {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// addLocked makes s a member of g, on the place that reserve kept.
func (c *channel) addLocked(g *Group, s *Subscription) {
	d := c.hub.domains.take(s.who.Load())
	cl := g.cellOf(d)
	if cl == nil {
		cl = g.newCell(d)
	} else {
		c.hub.domains.release(d)
	}
	cl.add(s)
	g.eachBucket(func(b *bucket) { b.count(d, 1) })
	s.joined = c.seq
	c.hub.subscriptions.Add(1)
	if g.cursors {
		c.followLocked().followers++
	}
}

// newGroupLocked makes an empty group and its index entries; the caller adds its first member. It returns nil, and no
// error, when there is no shape for the keys of b.
func (c *channel) newGroupLocked(key string, b *plan.Bound, j *Join) (*Group, *gql.Error) {
	tenant := j.Identity.TenantID
	l := c.hub.limits.Load()
	switch {
	case j.again:
	case c.groups.len() >= l.GroupsPerChannel:
		return nil, &gql.Error{Code: code.LimitExceeded, Limit: "groups_per_channel", Message: channelGroupsText}
	case c.tenants[tenant] >= l.GroupsPerTenant:
		return nil, &gql.Error{Code: code.LimitExceeded, Limit: "groups_per_tenant", Message: tenantGroupsText}
	}
	g := &Group{key: key, projection: b.Projection, filter: b.Filter, keyed: len(b.Plan.Delivery.Key) > 0, cursors: j.Cursors}
	if j.Resolver != nil || j.Types != nil {
		g.more().lane = j.newLane()
	}
	if !c.indexLocked(g, b) {
		return nil, nil
	}
	// The domain stays readable after its last member has left: only its place in the table goes then.
	g.maker = c.hub.domains.take(j.Identity)
	c.hub.domains.release(g.maker)
	if c.tenants == nil {
		c.tenants = make(map[string]int)
	}
	c.groups.put(g)
	c.tenants[tenant]++
	if g.cursors {
		c.followLocked().groups[g] = struct{}{}
	}
	g.shape.groups++
	c.hub.groups.Add(1)
	return g, nil
}

// indexLocked finds the shape of a group and enters it under each combination of its key values. It reports
// whether the channel may have that shape: one without keys always, or whoever varies arguments (without a schema
// they are any) would lock others out.
func (c *channel) indexLocked(g *Group, b *plan.Bound) bool {
	keys := b.Keys
	combinations := 1
	for _, k := range keys {
		combinations *= len(k.Values)
		if combinations > maxKeys {
			break
		}
	}
	var paths [8]plan.KeyPath
	if combinations <= maxKeys {
		g.shape = c.shapeLocked(b.Plan, keyPaths(paths[:0], b, keys), maxShapes)
	}
	if g.shape == nil {
		if len(keys) > 1 {
			keys, g.filter = keys[:1], b.Residual
		}
		limit := 2 * maxShapes
		if len(keys) == 0 {
			limit = math.MaxInt
		}
		g.shape = c.shapeLocked(b.Plan, keyPaths(paths[:0], b, keys), limit)
	}
	if g.shape == nil {
		return false
	}
	g.enter(nil, keys)
	return true
}

func keyPaths(dst []plan.KeyPath, b *plan.Bound, keys []plan.Key) []plan.KeyPath {
	for _, k := range keys {
		dst = append(dst, b.Plan.Equality[k.Equality])
	}
	return dst
}

// enter adds the group's buckets for all combinations of the values that are left.
func (g *Group) enter(prefix []byte, keys []plan.Key) {
	if len(keys) == 0 {
		g.enterBucket(prefix)
		return
	}
	for _, v := range keys[0].Values {
		g.enter(appendText(prefix[:len(prefix):len(prefix)], v), keys[1:])
	}
}

func (g *Group) enterBucket(key []byte) {
	b := g.shape.find(key)
	if b == nil {
		b = &bucket{key: string(key)}
		g.shape.put(b)
	}
	switch {
	case g.bucket == nil:
		g.bucket = b
	case g.bucket == b || g.rest != nil && slices.Contains(g.rest.buckets, b):
		return
	default:
		g.more().buckets = append(g.more().buckets, b)
	}
	b.groups++
}

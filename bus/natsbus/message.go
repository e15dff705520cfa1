package natsbus

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Headers of an event. The package comment says what each means.
const (
	headerVersion    = "Fraiseql-Version"
	headerType       = "Fraiseql-Type"
	headerID         = "Fraiseql-Id"
	headerTime       = "Fraiseql-Time"
	headerTenant     = "Fraiseql-Tenant"
	headerUser       = "Fraiseql-User"
	headerFederation = "Fraiseql-Federation"
	headerService    = "Fraiseql-Service"
	headerBroadcast  = "Fraiseql-Broadcast"
	headerMsgID      = nats.MsgIdHdr

	// formatVersion is the version of the format that this package writes, and the newest that it reads.
	formatVersion = "1"
)

// encoder makes messages of events, one after the other in the same memory: a header is a map of lists, which costs more
// than all else that is done to publish.
type encoder struct {
	m      nats.Msg
	values [9]string // backs all of the header: each is a list of one string
	n      int

	scratch []byte
	at      time.Time // of the last event
	stamp   string    // at, as text
}

// encode returns the message of an event. now is the time of an event that has none.
func encode(e *event.Event, subject string, now time.Time) *nats.Msg {
	return new(encoder).encode(e, subject, now)
}

// encode is the function of that name; the message is good until the next call.
func (c *encoder) encode(e *event.Event, subject string, now time.Time) *nats.Msg {
	if c.m.Header == nil {
		c.m.Header = make(nats.Header, 4)
	}
	clear(c.m.Header)
	c.n = 0
	if e.Timestamp.IsZero() {
		e.Timestamp = now
	}
	c.set(headerMsgID, c.msgID(e))
	c.set(headerType, headerText(e.Type))
	c.set(headerTime, c.stamped(e.Timestamp))
	for _, member := range [...]struct{ name, value string }{
		{headerTenant, e.TenantID}, {headerUser, e.UserID}, {headerFederation, e.FederationID}, {headerService, e.ServiceName},
	} {
		if member.value != "" {
			c.set(member.name, headerText(member.value))
		}
	}
	if e.Broadcast {
		c.set(headerBroadcast, "true")
	}
	c.m.Subject, c.m.Reply, c.m.Data = subject, "", e.Data
	return &c.m
}

func (c *encoder) set(name, value string) {
	c.values[c.n] = value
	c.n++
	c.m.Header[name] = c.values[c.n-1 : c.n : c.n]
}

// msgID is the id of an event with its scope.
func (c *encoder) msgID(e *event.Event) string {
	if e.ID == "" {
		c.scratch = event.AppendID(c.scratch[:0], e.UID)
	} else {
		c.scratch = append(c.scratch[:0], headerText(e.ID)...)
	}
	end := scope(e.Channel, e.TenantID)
	c.scratch = append(c.scratch, end[:]...)
	return string(c.scratch)
}

// stamped is a time as text. The events of a batch often have the same.
func (c *encoder) stamped(at time.Time) string {
	if c.stamp == "" || at != c.at {
		c.at, c.stamp = at, at.Format(time.RFC3339Nano)
	}
	return c.stamp
}

// scope ends a Nats-Msg-Id: an id says which event it is within one channel and tenant, JetStream's within a stream. It is
// "@" and FNV-1a of channel, a zero byte and tenant, in base64.
func scope(channel, tenant string) [12]byte {
	h := fnv1a(14695981039346656037, channel) // the offset basis
	h = fnv1a(h*fnvPrime, tenant)             // h XOR 0, times the prime
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], h)
	text := [12]byte{0: '@'}
	base64.RawURLEncoding.Encode(text[1:], sum[:])
	return text
}

const fnvPrime = 1099511628211

func fnv1a(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// withoutScope takes the scope from the end of a Nats-Msg-Id, if it is there.
func withoutScope(id, channel, tenant string) string {
	end := scope(channel, tenant)
	if n := len(id) - len(end); n >= 0 && id[n:] == string(end[:]) {
		return id[:n]
	}
	return id
}

// headerText escapes what a header cannot carry: control characters, % itself, and spaces at either end.
func headerText(s string) string {
	plain := s != "" && s[0] != ' ' && s[len(s)-1] != ' '
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] != '%' && s[i] != 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '%' || c == ' ' && (i == 0 || i == len(s)-1) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var (
	errVersion = errors.New("a version of the format that this program does not know")
	errHeader  = errors.New("a header that cannot be read, or one that says whom the event is for, empty or twice")
)

// decode reads a message into an event of the channel. fallback gives the id of an event that carries none, and stored
// the time of one that carries none.
func decode(m *nats.Msg, channel string, stored time.Time, fallback func() string) (e event.Event, err error) {
	err = decodeInto(&e, m, channel, stored, fallback)
	return e, err
}

// decodeInto is decode, into an event that is there. After an error nothing in it counts.
func decodeInto(e *event.Event, m *nats.Msg, channel string, stored time.Time, fallback func() string) error {
	r := reader{header: m.Header, left: len(m.Header)}
	// What every event has comes first: after that, little is looked for that is not there.
	id, kind, at := r.value(headerMsgID), r.text(headerType), r.value(headerTime)
	*e = event.Event{
		Channel: channel, Type: kind, ID: r.text(headerID), TenantID: r.address(headerTenant), UserID: r.address(headerUser),
		FederationID: r.address(headerFederation), ServiceName: r.address(headerService), Timestamp: stored, Data: m.Data,
	}
	if v := r.value(headerVersion); v != "" && v != formatVersion {
		return errVersion
	}
	switch b := r.value(headerBroadcast); b {
	case "", "false":
	case "true":
		e.Broadcast = true
	default:
		r.bad = true
	}
	if at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		r.bad = r.bad || err != nil
		e.Timestamp = t
	}
	switch {
	case e.ID != "":
	case id != "":
		e.ID = withoutScope(r.plain(id), channel, e.TenantID)
	default:
		e.ID = fallback()
	}
	if r.bad {
		return errHeader
	}
	return check(e)
}

// check is Validate with the channels that are the engine's own.
func check(e *event.Event) error {
	if bus.IsControl(e.Channel) {
		probe := *e
		probe.Channel = "control"
		e = &probe
	}
	if err := e.Validate(); err != nil {
		return err
	}
	return nil
}

// value returns a header as it stands.
func value(m *nats.Msg, name string) string {
	if v := m.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// added returns a header that the server adds, as it stands: behind what a publisher may call the same.
func added(m *nats.Msg, name string) string {
	if v := m.Header[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// reader reads headers, each once, unescapes them, and remembers whether one could not be.
type reader struct {
	header nats.Header
	left   int // not looked at yet
	bad    bool
}

// values returns a header as it stands.
func (r *reader) values(name string) (v []string, ok bool) {
	if r.left == 0 {
		return nil, false
	}
	if v, ok = r.header[name]; ok {
		r.left--
	}
	return v, ok
}

// value returns the first of a header.
func (r *reader) value(name string) string {
	if v, _ := r.values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (r *reader) text(name string) string { return r.plain(r.value(name)) }

// address returns a header that says whom an event is for. One that is there must say so, once: as if it were absent, the
// event would be for more than its writer meant.
func (r *reader) address(name string) string {
	v, ok := r.values(name)
	if !ok {
		return ""
	}
	if len(v) != 1 || v[0] == "" {
		r.bad = true
		return ""
	}
	return r.plain(v[0])
}

// plain unescapes.
func (r *reader) plain(v string) string {
	if !strings.Contains(v, "%") {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] != '%' {
			b.WriteByte(v[i])
			continue
		}
		if i+3 > len(v) || !hexadecimal(v[i+1]) || !hexadecimal(v[i+2]) {
			r.bad = true
			return ""
		}
		b.WriteByte(nibble(v[i+1])<<4 | nibble(v[i+2]))
		i += 2
	}
	return b.String()
}

func hexadecimal(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func nibble(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

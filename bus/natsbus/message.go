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

// encode returns the message of an event. now is the time of an event that has none.
func encode(e *event.Event, subject string, now time.Time) *nats.Msg {
	// One array backs all values: a header is a slice of one string.
	values := make([]string, 0, 9)
	h := make(nats.Header, 4)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	id := e.ID
	if id == "" {
		id = e.UID.String()
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = now
	}
	end := scope(e.Channel, e.TenantID)
	set(headerMsgID, headerText(id)+string(end[:]))
	set(headerType, headerText(e.Type))
	set(headerTime, e.Timestamp.Format(time.RFC3339Nano))
	for _, member := range [...]struct{ name, value string }{
		{headerTenant, e.TenantID}, {headerUser, e.UserID}, {headerFederation, e.FederationID}, {headerService, e.ServiceName},
	} {
		if member.value != "" {
			set(member.name, headerText(member.value))
		}
	}
	if e.Broadcast {
		set(headerBroadcast, "true")
	}
	return &nats.Msg{Subject: subject, Header: h, Data: e.Data}
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
	errHeader  = errors.New("a header that cannot be read")
)

// decode reads a message into an event of the channel. fallback gives the id of an event that carries none, and stored
// the time of one that carries none.
func decode(m *nats.Msg, channel string, stored time.Time, fallback func() string) (event.Event, error) {
	if v := value(m, headerVersion); v != "" && v != formatVersion {
		return event.Event{}, errVersion
	}
	r := reader{m: m}
	e := event.Event{
		Channel: channel, Type: r.text(headerType), ID: r.text(headerID), TenantID: r.text(headerTenant), UserID: r.text(headerUser),
		FederationID: r.text(headerFederation), ServiceName: r.text(headerService), Timestamp: stored, Data: m.Data,
	}
	switch b := value(m, headerBroadcast); b {
	case "", "false":
	case "true":
		e.Broadcast = true
	default:
		r.bad = true
	}
	if at := value(m, headerTime); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		r.bad = r.bad || err != nil
		e.Timestamp = t
	}
	switch {
	case e.ID != "":
	case value(m, headerMsgID) != "":
		e.ID = withoutScope(r.text(headerMsgID), channel, e.TenantID)
	default:
		e.ID = fallback()
	}
	if r.bad {
		return event.Event{}, errHeader
	}
	if err := check(&e); err != nil {
		return event.Event{}, err
	}
	return e, nil
}

// check is Validate with the channels that are the engine's own.
func check(e *event.Event) error {
	probe := *e
	if bus.IsControl(e.Channel) {
		probe.Channel = "control"
	}
	if err := probe.Validate(); err != nil {
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

// reader unescapes headers and remembers whether one could not be.
type reader struct {
	m   *nats.Msg
	bad bool
}

func (r *reader) text(name string) string {
	v := value(r.m, name)
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

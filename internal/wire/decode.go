package wire

import (
	"bytes"
	"errors"
	"strconv"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Decoder reads events. The zero value is a strict one with the default limits. It keeps its scratch from
// one call to the next and is not safe for concurrent use.
type Decoder struct {
	Limits Limits

	tape jsontape.Tape
	// own is the memory of the event being read, made as large as its text: what is appended to it never
	// moves, and one allocation holds the whole event.
	own []byte
}

// DecodeEvent reads one event as a publishing door does, with a tape as scratch. The error is an
// *event.Error.
func DecodeEvent(tape *jsontape.Tape, src []byte, lim Limits) (event.Event, error) {
	d := Decoder{Limits: lim, tape: *tape}
	ev, err := d.Event(src)
	*tape = d.tape
	return ev, err
}

// Event reads a text that is one event, strictly. The error is an *event.Error.
func (d *Decoder) Event(src []byte) (event.Event, error) {
	lim := d.Limits.WithDefaults()
	ev, err := d.parse(src, &lim, strict)
	if err != nil {
		return event.Event{}, err
	}
	return ev, nil
}

// BusEvent reads an event as a bus carries it: with a version, ignoring unknown members. The error is an
// *event.Error.
func (d *Decoder) BusEvent(src []byte) (event.Event, error) {
	lim := d.Limits.WithDefaults()
	ev, err := d.parse(src, &lim, lenient)
	if err != nil {
		return event.Event{}, err
	}
	return ev, nil
}

// Batch reads a text that is one event or an array of them, strictly and all or nothing. The error is of
// type Errors.
func (d *Decoder) Batch(src []byte) ([]event.Event, error) {
	lim := d.Limits.WithDefaults()
	levels := 1 // above data
	if trimmed := bytes.TrimLeft(src, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		levels = 2
	}
	if err := d.tape.Parse(src, jsontape.Limits{Depth: lim.EventDepth + levels, Bytes: lim.BatchBytes}); err != nil {
		bad := notJSON(err, &lim)
		if deep := (*jsontape.Error)(nil); levels == 2 && errors.As(err, &deep) && deep.Kind == jsontape.TooDeep {
			bad.Index = elementAt(src, deep.Offset)
		}
		return nil, Errors{bad}
	}
	t := &d.tape
	if t.Kind(jsontape.Root) != jsontape.Array {
		ev, err := d.event(jsontape.Root, &lim, strict)
		if err != nil {
			return nil, Errors{err}
		}
		return []event.Event{ev}, nil
	}
	n := t.Len(jsontape.Root)
	if n > lim.BatchEvents {
		return nil, Errors{tooMany(&lim)}
	}
	events := make([]event.Event, 0, n)
	var errs Errors
	for r, i := t.First(jsontape.Root), 0; r != jsontape.None; r, i = t.After(jsontape.Root, r), i+1 {
		ev, err := d.event(r, &lim, strict)
		if err != nil {
			at := *err
			at.Index = i // the errors of event are shared
			if errs = append(errs, &at); len(errs) == maxErrors {
				break
			}
			continue
		}
		events = append(events, ev)
	}
	if errs != nil {
		return nil, errs
	}
	return events, nil
}

// elementAt returns in which element of an array the byte at an offset is.
func elementAt(array []byte, offset int) (index int) {
	depth, quoted := 0, false
	for i := 0; i < offset; i++ {
		switch c := array[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 1:
			index++
		}
	}
	return index
}

// mode is how strict a reader is.
type mode bool

const (
	strict  mode = false
	lenient mode = true
)

func (d *Decoder) parse(src []byte, lim *Limits, m mode) (event.Event, *event.Error) {
	err := d.tape.Parse(src, jsontape.Limits{Depth: lim.EventDepth + 1, Bytes: lim.BatchBytes})
	if err != nil {
		return event.Event{}, notJSON(err, lim)
	}
	return d.event(jsontape.Root, lim, m)
}

// member names what an envelope may have.
type member uint16

const (
	channel member = 1 << iota
	typeName
	id
	tenantID
	userID
	federationID
	serviceName
	broadcast
	timestamp
	data
	version
)

// members are the names, each at the index of its bit.
var members = [...]string{"channel", "type", "id", "tenant_id", "user_id", "federation_id", "service_name", "broadcast", "timestamp", "data", "v"}

// memberOf returns the bit of a name (0 for none) and the name itself.
func memberOf(name []byte) (member, string) {
	for i, m := range members {
		if string(name) == m {
			return 1 << i, m
		}
	}
	return 0, ""
}

// event reads the event at r.
func (d *Decoder) event(r jsontape.Ref, lim *Limits, m mode) (ev event.Event, err *event.Error) {
	t := &d.tape
	if t.Kind(r) != jsontape.Object {
		return ev, &event.Error{Code: code.BadUserInput, Message: "must be a JSON object, not " + kindText(t, r)}
	}
	var seen member
	var scratch [64]byte
	d.own = make([]byte, 0, len(t.Raw(r)))
	for v := t.First(r); v != jsontape.None; v = t.After(r, v) {
		text := t.NameText(v, scratch[:0])
		mem, name := memberOf(text)
		if mem == 0 || mem == version && m == strict {
			if m == lenient {
				continue
			}
			return ev, unknownMember(text)
		}
		if seen&mem != 0 {
			return ev, refuse(name, "occurs more than once")
		}
		seen |= mem
		if err = d.member(&ev, mem, name, v, lim); err != nil {
			return ev, err
		}
	}
	if err = d.missing(seen, m); err != nil {
		return ev, err
	}
	return ev, ev.Validate()
}

// member reads one member.
func (d *Decoder) member(ev *event.Event, mem member, name string, v jsontape.Ref, lim *Limits) (err *event.Error) {
	switch mem {
	case channel:
		ev.Channel, err = d.name(name, v)
	case typeName:
		ev.Type, err = d.name(name, v)
	case id:
		ev.ID, err = d.name(name, v)
	case tenantID:
		ev.TenantID, err = d.address(name, v)
	case userID:
		ev.UserID, err = d.address(name, v)
	case federationID:
		ev.FederationID, err = d.name(name, v)
	case serviceName:
		ev.ServiceName, err = d.name(name, v)
	case broadcast:
		ev.Broadcast, err = d.bool(name, v)
	case timestamp:
		ev.Timestamp, err = d.time(name, v)
	case data:
		ev.Data, err = d.data(v, lim)
	case version:
		err = d.version(v)
	}
	return err
}

func (d *Decoder) missing(seen member, m mode) *event.Error {
	switch {
	case seen&channel == 0:
		return refuse("channel", "is required")
	case seen&typeName == 0:
		return refuse("type", "is required")
	case seen&data == 0:
		return refuse("data", "is required")
	case m == lenient && seen&version == 0:
		return refuse("v", "is required on a bus")
	}
	return nil
}

// unknownMember quotes the name only where it cannot do harm.
func unknownMember(name []byte) *event.Error {
	const known = "the members of an event are channel, type, data, id, tenant_id, user_id, federation_id, service_name, broadcast and timestamp"
	if string(name) == "final" {
		return refuse("final", "is reserved")
	}
	if string(name) == "event_type" {
		return refuse("event_type", "is not a member of an event: it is called type")
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || len(name) > 64 {
			return refuse("", "has an unknown member: "+known)
		}
	}
	return refuse(string(name), "is not a member of an event: "+known)
}

// keep returns what was appended to d.own since it was from bytes long, as a string.
func (d *Decoder) keep(from int) string {
	b := d.own[from:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *Decoder) name(member string, v jsontape.Ref) (string, *event.Error) {
	if d.tape.Kind(v) != jsontape.String {
		return "", refuse(member, "must be a string, not "+kindText(&d.tape, v))
	}
	from := len(d.own)
	if d.own = d.tape.AppendString(d.own, v); len(d.own) == from {
		return "", refuse(member, "must not be empty")
	}
	return d.keep(from), nil
}

// address reads a tenant or user: a string, or an integer as its decimal text.
func (d *Decoder) address(member string, v jsontape.Ref) (string, *event.Error) {
	switch t := &d.tape; {
	case t.IsInteger(v):
		from, raw := len(d.own), t.Raw(v)
		if string(raw) == "-0" {
			raw = raw[1:]
		}
		d.own = append(d.own, raw...)
		return d.keep(from), nil
	case t.Kind(v) == jsontape.String:
		return d.name(member, v)
	case t.Kind(v) == jsontape.Number:
		return "", refuse(member, "must be a string or an integer, not a number with a fraction or an exponent")
	}
	return "", refuse(member, "must be a string or an integer, not "+kindText(&d.tape, v))
}

func (d *Decoder) bool(member string, v jsontape.Ref) (bool, *event.Error) {
	switch d.tape.Kind(v) {
	case jsontape.True:
		return true, nil
	case jsontape.False:
		return false, nil
	}
	return false, refuse(member, "must be true or false, not "+kindText(&d.tape, v))
}

func (d *Decoder) time(member string, v jsontape.Ref) (at time.Time, err *event.Error) {
	const want = `must be a date and time as in RFC 3339, like "2026-11-23T13:45:00Z"`
	if d.tape.Kind(v) != jsontape.String {
		return at, refuse(member, want+", not "+kindText(&d.tape, v))
	}
	var buf [64]byte
	if text := d.tape.Text(v, buf[:0]); len(text) > 64 || bytes.IndexByte(text, ',') >= 0 || at.UnmarshalText(text) != nil {
		return time.Time{}, refuse(member, want)
	}
	if at.IsZero() { // would read as absent
		return time.Time{}, refuse(member, "must not be the year 1")
	}
	return at, nil
}

// data copies the object without the white space between its tokens: what is copied whole into a payload
// then has no line feed in it, whatever the transport makes of those.
func (d *Decoder) data(v jsontape.Ref, lim *Limits) ([]byte, *event.Error) {
	t := &d.tape
	if t.Kind(v) != jsontape.Object {
		return nil, refuse("data", "must be a JSON object, not "+kindText(t, v))
	}
	from := len(d.own)
	d.own = t.AppendCompact(d.own, v)
	text := d.own[from:len(d.own):len(d.own)]
	if len(text) > lim.EventBytes {
		return nil, tooLarge(lim)
	}
	return text, nil
}

func (d *Decoder) version(v jsontape.Ref) *event.Error {
	if raw := d.tape.Raw(v); string(raw) != strconv.Itoa(Version) {
		return refuse("v", "is a version of the bus format that this release does not read (it reads "+strconv.Itoa(Version)+")")
	}
	return nil
}

// kindText names what stands there instead.
func kindText(t *jsontape.Tape, r jsontape.Ref) string {
	switch t.Kind(r) {
	case jsontape.Null:
		return "null"
	case jsontape.True, jsontape.False:
		return "a boolean"
	case jsontape.Number:
		return "a number"
	case jsontape.String:
		return "a string"
	case jsontape.Array:
		return "an array"
	}
	return "an object"
}

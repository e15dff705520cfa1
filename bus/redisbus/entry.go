package redisbus

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// formatVersion is the version of the fields of an entry.
const formatVersion = "1"

// The fields of an entry, in the order in which they are written: Redis stores names once for neighbours that have the
// same ones in the same order.
const (
	fieldVersion   = "v"
	fieldChannel   = "channel"
	fieldType      = "type"
	fieldID        = "id"
	fieldTime      = "timestamp"
	fieldData      = "data"
	fieldTenant    = "tenant_id"
	fieldUser      = "user_id"
	fieldBroadcast = "broadcast"
	fieldFed       = "federation_id"
	fieldService   = "service_name"
	// fieldEpoch marks the entry that begins an epoch; it is no event.
	fieldEpoch = "epoch"
	// fieldAfter is on such an entry when the stream had a life before.
	fieldAfter = "after"
)

// id is where an entry stands in its stream: Redis writes it epoch-seq.
type id struct{ epoch, seq uint64 }

// String returns the form of Redis.
func (i id) String() string {
	var buf [41]byte
	return string(i.append(buf[:0]))
}

func (i id) append(b []byte) []byte {
	b = append(strconv.AppendUint(b, i.epoch, 10), '-')
	return strconv.AppendUint(b, i.seq, 10)
}

// less orders entries of one stream.
func (i id) less(j id) bool { return i.epoch < j.epoch || i.epoch == j.epoch && i.seq < j.seq }

var errEntryID = errors.New("not the id of an entry")

// parseID reads what Redis writes.
func parseID(s string) (id, error) {
	ms, seq, _ := strings.Cut(s, "-")
	e, err := strconv.ParseUint(ms, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if err != nil || err2 != nil {
		return id{}, errEntryID
	}
	return id{e, n}, nil
}

// stamped is a time as the format has it.
func stamped(at time.Time) string {
	var buf [40]byte
	return string(at.UTC().AppendFormat(buf[:0], time.RFC3339Nano))
}

// appendFields appends the fields and values of an event with that id and time. The strings share the event's memory.
func appendFields(args []string, e *event.Event, name, stamp string) []string {
	args = append(args, fieldVersion, formatVersion, fieldChannel, e.Channel, fieldType, e.Type, fieldID, name,
		fieldTime, stamp, fieldData, rueidis.BinaryString(e.Data))
	for _, f := range [...]struct{ name, value string }{
		{fieldTenant, e.TenantID}, {fieldUser, e.UserID}, {fieldFed, e.FederationID}, {fieldService, e.ServiceName},
	} {
		if f.value != "" {
			args = append(args, f.name, f.value)
		}
	}
	if e.Broadcast {
		args = append(args, fieldBroadcast, "true")
	}
	return args
}

// entry is one entry of a stream, read.
type entry struct {
	id     id
	event  *event.Event
	marker bool // begins an epoch
	first  bool // a marker with nothing before it
}

// errEntry says why an entry is dropped. The texts name no content.
type errEntry string

func (e errEntry) Error() string { return string(e) }

const (
	errShape   errEntry = "it has no fields"
	errVersion errEntry = "its version is not known here"
	errFlag    errEntry = "broadcast is neither true nor false"
	errTime    errEntry = "timestamp is not a time as in RFC 3339"
	errHome    errEntry = "its channel belongs into another stream"
	// errAddress: as if it were absent, the event would be for more than its writer meant.
	errAddress errEntry = "tenant_id, user_id, federation_id or service_name is empty, is there twice or is of another type"
)

// split returns the id of an entry and its fields. An error means that Redis answered something else.
func split(m *rueidis.RedisMessage) (id, []rueidis.RedisMessage, error) {
	pair, err := m.ToArray()
	if err != nil || len(pair) != 2 {
		return id{}, nil, errEntryID
	}
	text, err := pair[0].ToString()
	if err != nil {
		return id{}, nil, errEntryID
	}
	at, err := parseID(text)
	if err != nil {
		return id{}, nil, err
	}
	if pair[1].IsNil() { // deleted, in a group's list
		return at, nil, nil
	}
	fields, err := pair[1].ToArray()
	return at, fields, err
}

// decode reads the fields of the entry at e.id in the partition's stream. The event shares their memory.
func (e *entry) decode(p *partition, f fields, now func() time.Time) error {
	ev := e.event
	if len(f) == 0 {
		return errShape
	}
	version, stamp, broadcast, epoch, after := formatVersion, "", "", "", ""
	for len(f) > 0 {
		name, rest, _ := f.next()
		value, rest, ok := rest.next()
		if !ok {
			return errShape
		}
		f = rest
		target := member(ev, name)
		switch target {
		case &ev.TenantID, &ev.UserID, &ev.FederationID, &ev.ServiceName:
			if len(value) == 0 || *target != "" {
				return errAddress
			}
		}
		switch string(name) {
		case fieldVersion:
			target = &version
		case fieldTime:
			target = &stamp
		case fieldBroadcast:
			target = &broadcast
		case fieldEpoch:
			target = &epoch
		case fieldAfter:
			target = &after
		case fieldData:
			if ev.Data == nil {
				ev.Data = value
			}
			continue
		}
		if target != nil && (*target == "" || target == &version) {
			*target = rueidis.BinaryString(value)
		}
	}
	if version != formatVersion {
		return errVersion
	}
	if epoch != "" && ev.Channel == "" {
		e.marker, e.first = true, after == ""
		return nil
	}
	return e.complete(p, stamp, broadcast, now)
}

// member returns where the value of a field goes.
func member(ev *event.Event, name []byte) *string {
	switch string(name) {
	case fieldChannel:
		return &ev.Channel
	case fieldType:
		return &ev.Type
	case fieldID:
		return &ev.ID
	case fieldTenant:
		return &ev.TenantID
	case fieldUser:
		return &ev.UserID
	case fieldFed:
		return &ev.FederationID
	case fieldService:
		return &ev.ServiceName
	}
	return nil
}

// complete fills in what a writer may leave out and checks the whole.
func (e *entry) complete(p *partition, stamp, broadcast string, now func() time.Time) error {
	ev := e.event
	switch broadcast {
	case "true":
		ev.Broadcast = true
	case "", "false":
	default:
		return errFlag
	}
	if stamp == "" {
		ev.Timestamp = now()
	} else {
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return errTime
		}
		ev.Timestamp = at
	}
	if ev.ID == "" { // the same on every node and in every reading
		ev.ID = p.name + "-" + e.id.String()
	}
	if err := validate(ev); err != nil {
		return errEntry(err.Error())
	}
	if p.bus.home(ev.Channel) != p {
		return errHome
	}
	return nil
}

// validate is event.Validate, with the engine's own channels let through.
func validate(ev *event.Event) error {
	if !bus.IsControl(ev.Channel) {
		if err := ev.Validate(); err != nil {
			return err
		}
		return nil
	}
	// What follows the $ is checked like any name.
	if err := event.ValidateType(ev.Channel); err != nil {
		return err
	}
	copied := *ev
	copied.Channel = "control"
	if err := copied.Validate(); err != nil {
		return err
	}
	return nil
}

// position is where an entry stands, as the engine sees it.
func (p *partition) position(at id) event.Position {
	return event.Position{Epoch: at.epoch, Partition: p.number, Minor: at.seq}
}

// tagOf identifies the content of an entry: its id field or, without one, the hash of its data. The scripts make the
// same of the same entry.
func tagOf(f fields) string {
	var data []byte
	for len(f) > 0 {
		name, rest, _ := f.next()
		value, rest, ok := rest.next()
		if !ok {
			break
		}
		f = rest
		switch string(name) {
		case fieldID:
			if len(value) > 0 {
				return string(value)
			}
		case fieldData:
			data = value
		}
	}
	if len(data) == 0 {
		return ""
	}
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

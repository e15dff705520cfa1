package pgbus

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Types of PostgreSQL, by the numbers that its protocol gives them.
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidText        = 25
	oidTimestamptz = 1184
	oidTextArray   = 1009
	oidXID8        = 5069
)

// postgresEpoch is the microsecond that timestamps are counted from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// binaryForm is the format of parameters and results.
var binaryForm = []int16{1}

// appendArrayHeader begins a one-dimensional array in the binary format; n elements follow.
func appendArrayHeader(dst []byte, oid uint32, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 1) // dimensions
	dst = binary.BigEndian.AppendUint32(dst, 1) // there may be NULLs
	dst = binary.BigEndian.AppendUint32(dst, oid)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	return binary.BigEndian.AppendUint32(dst, 1) // the first index
}

func appendText(dst []byte, text string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

// appendOptional appends a text, or NULL for an empty one.
func appendOptional(dst []byte, text string) []byte {
	if text == "" {
		return appendNull(dst)
	}
	return appendText(dst, text)
}

func appendNull(dst []byte) []byte { return binary.BigEndian.AppendUint32(dst, 1<<32-1) }

// textArray encodes texts as an array.
func textArray(list []string) []byte {
	dst := appendArrayHeader(nil, oidText, len(list))
	for _, text := range list {
		dst = appendText(dst, text)
	}
	return dst
}

func int8Value(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
func xid8Value(n uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, n)
}

// int8Values reads a bigint, or an array of them without NULLs.
func int8Values(value []byte) []int64 {
	if len(value) == 8 {
		return []int64{int64(binary.BigEndian.Uint64(value))}
	}
	const header, element = 20, 4 + 8
	if len(value) < header || binary.BigEndian.Uint32(value) != 1 || uint64(len(value)) != header+element*uint64(binary.BigEndian.Uint32(value[12:])) {
		return nil
	}
	list := make([]int64, 0, (len(value)-header)/element)
	for value = value[header:]; len(value) > 0; value = value[element:] {
		if binary.BigEndian.Uint32(value) != 8 {
			return nil
		}
		list = append(list, int64(binary.BigEndian.Uint64(value[4:])))
	}
	return list
}

func boolValue(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

// The columns of an event, in the order of eventColumns.
const (
	colXID = iota
	colID
	colTimestamp
	colBroadcast
	colVersion
	colChannel
	colType
	colEventID
	colTenant
	colUser
	colFederation
	colService
	colData
	columns
)

const eventColumns = `o.xid, o.id, o."timestamp", o.broadcast, o.v, o.channel, o.type, o.event_id, o.tenant_id, o.user_id, o.federation_id, o.service_name, o.data`

// errRow is returned for an answer that is not what was asked for.
var errRow error = told("an answer that is not understood: is the schema that of another release?")

// message decodes a row. What it returns does not refer to the row's memory.
func message(row [][]byte, epoch uint64) (bus.Message, error) {
	if len(row) != columns || len(row[colXID]) != 8 || len(row[colID]) != 8 || len(row[colTimestamp]) != 8 || len(row[colBroadcast]) != 1 {
		return bus.Message{}, errRow
	}
	micros := int64(binary.BigEndian.Uint64(row[colTimestamp])) + postgresEpoch
	return bus.Message{
		Event: event.Event{
			Channel: string(row[colChannel]), Type: string(row[colType]), ID: string(row[colEventID]), TenantID: string(row[colTenant]),
			UserID: string(row[colUser]), FederationID: string(row[colFederation]), ServiceName: string(row[colService]),
			Broadcast: row[colBroadcast][0] != 0, Timestamp: time.UnixMicro(micros).UTC(), Data: dataOf(row[colData]),
		},
		Position: event.Position{Epoch: epoch, Major: binary.BigEndian.Uint64(row[colXID]), Minor: binary.BigEndian.Uint64(row[colID])},
	}, nil
}

// dataOf copies data without line ends. Within JSON they stand between tokens only; what is copied whole into a
// payload then has none, whatever the transport makes of those.
func dataOf(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, c := range text {
		if c != '\n' && c != '\r' {
			out = append(out, c)
		}
	}
	return out
}

// versionOf returns the version of the format that a row has.
func versionOf(row [][]byte) int {
	if len(row) != columns || len(row[colVersion]) != 2 {
		return -1
	}
	return int(binary.BigEndian.Uint16(row[colVersion]))
}

// number reads a decimal number.
func number(text []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, errRow
	}
	return n, nil
}

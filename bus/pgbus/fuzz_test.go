package pgbus

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzMessage decodes rows of the outbox as the server sends them: each column is a length and that many bytes.
func FuzzMessage(f *testing.F) {
	row := func(columns ...string) (text []byte) {
		for _, c := range columns {
			text = append(append(text, byte(len(c))), c...)
		}
		return text
	}
	number := string(make([]byte, 8))
	f.Add(row(number, number, number, "\x01", "\x00\x01", "orders", "changed", "1", "acme", "", "", "", "{\"a\":\r\n1}"))
	f.Add(row(number, number, "\xff\xff\xff\xff\xff\xff\xff\xff", "", "\x00\x01"))
	f.Add(row(number, number, "\x7f\xff\xff\xff\xff\xff\xff\xff", "\x00", "", "", "", "", "", "", "", "", ""))
	f.Fuzz(func(t *testing.T, text []byte) {
		var row [][]byte
		for rest := text; len(rest) > 0; {
			n := min(int(rest[0]), len(rest)-1)
			row, rest = append(row, slices.Clone(rest[1:1+n])), rest[1+n:]
		}
		version := versionOf(row)
		m, err := message(row, 1)
		if err != nil {
			return
		}
		if version > 1<<16 || bytes.ContainsAny(m.Event.Data, "\r\n") {
			t.Fatalf("%q: version %d, data %q", text, version, m.Event.Data)
		}
		channel, data := m.Event.Channel, string(m.Event.Data)
		for _, column := range row {
			clear(column)
		}
		if m.Event.Channel != channel || string(m.Event.Data) != data {
			t.Fatalf("%q: the event refers to the row", text)
		}
	})
}

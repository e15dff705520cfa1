package event

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position orders the events of one partition: strictly increasing within (Epoch, Partition), the same on
// every node. The zero Position is before every event.
type Position struct {
	Epoch     uint64
	Partition uint32
	Major     uint64 // most significant word of the sequence
	Minor     uint64
}

// IsZero reports whether p is the position before every event.
func (p Position) IsZero() bool { return p == Position{} }

// SameRun reports whether two positions can be compared: they are of one epoch and one partition.
func (p Position) SameRun(q Position) bool { return p.Epoch == q.Epoch && p.Partition == q.Partition }

// Before returns the position whose sequence is one less: events after it are the one at p and those after that. The
// zero Position has none before.
func (p Position) Before() Position {
	switch {
	case p.Minor > 0:
		p.Minor--
	case p.Major > 0:
		p.Major--
		p.Minor = 1<<64 - 1
	}
	return p
}

// Compare orders positions: -1 if p is before q, 0 if they are equal, 1 if it is after. Only within one
// epoch and partition does the order mean time; over them it is merely total.
func (p Position) Compare(q Position) int {
	switch {
	case p.Epoch != q.Epoch:
		return cmp.Compare(p.Epoch, q.Epoch)
	case p.Partition != q.Partition:
		return cmp.Compare(p.Partition, q.Partition)
	case p.Major != q.Major:
		return cmp.Compare(p.Major, q.Major)
	}
	return cmp.Compare(p.Minor, q.Minor)
}

// AppendText appends the four numbers in decimal, joined by dashes. It never fails.
func (p Position) AppendText(dst []byte) ([]byte, error) {
	dst = strconv.AppendUint(dst, p.Epoch, 10)
	dst = strconv.AppendUint(append(dst, '-'), uint64(p.Partition), 10)
	dst = strconv.AppendUint(append(dst, '-'), p.Major, 10)
	return strconv.AppendUint(append(dst, '-'), p.Minor, 10), nil
}

// MarshalText returns what AppendText appends.
func (p Position) MarshalText() ([]byte, error) { return p.AppendText(nil) }

// String returns the text of AppendText.
func (p Position) String() string {
	b, _ := p.AppendText(nil)
	return string(b)
}

// UnmarshalText reads exactly what AppendText writes.
func (p *Position) UnmarshalText(text []byte) error {
	parts := strings.SplitN(string(text), "-", 5)
	if len(text) > 80 || len(parts) != 4 {
		return fmt.Errorf("parse position: want four numbers joined by dashes")
	}
	var n [4]uint64
	for i, part := range parts {
		bits := 64
		if i == 1 {
			bits = 32
		}
		v, err := strconv.ParseUint(part, 10, bits)
		if err != nil || len(part) > 1 && part[0] == '0' {
			return fmt.Errorf("parse position: part %d is not a number in range", i+1)
		}
		n[i] = v
	}
	*p = Position{Epoch: n[0], Partition: uint32(n[1]), Major: n[2], Minor: n[3]}
	return nil
}

package redisbus

import (
	"encoding/binary"

	"github.com/redis/rueidis"
)

// fields are names and values of an entry, in turn, each behind its length: one piece of memory without a pointer,
// however many there are. What is read out of them shares that memory.
type fields []byte

// next returns the first string and what follows it; ok is false at the end.
func (f fields) next() (first []byte, rest fields, ok bool) {
	n, width := binary.Uvarint(f)
	if width <= 0 || uint64(len(f)-width) < n {
		return nil, nil, false
	}
	end := width + int(n)
	return f[width:end:end], f[end:], true
}

// packed makes fields of what the driver answers. What is no string counts as an empty one.
func packed(list []rueidis.RedisMessage) fields {
	if len(list) == 0 {
		return nil
	}
	size := 0
	for i := range list {
		s, _ := list[i].ToString()
		size += binary.MaxVarintLen32 + len(s)
	}
	f := make(fields, 0, size)
	for i := range list {
		s, _ := list[i].ToString()
		f = append(binary.AppendUvarint(f, uint64(len(s))), s...)
	}
	return f
}

// record is an entry as it was read.
type record struct {
	at     id
	fields fields
}

// recordsOf makes records of what the driver answers.
func recordsOf(entries []rueidis.RedisMessage) ([]record, error) {
	list := make([]record, len(entries))
	for i := range entries {
		at, fields, err := split(&entries[i])
		if err != nil {
			return nil, err
		}
		list[i] = record{at, packed(fields)}
	}
	return list, nil
}

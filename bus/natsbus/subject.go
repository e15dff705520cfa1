package natsbus

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// partitions is how many partitions the streams of events and of nodes have: a node with few channels reads a few
// eighths, one with many has 8 consumers. More of them cost the server: 16 channels in turn take 16 µs of its time per
// event with one consumer, 23 µs with ten (bench/bus/nats), and a stream takes fewer events than one lane delivers.
// Another number is another format.
const partitions = 8

func partitionsOf(k kind) uint32 {
	if k == control {
		return 1
	}
	return partitions
}

// reserved reports whether a byte cannot stand in one token of a subject, or escapes another.
func reserved(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '.' || c == '*' || c == '>' || c == '%'
}

// token returns a channel as one token of a subject: each byte that has a meaning there becomes % and two upper-case
// hexadecimal digits. Different channels have different tokens.
func token(channel string) string {
	extra := 0
	for i := range len(channel) {
		if reserved(channel[i]) {
			extra += 2
		}
	}
	if extra == 0 {
		return channel
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(channel) + extra)
	for i := range len(channel) {
		if c := channel[i]; reserved(c) {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// untoken undoes token; not ok for what token does not write.
func untoken(text string) (channel string, ok bool) {
	if !strings.Contains(text, "%") {
		return text, token(text) == text && text != ""
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+3 > len(text) {
			return "", false
		}
		c, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	channel = b.String()
	return channel, token(channel) == text
}

// partitionOf is the partition that a NATS server gives to a token: {{partition(n,1)}}.
func partitionOf(tok string, n uint32) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tok))
	return h.Sum32() % n
}

// lastToken returns what stands behind the last dot of a subject.
func lastToken(subject string) string {
	return subject[strings.LastIndexByte(subject, '.')+1:]
}

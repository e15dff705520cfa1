package ws

import (
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// frameGuess is about what a message has around payload and operation id, to choose the length of the header.
const frameGuess = 32

// AppendPrefix implements poll.Framing: the whole frame of a control item, else the frame's header and the
// message up to its payload.
func (c *conn) AppendPrefix(dst []byte, it *queue.Item) []byte {
	if it.Queue == nil {
		return appendControl(dst, &it.Control)
	}
	if it.Message.End {
		c.driver.Ended(it.Queue)
	}
	if z := c.packed(it); z != nil {
		return c.appendPacked(dst, it, len(z))
	}
	var tail [256]byte
	rest := len(it.Message.Payload) + len(c.appendTail(tail[:0], it))
	start := len(dst)
	header := wsframe.HeaderLen(rest + it.Queue.IDLen() + frameGuess)
	dst = append(dst, make([]byte, header)...)
	dst = c.appendHead(dst, it)
	n := len(dst) - start - header + rest
	if exact := wsframe.HeaderLen(n); exact != header {
		dst = move(dst, start+header, start+exact)
		header = exact
	}
	wsframe.AppendHeader(dst[start:start:start+header], wsframe.Text, n)
	return dst
}

// move shifts dst[from:] to begin at to.
func move(dst []byte, from, to int) []byte {
	n := len(dst) - from
	for len(dst) < to+n {
		dst = append(dst, 0)
	}
	copy(dst[to:], dst[from:from+n])
	return dst[:to+n]
}

// AppendSuffix implements poll.Framing.
func (c *conn) AppendSuffix(dst []byte, it *queue.Item) []byte {
	if c.packed(it) == nil {
		return c.appendTail(dst, it)
	}
	return c.appendPackedTail(dst, it)
}

// appendHead appends the text of a message up to its payload, appendTail what follows it.
func (c *conn) appendHead(dst []byte, it *queue.Item) []byte {
	if c.driver.Legacy() {
		return session.AppendLegacyPrefix(dst, it)
	}
	return session.AppendPrefix(dst, it)
}

func (c *conn) appendTail(dst []byte, it *queue.Item) []byte {
	if c.driver.Legacy() {
		return session.AppendLegacySuffix(dst, it)
	}
	return session.AppendSuffix(dst, it)
}

// AppendTextHeader implements poll.TextFraming.
func (c *conn) AppendTextHeader(dst []byte, n int) []byte {
	return wsframe.AppendHeader(dst, wsframe.Text, n)
}

// Written implements poll.EndFraming.
func (c *conn) Written(it *queue.Item) { c.driver.Written(it.Queue) }

// appendControl appends the frame of a control item.
func appendControl(dst []byte, m *queue.Control) []byte {
	switch m.Kind {
	case queue.Text:
		return wsframe.AppendFrame(dst, wsframe.Text, m.Data)
	case queue.Ping:
		return wsframe.AppendFrame(dst, wsframe.Ping, m.Data)
	case queue.Pong:
		return wsframe.AppendFrame(dst, wsframe.Pong, m.Data)
	default:
		return wsframe.AppendClose(dst, m.Code, m.Data)
	}
}

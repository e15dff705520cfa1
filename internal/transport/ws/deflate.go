package ws

import (
	"sync"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// What clients have in common of a message is compressed once: the text around the payload stands in blocks that are
// not compressed, before and behind the payload's own, which every member of the group shares.

// minDeflate is the shortest payload that is compressed.
const minDeflate = 256

// packed is the compressed payload of an item; nil: it is sent as it is. The same for every call.
func (c *conn) packed(it *queue.Item) []byte {
	if !c.deflate || it.Message == nil || len(it.Message.Payload) < minDeflate {
		return nil
	}
	return it.Message.Other(wsframe.Deflated)
}

// FramedPayload implements poll.PayloadFraming.
func (c *conn) FramedPayload(it *queue.Item) []byte {
	if z := c.packed(it); z != nil {
		return z
	}
	return it.Message.Payload
}

// appendPacked is AppendPrefix of a message whose payload is compressed to n bytes.
func (c *conn) appendPacked(dst []byte, it *queue.Item, n int) []byte {
	var head, tail [512]byte
	first, last := c.appendHead(head[:0], it), c.appendTail(tail[:0], it)
	n += len(first) + len(last) + 2*wsframe.StoredOverhead + 1
	dst = wsframe.AppendDeflatedHeader(dst, wsframe.Text, n)
	return wsframe.AppendStored(dst, first)
}

// appendPackedTail is AppendSuffix of such a message. It ends in the first byte of an empty block, whose rest the
// receiver adds.
func (c *conn) appendPackedTail(dst []byte, it *queue.Item) []byte {
	var tail [512]byte
	return append(wsframe.AppendStored(dst, c.appendTail(tail[:0], it)), 0)
}

// inflated are buffers for messages of clients; larger ones are not kept. They begin large enough for what clients of GraphQL send.
var inflated = sync.Pool{New: func() any {
	b := make([]byte, 0, 4<<10)
	return &b
}}

const keepInflated = 64 << 10

// inflate receives a compressed message.
func (c *conn) inflate(p []byte) {
	buf := inflated.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepInflated {
			inflated.Put(buf)
		}
	}()
	limit := c.decoder().MaxMessage
	message, err := wsframe.AppendInflated((*buf)[:0], p, limit)
	*buf = message[:0]
	switch {
	case err != nil:
		c.broken(err)
	case !utf8.Valid(message):
		c.broken(wsframe.ErrUTF8)
	default:
		c.driver.Receive(message)
	}
}

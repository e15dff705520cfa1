package gqlhttp

import (
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// The pieces of a stream of server-sent events.
const (
	sseNext     = "event: next\ndata: "
	sseComplete = "event: complete\ndata:"
	ssePing     = ":\n\n"
)

// The pieces of a multipart stream. The boundary that ends a part is written with the part: clients hand a part over
// when they see it.
const (
	partHead     = "\r\nContent-Type: application/json\r\n\r\n"
	partEnd      = "\r\n--graphql"
	partPing     = partHead + "{}" + partEnd
	lastPart     = "--\r\n"
	lastChunk    = "0\r\n\r\n"
	chunkEnd     = "\r\n"
	errorsMember = `{"errors":`
)

// AppendPrefix implements poll.Framing.
func (c *conn) AppendPrefix(dst []byte, it *queue.Item) []byte {
	if it.Queue == nil {
		return c.appendControl(dst, &it.Control)
	}
	c.wrote.Store(c.handler.cfg.Poller.Now())
	if it.Message.End {
		c.ended(it.Queue)
	}
	if !c.chunked || c.silent(it) { // an empty chunk would be the last one
		return c.prefix(dst, it)
	}
	var head, tail [512]byte
	before, after := c.prefix(head[:0], it), c.suffix(tail[:0], it)
	n := len(before) + len(it.Message.Payload) + len(after)
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(append(dst, chunkEnd...), before...)
}

// AppendSuffix implements poll.Framing.
func (c *conn) AppendSuffix(dst []byte, it *queue.Item) []byte {
	dst = c.suffix(dst, it)
	if c.chunked && !c.silent(it) {
		dst = append(dst, chunkEnd...)
	}
	return dst
}

// silent reports whether a message has no bytes: the end of a multipart stream, which the last boundary says.
func (c *conn) silent(it *queue.Item) bool {
	return c.format == formatMultipart && it.Message.End && it.Message.Payload == nil
}

// Written implements poll.EndFraming.
func (c *conn) Written(it *queue.Item) {
	if c.single != nil {
		c.single.written(it.Queue)
	}
}

// ended says that the last message of a subscription is about to be written.
func (c *conn) ended(q *queue.Queue) {
	if c.single != nil {
		c.single.ended(q)
		if c.flow != nil { // nothing comes back from there
			c.single.written(q)
		}
		return
	}
	c.out.CloseAfter(codeDone, "")
}

// prefix appends what stands before a message's payload.
func (c *conn) prefix(dst []byte, it *queue.Item) []byte {
	m := it.Message
	if c.format == formatMultipart {
		switch {
		case !m.End:
			return append(append(dst, partHead...), `{"payload":`...)
		case m.Payload != nil:
			return append(append(dst, partHead...), `{"payload":null,"errors":`...)
		}
		return dst // the last boundary says it
	}
	if m.End && m.Payload == nil {
		return c.appendComplete(dst, it.Queue)
	}
	if cursor := m.Cursor(); cursor != nil && it.Extensions && c.single == nil {
		dst = append(append(append(dst, "id: "...), cursor...), '\n')
	}
	dst = append(dst, sseNext...)
	if c.single != nil {
		dst = it.Queue.AppendID(append(dst, `{"id":"`...))
		dst = append(dst, `","payload":`...)
	}
	if m.End {
		dst = append(dst, errorsMember...)
	}
	return dst
}

// suffix appends what stands behind a message's payload.
func (c *conn) suffix(dst []byte, it *queue.Item) []byte {
	m := it.Message
	if m.End && m.Payload == nil {
		return dst
	}
	if !m.End {
		dst = session.AppendExtensions(dst, it)
	}
	dst = append(dst, '}')
	if c.format == formatMultipart {
		if !m.End {
			dst = append(dst, '}')
		}
		return append(dst, partEnd...)
	}
	if c.single != nil {
		dst = append(dst, '}')
	}
	dst = append(dst, "\n\n"...)
	if m.End {
		dst = c.appendComplete(dst, it.Queue)
	}
	return dst
}

// appendComplete appends the event that ends an operation. Without a data line no EventSource would see it.
func (c *conn) appendComplete(dst []byte, q *queue.Queue) []byte {
	dst = append(dst, sseComplete...)
	if c.single != nil {
		dst = append(q.AppendID(append(dst, ` {"id":"`...)), `"}`...)
	}
	return append(dst, "\n\n"...)
}

// appendControl appends what is no result.
func (c *conn) appendControl(dst []byte, m *queue.Control) []byte {
	switch m.Kind {
	case queue.Ping:
		c.wrote.Store(c.handler.cfg.Poller.Now())
		if c.format == formatMultipart {
			return c.appendChunk(dst, partPing)
		}
		return c.appendChunk(dst, ssePing)
	case queue.Close:
		return c.appendEnd(dst, m.Code)
	default:
		return dst
	}
}

// appendEnd appends the end of a stream that ends in order; any other just ends.
func (c *conn) appendEnd(dst []byte, code uint16) []byte {
	if code != codeDone {
		return dst
	}
	if c.format == formatMultipart {
		dst = c.appendChunk(dst, lastPart)
	}
	if c.chunked {
		dst = append(dst, lastChunk...)
	}
	return dst
}

// appendChunk appends a piece of the body that is not empty.
func (c *conn) appendChunk(dst []byte, text string) []byte {
	if !c.chunked {
		return append(dst, text...)
	}
	dst = append(strconv.AppendUint(dst, uint64(len(text)), 16), chunkEnd...)
	return append(append(dst, text...), chunkEnd...)
}

// appendWhole appends the body of a stream with one result.
func (c *conn) appendWhole(dst, result []byte) []byte {
	if c.format == formatMultipart {
		dst = append(append(dst, partEnd...), partHead...)
		dst = append(append(append(dst, `{"payload":`...), result...), '}')
		return append(append(dst, partEnd...), lastPart...)
	}
	dst = append(append(dst, ssePing...), sseNext...)
	dst = append(append(dst, result...), "\n\n"...)
	return append(append(dst, sseComplete...), "\n\n"...)
}

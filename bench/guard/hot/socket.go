package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

var socketCases = []hotCase{
	{"publish to a WebSocket, one write", 500, func() (func(), func()) { return publishFrames(1) }},
	{"publish to a WebSocket, 16 messages in one write", 100, func() (func(), func()) { return publishFrames(16) }},
}

// publishFrames publishes events in batches to one subscriber of a WebSocket. The publisher writes them itself, as it
// does for few connections as long as it is calm: after each batch there is a pause.
func publishFrames(batch int) (func(), func()) {
	e := newEngine(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: schemaText}}})
	client := dial(e)
	b, ev, buf := e.Batch(), newEvent("orders"), make([]byte, 64<<10)
	send(client, `{"type":"connection_init"}`)
	drain(client, buf, []byte(`connection_ack`), 1)
	send(client, `{"id":"s","type":"subscribe","payload":{"query":"subscription { order `+fiveFields+` }"}}`)
	for e.Stats().Subscriptions == 0 {
		time.Sleep(time.Millisecond)
	}
	return func() {
			for range batch {
				*b.Add() = ev
			}
			_, err := b.Publish(context.Background())
			check(err)
		}, func() {
			drain(client, buf, []byte(`"type":"next"`), batch)
			time.Sleep(200 * time.Microsecond)
		}
}

// dial opens a WebSocket of an engine.
func dial(e *fraiseql.Engine) net.Conn {
	h, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { check(http.Serve(l, h)) }() // ends with the process
	c, err := net.Dial("tcp", l.Addr().String())
	check(err)
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n")
	check(err)
	for head := []byte{}; !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		one := make([]byte, 1)
		_, err := io.ReadFull(c, one)
		check(err)
		head = append(head, one[0])
	}
	return c
}

// send writes a masked frame; the mask is zero.
func send(c net.Conn, text string) {
	frame := wsframe.AppendFrame(nil, wsframe.Text, []byte(text))
	n := len(frame) - len(text)
	frame[1] |= 0x80
	_, err := c.Write(append(append(append([]byte{}, frame[:n]...), 0, 0, 0, 0), text...))
	check(err)
}

// drain reads until so many marks have come.
func drain(c net.Conn, buf, mark []byte, n int) {
	for got := 0; got < n; {
		read, err := c.Read(buf)
		check(err)
		got += bytes.Count(buf[:read], mark)
	}
}

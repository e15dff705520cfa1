//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
)

// kind is one way to misbehave. open makes a connection what it needs to be; act is repeated on it at every step, until an error ends
// the connection and another one is opened. Without act the connection is held. Reads says that what the server sends is read.
type kind struct {
	name  string
	reads bool
	open  func(s *socket, user string) error
	act   func(s *socket, user string, step int) error
}

// documents
const (
	everything = "subscription { bench { room seq sent sum pad } }"
	badTenant  = "bad"
)

func subscribe(id int, document string) string {
	return fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"%s"}}`, id, document)
}

func request(document string) string { return `{"query":"` + document + `"}` }

func bearer(user string) string { return "Authorization: Bearer " + token(user, badTenant) }

func upgraded(s *socket, _ string) error       { return s.upgrade("") }
func initialised(s *socket, user string) error { return s.initialised(user) }
func connected(*socket, string) error          { return nil }
func write(s *socket, text string) (err error) { _, err = s.Write([]byte(text)); return err }
func raw(s *socket, frame ...byte) (err error) { _, err = s.Write(frame); return err }
func byteOf(text string, step int) string      { return text[step%len(text) : step%len(text)+1] }
func hold(s *socket, user string, _ int) error { return nil }
func stream(accept string) func(*socket, string) error {
	return func(s *socket, user string) error {
		return s.post("POST", request(everything), "Accept: "+accept, bearer(user))
	}
}

// aliases is a selection of one field under many names.
func aliases(n, step int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d_%d: pad ", step, i)
	}
	return b.String()
}

// bomb is 16 MiB of spaces, compressed into a message of some KiB.
var bomb = func() []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // a level that exists
	_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))  // to memory
	_ = w.Flush()
	return masked(0xc1, b.Bytes()[:b.Len()-4])
}()

// long is a message of 8 MiB, fragment one of 32 KiB that does not end: made once, for they are what whoever attacks does with his own processor.
var (
	long     = masked(0x81, make([]byte, 8<<20))
	fragment = masked(0x01, make([]byte, 32<<10))
	further  = masked(0x00, make([]byte, 32<<10))
)

var kinds = []kind{
	{"upgrades and says nothing", true, upgraded, hold},
	{"a frame byte by byte", true, upgraded, func(s *socket, _ string, step int) error {
		return write(s, byteOf(string(masked(0x81, []byte(strings.Repeat(" ", 120)))), step))
	}},
	{"a message of 8 MiB", true, initialised, func(s *socket, _ string, _ int) error {
		_, err := s.Write(long)
		return err
	}},
	{"fragments without an end", true, initialised, func(s *socket, _ string, step int) error {
		some := further
		if step == 0 {
			some = fragment
		}
		_, err := s.Write(some)
		return err
	}},
	{"subscribes to unknown documents", true, initialised, func(s *socket, _ string, step int) error {
		for i := range 20 {
			if err := s.text(subscribe(step*20+i, fmt.Sprintf("subscription { bench { a%d_%d: pad } }", step, i))); err != nil {
				return err
			}
		}
		return nil
	}},
	{"aliases", true, initialised, func(s *socket, _ string, step int) error {
		return s.text(subscribe(step, "subscription { bench { "+aliases(1000, step)+"} }"))
	}},
	{"depth", true, initialised, func(s *socket, _ string, step int) error {
		return s.text(subscribe(step, "subscription { bench "+strings.Repeat("{ a ", 5000)+strings.Repeat("}", 5000)+" }"))
	}},
	{"fragments that spread fragments", true, initialised, func(s *socket, _ string, step int) error {
		var b strings.Builder
		for i := range 30 {
			fmt.Fprintf(&b, " fragment F%d on Tick { ...F%d ...F%d }", i, i+1, i+1)
		}
		return s.text(subscribe(step, "subscription { bench { ...F0 } }"+b.String()+" fragment F30 on Tick { pad }"))
	}},
	{"messages of an unknown type", true, initialised, func(s *socket, _ string, _ int) error { return s.text(`{"type":"nonsense"}`) }},
	{"text that is not UTF-8", true, initialised, func(s *socket, _ string, _ int) error { return raw(s, 0x81, 0x81, 0, 0, 0, 0, 0xff) }},
	{"frames without a mask", true, initialised, func(s *socket, _ string, _ int) error { return raw(s, 0x81, 0x02, '{', '}') }},
	{"invalid tokens", true, upgraded, func(s *socket, user string, _ int) error {
		return s.text(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token(user, badTenant) + `x"}}`)
	}},
	{"refreshes with nonsense", true, initialised, func(s *socket, _ string, _ int) error {
		return s.text(`{"type":"ping","payload":{"authorization":"Bearer x.y.z"}}`)
	}},
	{"pings of both sorts", true, initialised, func(s *socket, _ string, _ int) error {
		var b []byte
		for range 50 {
			b = append(append(b, masked(0x89, []byte("x"))...), masked(0x81, []byte(`{"type":"ping","payload":{"a":1}}`))...)
		}
		_, err := s.Write(b)
		return err
	}},
	{"subscribes and completes", true, initialised, func(s *socket, _ string, _ int) error {
		for range 20 {
			if err := s.text(subscribe(1, everything)); err != nil {
				return err
			}
			if err := s.text(`{"id":"1","type":"complete"}`); err != nil {
				return err
			}
		}
		return nil
	}},
	{"subscribes and never reads", false, func(s *socket, user string) error {
		if err := s.initialised(user); err != nil {
			return err
		}
		return s.text(subscribe(1, everything))
	}, nil},
	{"pings and never reads", false, initialised, func(s *socket, _ string, _ int) error {
		return s.text(`{"type":"ping","payload":{"a":"` + strings.Repeat("x", 1000) + `"}}`)
	}},
	{"half closed", false, func(s *socket, user string) error {
		if err := s.initialised(user); err != nil {
			return err
		}
		if err := s.text(subscribe(1, everything)); err != nil {
			return err
		}
		return s.CloseWrite()
	}, nil},
	{"connects again and again", false, connected, func(*socket, string, int) error { return errAgain }},
	{"upgrades again and again", false, upgraded, func(*socket, string, int) error { return errAgain }},
	{"events that are never read", false, stream("text/event-stream"), nil},
	{"parts that are never read", false, stream(`multipart/mixed;subscriptionSpec="1.0"`), nil},
	{"streams reserved and not opened", true, connected, func(s *socket, user string, _ int) error {
		return s.post("PUT", "", bearer(user))
	}},
	{"a head byte by byte", true, connected, func(s *socket, _ string, step int) error {
		return write(s, byteOf("GET /graphql HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 500), step))
	}},
	{"a body byte by byte", true, func(s *socket, user string) error {
		return write(s, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"+bearer(user)+"\r\n\r\n{")
	}, func(s *socket, _ string, step int) error { return write(s, " ") }},
	{"a body without an end", true, connected, func(s *socket, user string, step int) error {
		if step == 0 {
			return write(s, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"+bearer(user)+"\r\n\r\n")
		}
		return write(s, "8000\r\n"+strings.Repeat(" ", 0x8000)+"\r\n")
	}},
	{"requests that are refused", true, connected, func(s *socket, user string, step int) error {
		return s.post("POST", request("{ nothing"+fmt.Sprint(step)+" }"), bearer(user))
	}},
	{"publishes without a token", true, connected, func(s *socket, _ string, _ int) error {
		return write(s, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
	}},
	{"noise", true, connected, func(s *socket, _ string, _ int) error {
		return write(s, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	}},
	{"compressed messages that grow", true, func(s *socket, user string) error {
		if err := s.upgrade("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"); err != nil {
			return err
		}
		return s.text(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token(user, badTenant) + `"}}`)
	}, func(s *socket, _ string, _ int) error { _, err := s.Write(bomb); return err }},
}

// named are the kinds whose name contains a text.
func named(text string) (some []kind) {
	for _, k := range kinds {
		if strings.Contains(k.name, text) {
			some = append(some, k)
		}
	}
	return some
}

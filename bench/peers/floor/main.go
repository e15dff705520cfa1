//go:build linux

// Command floor is what no server can go below: it speaks just enough graphql-transport-ws for the load generator to take it
// for one, and then writes ready frames with write(2) on raw sockets, one goroutine, one thread. What is queued for a
// connection while its events arrive in one piece is written together. It checks nothing and drops who is slow. With -http it takes
// events by net/http's server, as fraiseql does, instead of on a connection.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// server has the sockets of each room, as descriptors.
type server struct {
	mu    sync.Mutex
	rooms map[int][]int
	out   map[int][]byte // frames of a room that are to be written
	order []int
	// posting is held by a request while its events are added and written
	posting sync.Mutex
}

func main() {
	log.SetFlags(0)
	byHTTP := flag.Bool("http", false, "take events by POST /events")
	flag.Parse()
	s := &server{rooms: map[int][]int{}, out: map[int][]byte{}}
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	events, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	door := "tcp://" + events.Addr().String()
	if *byHTTP {
		door = "http://" + events.Addr().String() + "/events"
	}
	text, err := json.Marshal(map[string]any{
		"url": "http://" + clients.Addr().String() + "/graphql", "publish_url": door,
		"versions": map[string]string{"go": runtime.Version()},
	})
	check(err)
	fmt.Printf("%s\n", text)
	if *byHTTP {
		go func() { check(http.Serve(events, http.HandlerFunc(s.post))) }()
	} else {
		go s.accept(events)
	}
	for {
		c, err := clients.Accept()
		check(err)
		go s.welcome(c)
	}
}

// accept takes connections that bring events.
func (s *server) accept(events net.Listener) {
	for {
		c, err := events.Accept()
		check(err)
		go s.read(c)
	}
}

// post takes the events of a request, writes them and answers.
func (s *server) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.posting.Lock()
	for line := range bytes.Lines(body) {
		s.add(bytes.TrimSuffix(line, []byte("\n")))
	}
	s.write()
	s.posting.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte("{}\n"))
}

// welcome upgrades a connection, acknowledges it and takes one subscription.
func (s *server) welcome(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	if _, err := http.ReadRequest(in); err != nil {
		return
	}
	_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"))
	if _, ok := readFrame(in); !ok {
		return
	}
	_, _ = c.Write(appendFrame(nil, []byte(`{"type":"connection_ack"}`)))
	for {
		m, ok := readFrame(in)
		if !ok {
			return
		}
		room := variable.FindSubmatch(m)
		if room == nil {
			continue
		}
		n, _ := strconv.Atoi(string(room[1]))
		fd, err := descriptor(c)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.rooms[n] = append(s.rooms[n], fd)
		s.mu.Unlock()
		return // the duplicate stays open
	}
}

var variable = regexp.MustCompile(`"room":(\d+)`)

// descriptor returns a duplicate out of the runtime's poller, which does not block.
func descriptor(c net.Conn) (int, error) {
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return 0, err
	}
	return fd, syscall.SetNonblock(fd, true)
}

// readFrame reads a masked frame with the mask 0.
func readFrame(in *bufio.Reader) (payload []byte, ok bool) {
	var head [8]byte
	if _, err := readFull(in, head[:2]); err != nil {
		return nil, false
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		if _, err := readFull(in, head[2:4]); err != nil {
			return nil, false
		}
		n = int(binary.BigEndian.Uint16(head[2:4]))
	}
	if _, err := readFull(in, head[4:8]); err != nil {
		return nil, false
	}
	payload = make([]byte, n)
	_, err := readFull(in, payload)
	return payload, err == nil
}

func readFull(in *bufio.Reader, p []byte) (int, error) {
	for n := 0; n < len(p); {
		m, err := in.Read(p[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func appendFrame(dst, payload []byte) []byte {
	if len(payload) < 126 {
		return append(append(dst, 0x81, byte(len(payload))), payload...)
	}
	return append(binary.BigEndian.AppendUint16(append(dst, 0x81, 126), uint16(len(payload))), payload...)
}

// read takes events as lines of JSON: what arrives in one read is written together.
func (s *server) read(c net.Conn) {
	defer c.Close()
	runtime.LockOSThread()
	buf, rest := make([]byte, 1<<20), 0
	for {
		n, err := c.Read(buf[rest:])
		if err != nil {
			return
		}
		all := buf[:rest+n]
		for {
			line, after, found := bytes.Cut(all, []byte("\n"))
			if !found {
				break
			}
			all = after
			s.add(line)
		}
		rest = copy(buf, all)
		s.write()
	}
}

// add makes the frame of an event, as ready as it gets.
func (s *server) add(line []byte) {
	_, data, found := bytes.Cut(line, []byte(`"data":`))
	if !found {
		return
	}
	data = bytes.TrimSuffix(data, []byte("}"))
	_, number, _ := bytes.Cut(data, []byte(`"room":`))
	room := 0
	for _, c := range number {
		if c < '0' || c > '9' {
			break
		}
		room = room*10 + int(c-'0')
	}
	frame := make([]byte, 0, len(data)+80)
	frame = append(append(append(frame, `{"id":"0","type":"next","payload":{"data":{"tick":`...), data...), "}}}"...)
	if len(s.out[room]) == 0 {
		s.order = append(s.order, room)
	}
	s.out[room] = appendFrame(s.out[room], frame)
}

// write writes what add has made: one write(2) per connection.
func (s *server) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, room := range s.order {
		ready := s.out[room]
		fds := s.rooms[room]
		for i := 0; i < len(fds); i++ {
			if n, err := syscall.Write(fds[i], ready); n != len(ready) || err != nil {
				_ = syscall.Close(fds[i])
				fds[i] = fds[len(fds)-1]
				fds = fds[:len(fds)-1]
				i--
			}
		}
		s.rooms[room] = fds
		s.out[room] = ready[:0]
	}
	s.order = s.order[:0]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

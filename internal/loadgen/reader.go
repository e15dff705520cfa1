package loadgen

import (
	"net"
	"sync"
	"time"
)

// reader reads a share of the connections. Its parser and its clients are guarded by mu.
type reader struct {
	run *run

	mu     sync.Mutex
	parser parser

	source source
}

// source delivers what arrives to the reader: an epoll loop, or a goroutine per connection.
type source interface {
	// add takes over a connection whose client is known to the reader.
	add(c *client, conn *net.TCPConn) error
	// close closes every connection and waits for what reads them.
	close()
}

func newReader(r *run) (*reader, error) {
	rd := &reader{run: r, parser: parser{protocol: r.cfg.Protocol, rooms: r.cfg.Rooms, perConn: r.cfg.Subscriptions, spread: r.cfg.Spread}}
	if r.cfg.portable {
		rd.source = &goroutines{reader: rd}
		return rd, nil
	}
	var err error
	rd.source, err = newSource(rd)
	return rd, err
}

// add begins to read a connection of which rest has been read already.
func (rd *reader) add(c *client, conn *net.TCPConn, rest []byte) error {
	c.write = func(b []byte) error {
		_, err := conn.Write(b)
		return err
	}
	rd.receive(c, rest, nil)
	return rd.source.add(c, conn)
}

func (rd *reader) close() { rd.source.close() }

// begin sets the end of the warm-up, in µs since the start.
func (rd *reader) begin(measured uint32) {
	rd.mu.Lock()
	rd.parser.measured = measured
	rd.mu.Unlock()
}

// receive handles bytes of a connection, or its end if err is set. It reports whether the connection lives.
func (rd *reader) receive(c *client, data []byte, err error) bool {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return rd.receiveLocked(c, data, err, time.Since(rd.run.start))
}

func (rd *reader) receiveLocked(c *client, data []byte, err error, now time.Duration) bool {
	if c.failed {
		return false
	}
	if err == nil {
		err = rd.parser.feed(c, data, now)
	}
	if err == nil {
		return true
	}
	c.failed = true
	rd.parser.closed++
	if rd.parser.problem == "" {
		rd.parser.problem = err.Error()
	}
	return false
}

// goroutines is the portable source: a goroutine per connection.
type goroutines struct {
	reader *reader
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  []*net.TCPConn
	closed bool
}

func (g *goroutines) add(c *client, conn *net.TCPConn) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return conn.Close()
	}
	g.conns = append(g.conns, conn)
	g.wg.Go(func() {
		buffer := make([]byte, 16<<10)
		for {
			n, err := conn.Read(buffer)
			if n > 0 && !g.reader.receive(c, buffer[:n], nil) {
				return
			}
			if err != nil {
				g.mu.Lock()
				closed := g.closed
				g.mu.Unlock()
				if !closed {
					g.reader.receive(c, nil, err)
				}
				return
			}
		}
	})
	return nil
}

func (g *goroutines) close() {
	g.mu.Lock()
	g.closed = true
	for _, conn := range g.conns {
		conn.Close()
	}
	g.mu.Unlock()
	g.wg.Wait()
}

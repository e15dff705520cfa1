//go:build linux && !fqmemory

package embed

// doors are the tables of those who serve clients.
type doors struct {
	sessions table[*sessions]
	clients  table[*session]
	servers  table[*server]
}

func (d *doors) init() {
	d.sessions.kind = kindSessions
	d.clients.kind = kindSession
	d.servers.kind = kindServer
}

// clients are what an engine serves clients with; guarded by its mu.
type clients struct {
	endpoints []int64
	sessions  map[int64]*session
	servers   map[int64]*server
}

func (c *clients) init() {
	*c = clients{sessions: make(map[int64]*session), servers: make(map[int64]*server)}
}

// end stops to listen and closes the sessions. Nothing is added any more.
func (c *clients) end(l *Library) {
	for _, s := range c.servers {
		l.servers.remove(s.handle)
		_ = s.http.Close() // the listener is ours
	}
	for _, one := range c.sessions {
		one.close()
	}
	for _, h := range c.endpoints {
		l.sessions.remove(h)
	}
}

// wait waits for servers that have ended.
func (c *clients) wait() {
	for _, s := range c.servers {
		s.running.Wait()
	}
}

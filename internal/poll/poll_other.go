//go:build !linux || !(amd64 || arm64)

package poll

import "net"

// sysShard is empty where goroutines serve every connection.
type sysShard struct{}

// writer is empty likewise.
type writer struct{}

func (p *Poller) startShards() error { return nil }

func (s *shard) interrupt() {}

func takeOver(net.Conn) (fd int, ok bool, err error) { return 0, false, nil }

func (p *Poller) registerFD(*Conn, int, Registration) {}

func (c *Conn) reset() { c.stream.kill(ErrReset) }

func (c *Conn) failLocked(bool) {}

// Announce does nothing: each connection has a goroutine of its own that writes.
func (p *Poller) Announce() {}

// Help does nothing.
func (p *Poller) Help() {}

// Suspend does nothing.
func (p *Poller) Suspend() {}

// Resume does nothing.
func (p *Poller) Resume() {}

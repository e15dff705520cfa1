package nodes

import "testing"

// busServer is a real server of a bus that can fail.
type busServer interface {
	// addr is where it listens, host:port, the same after a restart; url that of the bus at such an address.
	addr() string
	url(addr string) string
	// kill ends it at once; restart starts it again on what it had stored.
	kill()
	restart()
}

// carrier is one kind of durable bus.
type carrier struct {
	name   string
	start  func(t *testing.T) busServer
	faults []fault // of this kind only
}

var carriers []carrier

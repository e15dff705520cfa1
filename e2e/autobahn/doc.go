// Package autobahn lets the Autobahn WebSocket test suite, an independent referee with more than 500 cases, fuzz an
// echo service that is made of what the server's WebSockets are made of: internal/wsframe and internal/poll. `make
// deps` installs the suite; it needs Python 2.7.
package autobahn

// Package testkit is what end-to-end tests share: the built binary, a server that is killed and restarted on the
// same port, a proxy that drops connections, tokens, and client scripts in other languages. Only tests import it.
package testkit

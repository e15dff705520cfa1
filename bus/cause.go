package bus

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Cause is why a carrier cannot be used, in words that whoever publishes may read: one of a fixed list, without an
// address, a name, or a credential. The log and Status.Problem say more.
type Cause string

// The causes.
const (
	Refused    Cause = "connection refused"
	NoHost     Cause = "no such host"
	Silent     Cause = "no answer in time"
	Lost       Cause = "the connection was lost"
	BadLogin   Cause = "authentication failed"
	Denied     Cause = "permission denied"
	NoDatabase Cause = "no such database"
	NotSet     Cause = "it is not set up for this"
	BadTLS     Cause = "TLS failed"
	NotReady   Cause = "it is not ready yet"
	Full       Cause = "it is out of memory, disk or connections"
)

// because is an error with its cause.
type because struct {
	error
	cause Cause
}

func (b *because) Unwrap() error { return b.error }

// Because gives an error a cause; "" leaves it as it is. The text stays.
func Because(cause Cause, err error) error {
	if cause == "" || err == nil {
		return err
	}
	return &because{err, cause}
}

// CauseOf returns the cause of an error: the one it was given, else one that the network tells; "" if it is not known.
func CauseOf(err error) Cause {
	if given, ok := errors.AsType[*because](err); ok {
		return given.cause
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return NoHost
	}
	if tlsFailed(err) {
		return BadTLS
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ETIMEDOUT),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), ok && timeout.Timeout():
		return Silent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return Lost
	}
	return ""
}

package pgbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
)

// told is an error whose text is for operators: it holds no names of users and contents.
type told string

func (t told) Error() string { return string(t) }

// refusal is an answer of the server, without what it might tell about its data.
type refusal struct{ code, message string }

func (r *refusal) Error() string {
	return fmt.Sprintf("PostgreSQL refuses: %s (SQLSTATE %s)", r.message, r.code)
}

// causeOf is the cause of an answer for publishers.
func (r *refusal) causeOf() bus.Cause {
	switch {
	case strings.HasPrefix(r.code, "28"):
		return bus.BadLogin
	case r.code == "3D000":
		return bus.NoDatabase
	case r.code == "42501":
		return bus.Denied
	case r.code == "3F000", r.code == "42P01", r.code == "42883": // the schema, a table or a function is not there
		return bus.NotSet
	case strings.HasPrefix(r.code, "53"):
		return bus.Full
	case strings.HasPrefix(r.code, "57"), r.code == "25006":
		return bus.NotReady
	}
	return ""
}

// explain returns an error for operators: what happened, and at which address nobody listens, without names of users and contents.
func explain(err error) error {
	var answer *pgconn.PgError
	var number syscall.Errno
	var timeout net.Error
	var dns *net.DNSError
	var known *refusal
	var before told
	switch {
	case err == nil, errors.As(err, &known), errors.As(err, &before), errors.Is(err, bus.ErrClosed), errors.Is(err, ErrUnreachable):
		return err
	case errors.As(err, &answer):
		r := &refusal{answer.Code, answer.Message}
		switch r.causeOf() { // whose texts name a user or a database
		case bus.BadLogin:
			r.message = "the user name or the password is wrong, or pg_hba.conf does not let the user in"
		case bus.NoDatabase:
			r.message = "there is no such database"
		}
		return bus.Because(r.causeOf(), r)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &dns):
		return bus.Because(bus.NoHost, told("the server's name is not known"))
	case errors.As(err, &number):
		at := ""
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && op.Addr != nil {
			at = " at " + op.Addr.String()
		}
		return bus.Because(bus.CauseOf(err), told("no connection to PostgreSQL"+at+": "+number.Error()))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errSilent):
		return bus.Because(bus.Silent, told("no answer from PostgreSQL"))
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return bus.Because(bus.BadTLS, told("PostgreSQL does not take TLS here (sslmode)"))
	case strings.Contains(err.Error(), "tls:") || strings.Contains(err.Error(), "x509:"):
		return bus.Because(bus.BadTLS, told("TLS with PostgreSQL failed"))
	}
	return bus.Because(bus.Lost, told("the connection to PostgreSQL was lost"))
}

// errSilent is a server that does not answer in time.
var errSilent = errors.New("no answer")

// unavailable marks an error as one that a later retry may not see.
func unavailable(err error) error {
	err = explain(err)
	return bus.Because(causeOf(err), fmt.Errorf("%w: %w", bus.ErrUnavailable, err))
}

// causeOf is the cause of an error that was explained, for publishers.
func causeOf(err error) bus.Cause {
	cause := bus.CauseOf(err)
	if _, ok := errors.AsType[told](err); ok && cause == "" {
		return bus.NotSet
	}
	return cause
}

// class returns the first two characters of the server's error code, "" for an error that is not the server's.
func class(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && len(answer.Code) == 5 {
		return answer.Code[:2]
	}
	return ""
}

// aboutTheEvent reports whether the server refuses what was written, whenever it is tried.
func aboutTheEvent(err error) bool {
	switch class(err) {
	case "22", "23", "54":
		return true
	}
	return false
}

// closeTime bounds saying goodbye to a server.
const closeTime = time.Second

// closeConn ends a connection in order. It does not matter whether the server hears it.
func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = conn.Close(ctx)
}

// ErrUnreachable marks what Install, Inspect and Prune could not connect to.
var ErrUnreachable = errors.New("cannot connect")

// dial connects. Its error is explained.
func dial(ctx context.Context, server *pgconn.Config) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, explain(err))
	}
	return conn, nil
}

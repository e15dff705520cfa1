package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	startTime = 15 * time.Second
	// maxPayload lets an event of several MiB through, with its headers; the engine's own limit is 1 MiB by default.
	maxPayload = 8 << 20
)

// options are the server's.
func (c *config) options() (*server.Options, error) {
	o := &server.Options{
		ServerName: c.name, DontListen: c.listen == "", NoSigs: true, MaxPayload: maxPayload, JetStream: true, StoreDir: c.store,
		SyncAlways: c.syncAlways, DisableJetStreamBanner: true, Username: c.clientUser, Password: c.clientPassword,
	}
	if c.name == "" {
		o.ServerName = "fraiseql"
	}
	var err error
	if c.members > 1 && c.listen == "" {
		// The server begins its routes only once it listens for clients: on a port of its own choice, where none but
		// this process knows the password.
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	}
	if c.listen != "" {
		if o.Host, o.Port, err = split(c.listen); err != nil {
			return nil, err
		}
	}
	tls, err := c.tls()
	if err != nil {
		return nil, err
	}
	if tls != nil && c.listen != "" {
		if o.TLSConfig, err = server.GenTLSConfig(tls); err != nil {
			return nil, err
		}
	}
	if c.members == 1 {
		return o, nil
	}
	o.Cluster = server.ClusterOpts{Name: "fraiseql", Advertise: c.advertise, Username: c.user, Password: c.password, ConnectBackoff: true}
	if o.Cluster.Host, o.Cluster.Port, err = split(c.clusterListen); err != nil {
		return nil, err
	}
	if tls != nil {
		tls.Verify = tls.CaFile != ""
		if o.Cluster.TLSConfig, err = server.GenTLSConfig(tls); err != nil {
			return nil, err
		}
		o.Cluster.TLSConfig.RootCAs = o.Cluster.TLSConfig.ClientCAs
		o.Cluster.TLSTimeout = 2
	}
	for _, route := range c.routes {
		u := &url.URL{Scheme: "nats", Host: route}
		if c.user != "" {
			u.User = url.UserPassword(c.user, c.password)
		}
		o.Routes = append(o.Routes, u)
	}
	return o, nil
}

// tls are the files of certificates; nil: none.
func (c *config) tls() (*server.TLSConfigOpts, error) {
	if c.certFile == "" {
		return nil, nil
	}
	for _, file := range []string{c.certFile, c.keyFile, c.caFile} {
		if _, err := os.Stat(file); file != "" && err != nil {
			return nil, err
		}
	}
	return &server.TLSConfigOpts{CertFile: c.certFile, KeyFile: c.keyFile, CaFile: c.caFile}, nil
}

func split(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// start starts a server and returns when it takes connections.
func start(ctx context.Context, c *config, log *slog.Logger) (*server.Server, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	l := &logger{log: log.With("bus", "nats", "part", "embedded server"), failed: make(chan struct{})}
	s.SetLoggerV2(l, false, false, false)
	s.Start()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		select {
		case <-l.failed:
			s.Shutdown()
			s.WaitForShutdown()
			return nil, fmt.Errorf("the server does not start: %s", *l.text.Load())
		case <-ctx.Done():
			s.Shutdown()
			s.WaitForShutdown()
			return nil, errors.New("the server does not start in time")
		default:
		}
		if s.ReadyForConnections(50 * time.Millisecond) {
			return s, nil
		}
	}
}

// logger hands the server's log on, and notices what keeps it from starting. What the server tells about itself in
// operation is of interest to those who debug.
type logger struct {
	log    *slog.Logger
	text   atomic.Pointer[string]
	failed chan struct{}
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf leaves out that the password is not a hash: it came from the URL, and routes need it as it is.
func (l *logger) Warnf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); !strings.HasPrefix(text, "Plaintext passwords") {
		l.log.Warn(text)
	}
}

// Errorf hands on that a route is not there yet as the warning that it is.
func (l *logger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.HasPrefix(text, "Error trying to connect to route") {
		l.log.Warn(text)
		return
	}
	l.log.Error(text)
}

// Fatalf is what the server calls when it cannot go on. It does not end the process here.
func (l *logger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	if l.text.CompareAndSwap(nil, &text) {
		close(l.failed)
	}
}

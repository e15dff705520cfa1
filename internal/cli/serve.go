package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/demo"
	"github.com/fraiseql/fraiseql-go/internal/server"
)

// serveCommand is `fraiseql serve`.
type serveCommand struct {
	settings
	tried []string // files of the configuration that was read last, be it one that was refused
}

// Help is shown below the flags.
func (*serveCommand) Help() string {
	return `Every key of the configuration can be set in the file, by an environment variable (FRAISEQL_AUTH_JWT_ISSUER for auth.jwt.issuer) or with --set. Flag wins over variable, variable over file.

Examples:

  fraiseql serve --demo
      live figures of this machine on http://127.0.0.1:4000

  fraiseql serve --dev --schema schema.graphql
      your schema, open to this machine only

  fraiseql serve --config fraiseql.yaml
      production: nothing is open unless the file says so

SIGHUP reads the configuration, the schema and keys again; with --watch a change of their files does.

SIGTERM drains: not ready, no new connections, closes spread over drain.window. A second signal ends at once.`
}

const (
	warmTimeout  = 10 * time.Second
	closeTimeout = 5 * time.Second
)

// Run serves until a signal.
func (c *serveCommand) Run(ctx context.Context, env *Env) error {
	resolved, err := c.load(env)
	if err != nil {
		return problems("configuration", err)
	}
	cfg := &resolved.Config
	log, level := server.NewLeveled(env.Stderr, cfg.Log)
	for _, w := range resolved.Warnings {
		log.Warn("configuration", "problem", w.String())
	}
	parts := server.Parts{Version: version(), Logger: log, LogLevel: level}
	if cfg.Demo {
		parts.Schema = []fraiseql.SchemaSource{{Name: demo.SchemaName, Text: demo.Schema}}
		parts.Page = demo.Handler()
	}
	assembly, err := server.Assemble(cfg, parts)
	if err != nil {
		return problems("schema or configuration", err)
	}
	if err := assembly.Listen(); err != nil {
		return errors.Join(listenHint(err, cfg), closeEngine(assembly))
	}
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	stopSignals := c.signals(assembly.Server, cancel)
	stopReloads := reloads(func() error { return errors.Join(assembly.ReloadCertificate(), c.reload(env, assembly)) }, c.watched(cfg, assembly), log)
	background.Go(func() { warm(ctx, assembly, log) })
	if cfg.Demo {
		background.Go(func() { runDemo(ctx, assembly.Engine, log) })
	}
	if cfg.Dev {
		c.welcome(env, assembly.Addr(), cfg)
	}
	err = assembly.Serve(ctx)
	cancel()
	stopSignals()
	stopReloads()
	background.Wait()
	return errors.Join(err, closeEngine(assembly))
}

func closeEngine(a *server.Assembly) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return a.Close(ctx)
}

// watched returns the names of the files that the configuration comes from, and those that one which was refused names: what
// is wrong may be mended there. nil: they are not watched.
func (c *serveCommand) watched(cfg *config.Config, assembly *server.Assembly) func() []string {
	if !cfg.Reload.Watch {
		return nil
	}
	return func() []string {
		files := append(assembly.Files(), c.tried...)
		if c.Config != "" {
			files = append(files, c.Config)
		}
		return files
	}
}

// reload reads the configuration again. One that is wrong leaves everything as it was.
func (c *serveCommand) reload(env *Env, assembly *server.Assembly) (err error) {
	defer func() { assembly.CountReload(err) }()
	resolved, err := c.load(env)
	c.tried = resolved.Config.Files()
	if err != nil {
		return fmt.Errorf("reload the configuration: %w", err)
	}
	if err := assembly.Reload(&resolved.Config); err != nil {
		return fmt.Errorf("reload the configuration: %w", err)
	}
	return nil
}

// signals makes the first SIGINT or SIGTERM end the context and the second one force the end.
func (c *serveCommand) signals(s *server.Server, cancel context.CancelFunc) (stop func()) {
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for act := cancel; ; act = s.Force {
			select {
			case <-signals:
				act()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		waiting.Wait()
	}
}

func warm(ctx context.Context, a *server.Assembly, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	if err := a.Warm(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Warn("the keys of tokens could not be fetched yet; it is tried again when a client comes", "error", err)
	}
}

func runDemo(ctx context.Context, engine *fraiseql.Engine, log *slog.Logger) {
	if err := demo.Run(ctx, engine); err != nil {
		log.Error("the demo stopped", "error", err)
	}
}

// listenHint says what to do about a busy port.
func listenHint(err error, cfg *config.Config) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	flag, busy := "--listen", cfg.Listen
	if strings.HasPrefix(err.Error(), "admin listener:") {
		flag, busy = "--admin-listen", cfg.Admin.Listen
	}
	return fmt.Errorf("%w\nAnother program uses this port; choose another with %[2]s, such as %[2]s %[3]s", err, flag, another(busy, cfg.Listen, cfg.Admin.Listen))
}

// another returns an address of the same host whose port no address of taken has.
func another(address string, taken ...string) string {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text) // config has refused what is none
	used := map[string]bool{}
	for _, t := range taken {
		_, p, _ := net.SplitHostPort(t)
		used[p] = true
	}
	step := 10
	if port > 60_000 {
		step = -step
	}
	for used[strconv.Itoa(port)] {
		port += step
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// welcome tells a developer where to go.
func (c *serveCommand) welcome(env *Env, addr string, cfg *config.Config) {
	host, port, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at, s, flag := net.JoinHostPort(host, port), "", "--dev"
	if cfg.TLS.CertFile != "" {
		s = "s"
	}
	if cfg.Demo {
		flag = "--demo"
	}
	// The terminal may be gone; the server serves all the same.
	_, _ = fmt.Fprintf(env.Stdout, "\n  open       http%[2]s://%[1]s/\n  subscribe  ws%[2]s://%[1]s/graphql\n  publish    http%[2]s://%[1]s/events\n\n  %[3]s: everything is open to whoever reaches this address. Ctrl-C stops.\n\n", at, s, flag)
}

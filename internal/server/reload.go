package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
	"github.com/fraiseql/fraiseql-go/auth/publishtoken"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/observe"
)

// rotating is an Authenticator that can be replaced while it is used.
type rotating struct {
	now atomic.Pointer[jwtauth.Authenticator]
	// anonymous admits clients without credentials.
	anonymous atomic.Bool
}

// Authenticate implements fraiseql.Authenticator.
func (r *rotating) Authenticate(ctx context.Context, c fraiseql.Credentials) (*fraiseql.Identity, error) {
	who, err := r.now.Load().Authenticate(ctx, c)
	var why *identity.Error
	if err != nil && !c.Refresh && r.anonymous.Load() && errors.As(err, &why) && why.Reason == identity.Missing {
		return &fraiseql.Identity{}, nil
	}
	return who, err
}

// inForce is the configuration in force, for those keys that a running server takes over.
func (s *Server) inForce() *config.Config { return s.now.Load() }

func (s *Server) putInForce(cfg *config.Config) {
	s.now.Store(cfg)
	s.waiting.most.Store(int64(cfg.Limits.HTTPConnections))
}

// Reload puts a configuration in the place of the one in force, without a connection ending that may stay: the schema
// (fraiseql.Engine.SetSchema), the keys of tokens with issuer, audience and claims, whether clients without one are admitted, publish tokens, the operators' token,
// limits and times, origins, proxies, what hooks call, the level of the log. Keys that differ and need a restart are named
// in warnings, and keep their values. A configuration that is wrong changes nothing. It may be called by one goroutine at
// a time.
//
// Connections whose credentials would not be accepted any more stay until these end: revoke them.
func (a *Assembly) Reload(cfg *config.Config) error {
	next := *cfg
	if next.Auth.JWT.Configured() != (a.tokens != nil) {
		return errors.New("auth.jwt: authentication is turned on and off by a restart")
	}
	restart := config.NeedRestart(a.inForce(), &next)
	made, err := a.renewal(&next)
	if err == nil {
		err = a.setSchema(&next)
	}
	if err != nil {
		made.discard()
		return err
	}
	restart = a.use(&next, &made, restart)
	for _, path := range restart {
		a.log.Warn("the configuration has changed, and this key needs a restart", "key", path)
	}
	return nil
}

// use puts in force what cannot be wrong any more, and returns the keys that need a restart: those of restart and others.
func (a *Assembly) use(cfg *config.Config, next *renewed, restart []string) []string {
	if next.tokens != nil {
		next.tokens.TakeOver(a.tokens.now.Load())
		a.tokens.now.Swap(next.tokens).Close()
		a.tokens.anonymous.Store(cfg.Auth.Anonymous)
	}
	a.Server.publish.Store(next.publish)
	a.Server.admin.Store(next.admin)
	a.Server.proxies.Store(proxies(&cfg.Proxy))
	a.Server.guard.setPages(cfg)
	if a.level != nil {
		a.level.Set(logLevel(cfg.Log.Level))
	}
	left, err := a.Engine.SetLimits(engineLimits(&cfg.Limits))
	now := serving(cfg)
	if !reflect.DeepEqual(cfg.Hooks, a.inForce().Hooks) { // else the rounds of hooks.recheck would begin anew
		a.hooks, next.hooks = next.hooks, a.hooks
		now.Hooks = &a.hooks.Hooks
	}
	if err = errors.Join(err, a.Engine.SetServing(now)); err != nil { // config has checked them
		a.log.Error("limits, origins or times stay as they are", "error", err)
	}
	next.hooks.close() // those before, or those that are the same
	a.putInForce(cfg)
	for _, name := range left {
		if path := "limits." + snake(name); !slices.Contains(restart, path) {
			restart = append(restart, path)
		}
	}
	return restart
}

// CountReload counts an attempt to read the configuration again.
func (s *Server) CountReload(err error) {
	label := "accepted"
	if err != nil {
		label = "refused"
	}
	s.count(observe.Reloads, label)
}

// Files returns the names of the files that the configuration in force was read from beside its own.
func (a *Assembly) Files() []string { return a.inForce().Files() }

// snake is the key of a member of fraiseql.Limits.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z') {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// renewed is what of a configuration can be wrong.
type renewed struct {
	tokens  *jwtauth.Authenticator
	publish *publishers
	admin   *publishtoken.Set
	hooks   *hookSet
}

func (a *Assembly) renewal(cfg *config.Config) (r renewed, err error) {
	var errTokens, errPublish, errAdmin, errHooks error
	r.tokens, errTokens = a.nextTokens(cfg)
	r.publish, errPublish = newPublishers(cfg, a.Server.publish.Load())
	r.admin, errAdmin = newAdmin(cfg)
	r.hooks, errHooks = makeHooks(&cfg.Hooks)
	return r, errors.Join(errTokens, errPublish, errAdmin, errHooks)
}

// nextTokens returns who judges tokens under a configuration. The keys of another URL must be there before it is in force;
// those of the same one are taken over.
func (a *Assembly) nextTokens(cfg *config.Config) (*jwtauth.Authenticator, error) {
	tokens, err := authenticator(cfg)
	url := cfg.Auth.JWT.JWKSURL
	if err != nil || url == "" || url == a.inForce().Auth.JWT.JWKSURL {
		return tokens, err
	}
	if err := tokens.Warm(context.Background()); err != nil { // bounded by its own timeout
		tokens.Close()
		return nil, fmt.Errorf("auth.jwt.jwks_url: %w", err)
	}
	return tokens, nil
}

// discard lets go of what is not put in force.
func (r *renewed) discard() {
	if r.tokens != nil {
		r.tokens.Close()
	}
	r.hooks.close()
}

// setSchema reads the files of the schema again, unless it comes with the program.
func (a *Assembly) setSchema(cfg *config.Config) (err error) {
	texts := a.builtin
	if texts == nil {
		if texts, err = readSchema(cfg.Schema.Files); err != nil {
			return err
		}
	}
	if a.Engine.Schemaless() && len(texts) == 0 {
		return nil
	}
	_, err = a.Engine.SetSchemaWith(fraiseql.SchemaOptions{SnakeCase: snakeCase(cfg), Introspection: cfg.Introspection}, texts...)
	return err
}

func snakeCase(cfg *config.Config) bool { return cfg.Schema.Naming == "snake_case" }

// newAdmin returns the set of the operators' token; nil: there is none.
func newAdmin(cfg *config.Config) (*publishtoken.Set, error) {
	if cfg.Admin.Token == "" {
		return nil, nil
	}
	set, err := publishtoken.New([]publishtoken.Token{{Token: cfg.Admin.Token}})
	if err != nil {
		return nil, fmt.Errorf("admin.token: %w", err)
	}
	return set, nil
}

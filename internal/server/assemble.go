package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/ceiling"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/devpage"
	"github.com/fraiseql/fraiseql-go/internal/forwarded"
	"github.com/fraiseql/fraiseql-go/internal/metrics"
)

// Parts are what the configuration does not say.
type Parts struct {
	Version string
	Logger  *slog.Logger
	// LogLevel is that of Logger, which a reload changes; nil: it stays.
	LogLevel *slog.LevelVar
	// Schema replaces the files of the configuration (--demo).
	Schema []fraiseql.SchemaSource
	// Bus replaces that of the configuration (check, which opens no connection). The assembly closes it.
	Bus bus.Bus
	// Page is what browsers see at / under --dev; nil: the subscribe page.
	Page http.Handler
}

// open returns the bus of the configuration unless there is another one.
func (p *Parts) open(cfg *config.Config, log *slog.Logger) (bus.Bus, error) {
	if p.Bus != nil {
		return p.Bus, nil
	}
	b, err := config.Buses.Open(cfg.Bus, bus.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return b, nil
}

// Assembly is a server together with its engine.
type Assembly struct {
	*Server
	Engine  *fraiseql.Engine
	bus     bus.Bus
	tokens  *rotating // nil: none
	hooks   *hookSet
	level   *slog.LevelVar
	builtin []fraiseql.SchemaSource // the schema, if it came with the program
}

// Assemble builds the engine and the server that a configuration asks for. It does not listen yet. The error
// lists every problem of the schema and of the keys, with their places.
func Assemble(cfg *config.Config, parts Parts) (*Assembly, error) {
	log := parts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := metrics.New(parts.Version)
	schema, errSchema := parts.Schema, error(nil)
	if schema == nil {
		schema, errSchema = readSchema(cfg.Schema.Files)
	}
	tokens, errTokens := authenticator(cfg)
	if err := errors.Join(errSchema, errTokens); err != nil {
		return nil, err
	}
	events, err := parts.open(cfg, log)
	if err != nil {
		return nil, err
	}
	engine, err := fraiseql.New(engineConfig(cfg, schema, events, m, log))
	if err != nil {
		return nil, errors.Join(err, events.Close(context.Background()))
	}
	a := &Assembly{Engine: engine, bus: events, builtin: parts.Schema, level: parts.LogLevel}
	if tokens != nil {
		a.tokens = &rotating{}
		a.tokens.now.Store(tokens)
		a.tokens.anonymous.Store(cfg.Auth.Anonymous)
	}
	clients := handlerConfig(cfg, a.tokens)
	if a.hooks, err = makeHooks(&cfg.Hooks); err != nil {
		return nil, errors.Join(err, a.Close(context.Background()))
	}
	clients.Hooks = a.hooks.Hooks
	graphql, err := engine.Handler(clients)
	if err != nil {
		return nil, errors.Join(err, a.Close(context.Background()))
	}
	m.SetStats(engine.Stats)
	if st := engine.Stats(); cfg.IOUring != "off" && st.NoIOUring != "" {
		log.Info("io_uring is not used: writes to clients are a system call each", "reason", st.NoIOUring)
	}
	page := parts.Page
	if page == nil {
		page = devpage.Handler()
	}
	a.Server, err = New(Options{
		Config: cfg, GraphQL: graphql, Publisher: engine, Revoke: engine.Revoke, Ready: engine.Ready, Drain: engine.Drain, Metrics: m, Logger: log,
		Page: page, GraphQLPage: devpage.Handler(),
	})
	if err != nil {
		return nil, errors.Join(err, a.Close(context.Background()))
	}
	return a, nil
}

// CheckSchema reads and checks the schema files alone. The error lists every problem with its place.
func CheckSchema(cfg *config.Config) error {
	schema, err := readSchema(cfg.Schema.Files)
	if err != nil {
		return err
	}
	engine, err := fraiseql.New(fraiseql.Config{Schema: schema, SnakeCase: snakeCase(cfg)})
	if err != nil {
		return err
	}
	return engine.Close(context.Background())
}

// Warm fetches the keys of tokens, if they come from a URL, so that the first client need not wait.
func (a *Assembly) Warm(ctx context.Context) error {
	if a.tokens == nil {
		return nil
	}
	return a.tokens.now.Load().Warm(ctx)
}

// Close ends the engine, its bus and the fetching of keys.
func (a *Assembly) Close(ctx context.Context) error {
	if a.tokens != nil {
		a.tokens.now.Load().Close()
	}
	err := errors.Join(a.Engine.Close(ctx), a.bus.Close(ctx))
	a.hooks.close()
	return err
}

// readSchema reads the files of patterns, each once.
func readSchema(patterns []string) ([]fraiseql.SchemaSource, error) {
	var names []string
	for _, p := range patterns {
		matches, err := filepath.Glob(p)
		if err != nil || len(matches) == 0 {
			return nil, fmt.Errorf("schema: no file %s", p)
		}
		names = append(names, matches...)
	}
	var sources []fraiseql.SchemaSource
	var errs []error
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("schema: %w", err))
		}
		sources = append(sources, fraiseql.SchemaSource{Name: name, Text: string(text)})
	}
	return sources, errors.Join(errs...)
}

func authenticator(cfg *config.Config) (*jwtauth.Authenticator, error) {
	j := &cfg.Auth.JWT
	if !j.Configured() {
		return nil, nil
	}
	c := jwtauth.Config{
		Secret: []byte(j.Secret), JWKSURL: j.JWKSURL, Algorithms: j.Algorithms, Issuer: j.Issuer, Audience: j.Audience, Leeway: j.Leeway, MaxLife: cfg.Auth.MaxTokenLife,
		Claims: jwtauth.Claims{User: j.Claims.User, Tenant: j.Claims.Tenant, Roles: j.Claims.Roles, Scopes: j.Claims.Scopes, Federation: j.Claims.Federation, Service: j.Claims.Service},
	}
	if j.Leeway == 0 {
		c.Leeway = -1 // there, 0 is the default
	}
	if j.PublicKeyFile != "" {
		key, err := os.ReadFile(j.PublicKeyFile)
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.public_key_file: %w", err)
		}
		c.PublicKey = key
	}
	a, err := jwtauth.New(c)
	if err != nil {
		return nil, fmt.Errorf("auth.jwt: %w", err)
	}
	return a, nil
}

func engineConfig(cfg *config.Config, schema []fraiseql.SchemaSource, events bus.Bus, m *metrics.Metrics, log *slog.Logger) fraiseql.Config {
	l := &cfg.Limits
	c := fraiseql.Config{
		Schema: schema, SnakeCase: snakeCase(cfg), SchemalessChannels: cfg.Schemaless.Channels,
		Introspection: cfg.Introspection, MaxTokenLife: cfg.Auth.MaxTokenLife, Bus: events, Observer: m, Logger: log,
		Security: fraiseql.Security{
			RowFilter: map[string]fraiseql.RowFilter{"none": fraiseql.RowFilterNone, "tenant": fraiseql.RowFilterTenant, "user": fraiseql.RowFilterUser, "both": fraiseql.RowFilterBoth}[cfg.Security.RowFilter],
			ScopeUser: cfg.Security.ScopeUser, ScopeTenant: cfg.Security.ScopeTenant,
		},
		Limits: engineLimits(l),
	}
	// Whatever is not known to be addressed is strict.
	c.Security.Isolation = fraiseql.IsolationStrict
	if cfg.Security.Isolation == "addressed" {
		c.Security.Isolation = fraiseql.IsolationAddressed
	}
	return c
}

func engineLimits(l *config.Limits) fraiseql.Limits {
	return fraiseql.Limits{
		DocumentBytes: l.DocumentBytes, DocumentTokens: l.DocumentTokens, DocumentDepth: l.DocumentDepth, DocumentAliases: l.DocumentAliases, DocumentFields: l.DocumentFields,
		EventBytes: l.EventBytes, EventDepth: l.EventDepth,
		QueueMessages: l.QueueMessages, QueueBytes: l.QueueBytes, ConnectionQueueBytes: l.ConnectionQueueBytes,
		SubscriptionsPerConnection: l.SubscriptionsPerConnection, SubscriptionsPerUser: l.SubscriptionsPerUser,
		SubscriptionsPerTenant: l.SubscriptionsPerTenant, FieldsPerUser: l.FieldsPerUser,
		ConnectionsPerIP: l.ConnectionsPerIP, ConnectionsPerUser: l.ConnectionsPerUser, ConnectionsPerTenant: l.ConnectionsPerTenant,
		ConnectRate: l.ConnectRate, MemoryBytes: memoryCeiling(l.Memory),
		SubscribeRate: l.SubscribeRate, SubscribeBurst: l.SubscribeBurst, PublishRate: l.PublishRate, PublishBurst: l.PublishBurst,
		GroupsPerChannel: l.GroupsPerChannel, GroupsPerTenant: l.GroupsPerTenant,
		PlanCacheBytes: l.PlanCacheBytes, ResolverTimeout: l.ResolverTimeout, ResolverWorkers: l.ResolverWorkers, ResolverLane: l.ResolverLane,
		ResumeEvents: l.ResumeEvents,
	}
}

// memoryCeiling is the configured ceiling, or the one that the surroundings ask for; the garbage collector learns of it.
func memoryCeiling(configured int) int {
	limit := int64(configured)
	if limit == 0 {
		limit = ceiling.Find()
	}
	if limit > 0 {
		ceiling.Collect(limit)
	}
	return int(limit)
}

// serving is what of the configuration handlers take over while they serve.
func serving(cfg *config.Config) fraiseql.Serving {
	l := &cfg.Limits
	s := fraiseql.Serving{
		Origins: cfg.Origins, MaxConnections: l.Connections, InitTimeout: l.InitTimeout, PingInterval: l.PingInterval, PongTimeout: l.PongTimeout,
		MessageBytes: l.MessageBytes, Cookie: cfg.Auth.JWT.Cookie, MaxCallbacks: cfg.Callback.MaxSubscriptions,
	}
	if s.PingInterval == 0 {
		s.PingInterval = -time.Second // there, 0 is the default
	}
	return s
}

func handlerConfig(cfg *config.Config, tokens *rotating) fraiseql.HandlerConfig {
	now := serving(cfg)
	c := fraiseql.HandlerConfig{
		Anonymous: cfg.Auth.Anonymous, Cookie: now.Cookie, Origins: now.Origins, MessageBytes: now.MessageBytes,
		InitTimeout: now.InitTimeout, PingInterval: now.PingInterval, PongTimeout: now.PongTimeout, MaxConnections: now.MaxConnections,
		ReleaseMemory: true, PlainSends: cfg.IOUring == "off", LegacyGraphQLWS: cfg.Protocols.LegacyGraphQLWS, Compression: cfg.WebSocket.Compression == "on", Draft: cfg.GraphQLHTTP == "draft",
		Node: fraiseql.Node{Name: cfg.Node.Name, Address: cfg.Node.Address, Secret: []byte(cfg.Node.Secret)},
	}
	c.Callback = fraiseql.CallbackConfig{AllowedURLs: cfg.Callback.AllowedURLs, MaxSubscriptions: cfg.Callback.MaxSubscriptions}
	c.Callback.AllowedNetworks, _ = forwarded.ParseNetworks(cfg.Callback.AllowedNetworks) // config has refused what is none
	if tokens != nil {
		c.Authenticator, c.Anonymous = tokens, false // who is nobody says rotating, which a reload changes
	}
	return c
}

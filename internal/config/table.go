package config

import (
	"slices"
	"time"
)

// Type is the type of a key's value.
type Type string

// The types, as the reference names them.
const (
	Text     Type = "text"
	Path     Type = "path"
	URL      Type = "URL"
	Address  Type = "host:port"
	Bool     Type = "true or false"
	Count    Type = "count"
	Bytes    Type = "bytes"
	Duration Type = "duration"
	Choice   Type = "choice"
	List     Type = "list of text"
	Paths    Type = "list of paths"
	Tokens   Type = "list of tokens"
)

// Key describes one key of the configuration.
type Key struct {
	Path    string
	Type    Type
	Default string // as one writes it in the file; empty: none
	// When says what applies without a value where that depends on other keys.
	When    string
	Choices []string
	Doc     string
	// Secret values are never printed and have no flag.
	Secret bool
	// Flag is the long flag of `serve` for this key, without dashes; empty: --set only.
	Flag string
	// Presets replaces the default: development, production, high-throughput; nil: the same for all.
	Presets *[3]string

	// Most is the longest duration; 0: 24 hours.
	Most time.Duration

	field func(*Config) any
}

// Presets are the values of `preset`, in the order of Key.Presets.
var Presets = []string{"development", "production", "high-throughput"}

// Keys returns the table in the order of the reference. The caller must not change it.
func Keys() []Key { return keys }

var keys = slices.Concat(generalKeys, wireKeys, httpKeys, authKeys, hookKeys, publishKeys, limitKeys)

var generalKeys = []Key{
	{Path: "preset", Type: Choice, When: "`production`; with `--dev`: `development`", Choices: Presets, Flag: "preset", Doc: "A set of defaults; see [presets](#presets). A preset never opens anything.", field: func(c *Config) any { return &c.Preset }},
	{Path: "schema", Type: Paths, Flag: "schema", Doc: "SDL files, read as one schema; glob patterns are allowed.", field: func(c *Config) any { return &c.Schema.Files }},
	{Path: "schema.naming", Type: Choice, Default: "exact", Choices: []string{"exact", "snake_case"}, Doc: "How a field's member of `data` is found: `snake_case` reads `order_id` for `orderId`.", field: func(c *Config) any { return &c.Schema.Naming }},
	{Path: "schemaless.enabled", Type: Bool, Default: "false", Flag: "schemaless", Doc: "Serve without a schema: the root field is the channel.", field: func(c *Config) any { return &c.Schemaless.Enabled }},
	{Path: "schemaless.channels", Type: List, Doc: "Channels that may be subscribed to without a schema: names, or prefixes that end in `*`. Required without `--dev`.", field: func(c *Config) any { return &c.Schemaless.Channels }},
	{Path: "listen", Type: Address, Default: "127.0.0.1:4000", Flag: "listen", Doc: "Address of `/graphql`, `/events`, `/healthz` and `/readyz`. Port 0 takes a free one.", field: func(c *Config) any { return &c.Listen }},
	{Path: "admin.listen", Type: Address, Flag: "admin-listen", Doc: "Address of `/metrics` and the operators' endpoints; keep it off the internet. None: no such listener.", field: func(c *Config) any { return &c.Admin.Listen }},
	{Path: "admin.pprof", Type: Bool, Default: "false", Doc: "Serve `/debug/pprof/` on `admin.listen`.", field: func(c *Config) any { return &c.Admin.Pprof }},
	{Path: "admin.token", Type: Text, Secret: true, Doc: "What operators send as `Authorization: Bearer …` to endpoints of `admin.listen` that change something, such as `POST /revocations`: at least 16 bytes. None: those endpoints are off.", field: func(c *Config) any { return &c.Admin.Token }},
	{Path: "admin.token_file", Type: Path, Doc: "File that holds the token; a line break at its end is left out.", field: func(c *Config) any { return &c.Admin.TokenFile }},
	{Path: "bus", Type: URL, Default: "memory://", Flag: "bus", Doc: "What carries events: `memory://` (this process only), `redis://`, `postgres://` or `nats://`; `nats://embedded?store=DIR` runs a NATS server in this process. The parameters are in [delivery](../delivery.md).", field: func(c *Config) any { return &c.Bus }},
	{Path: "bus_file", Type: Path, Doc: "File that holds the URL of the bus, for URLs with a password.", field: func(c *Config) any { return &c.BusFile }},
	{Path: "origins", Type: List, Flag: "origins", Doc: "Web origins (`https://app.example.com`) whose pages may connect, besides the server's own; `*`: every one.", field: func(c *Config) any { return &c.Origins }},
	{Path: "introspection", Type: Bool, When: "`false`; with `--dev`: `true`", Flag: "introspection", Doc: "Answer `__schema` and `__type`.", field: func(c *Config) any { return &c.Introspection }},
	{Path: "graphql_http", Type: Choice, Default: "audit", Choices: []string{"audit", "draft"}, Doc: "Status codes of GraphQL over HTTP: those that the audit suite of `graphql-http` and client libraries expect, or those of the draft of 2026; see [status codes](http.md#status-codes).", field: func(c *Config) any { return &c.GraphQLHTTP }},
	{Path: "io_uring", Type: Choice, Default: "auto", Choices: []string{"auto", "off"}, Doc: "Whether what goes to many clients at once is submitted with one system call by io_uring: where the system has it and allows it, or never; see [io_uring](../guides/deployment.md#io_uring).", field: func(c *Config) any { return &c.IOUring }},
	{Path: "drain.window", Type: Duration, Default: "10s", Presets: &[3]string{"1s", "10s", "30s"}, Flag: "drain-window", Doc: "After SIGTERM, closes are spread over this time, so that clients do not all come back at once.", field: func(c *Config) any { return &c.Drain.Window }},
	{Path: "reload.watch", Type: Bool, Default: "false", Flag: "watch", Doc: "Read the configuration again when its file, a schema file or a file with a key or secret has changed, within 2 seconds; SIGHUP does it at once. See [reload](#reload).", field: func(c *Config) any { return &c.Reload.Watch }},
	{Path: "log.level", Type: Choice, Default: "info", Choices: []string{"debug", "info", "warn", "error"}, Flag: "log-level", Doc: "The least severe records that are written.", field: func(c *Config) any { return &c.Log.Level }},
	{Path: "log.format", Type: Choice, Default: "json", Choices: []string{"json", "text"}, Presets: &[3]string{"text", "json", "json"}, Flag: "log-format", Doc: "Form of the log on standard error.", field: func(c *Config) any { return &c.Log.Format }},
}

var publishKeys = []Key{
	{Path: "publish.tokens", Type: Tokens, Secret: true, Doc: "Who may publish over `POST /events`; see [publish tokens](#publish-tokens). None: nobody, with `--dev`: everybody.", field: func(c *Config) any { return &c.Publish.Tokens }},
	{Path: "publish.rate", Type: Count, Default: "0", Doc: "Events per second that each publish token may send; at once as many as `limits.publish_events`, or as the rate if that is more; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Publish.Rate }},
	{Path: "security.row_filter", Type: Choice, When: "`tenant` with a schema, `both` without", Choices: []string{"none", "tenant", "user", "both"}, Doc: "Which members of `data` (`tenant_id`, `user_id`) address an event whose envelope has none.", field: func(c *Config) any { return &c.Security.RowFilter }},
	{Path: "security.isolation", Type: Choice, When: "`strict`; with `--dev` and no token key: `addressed`", Choices: []string{"strict", "addressed"}, Doc: "`strict`: an event without a tenant reaches nobody, unless it says `broadcast: true`.", field: func(c *Config) any { return &c.Security.Isolation }},
	{Path: "security.scope.user", Type: List, Default: "[userid]", Doc: "Arguments that must equal the caller's user, compared without `_` and in lower case.", field: func(c *Config) any { return &c.Security.ScopeUser }},
	{Path: "security.scope.tenant", Type: List, Default: "[tenantid]", Doc: "Arguments that must equal the caller's tenant, compared likewise.", field: func(c *Config) any { return &c.Security.ScopeTenant }},
}

var authKeys = []Key{
	{Path: "auth.anonymous", Type: Bool, When: "`false`; with `--dev`: `true`", Doc: "Admit clients without credentials; they have no user, no tenant and no roles.", field: func(c *Config) any { return &c.Auth.Anonymous }},
	{Path: "auth.max_token_life", Type: Duration, Default: "24h", Most: 366 * 24 * time.Hour, Doc: "Tokens that live longer than this, from `iat` or from now to `exp`, are refused. Revocations are kept as long.", field: func(c *Config) any { return &c.Auth.MaxTokenLife }},
	{Path: "auth.jwt.secret", Type: Text, Secret: true, Doc: "Shared secret of HS256, HS384, HS512: at least 32 bytes.", field: func(c *Config) any { return &c.Auth.JWT.Secret }},
	{Path: "auth.jwt.secret_file", Type: Path, Doc: "File that holds the secret; a line break at its end is left out.", field: func(c *Config) any { return &c.Auth.JWT.SecretFile }},
	{Path: "auth.jwt.public_key_file", Type: Path, Doc: "PEM file with an RSA, ECDSA or Ed25519 public key.", field: func(c *Config) any { return &c.Auth.JWT.PublicKeyFile }},
	{Path: "auth.jwt.jwks_url", Type: URL, Doc: "Where the issuer publishes its keys; `https`, or `http` on this machine.", field: func(c *Config) any { return &c.Auth.JWT.JWKSURL }},
	{Path: "auth.jwt.algorithms", Type: List, When: "those of the key's family", Doc: "Accepted signature algorithms.", field: func(c *Config) any { return &c.Auth.JWT.Algorithms }},
	{Path: "auth.jwt.issuer", Type: Text, Doc: "Required `iss`; `\"*\"`: any. Must be set when there is a key.", field: func(c *Config) any { return &c.Auth.JWT.Issuer }},
	{Path: "auth.jwt.audience", Type: Text, Doc: "Required `aud`; `\"*\"`: any. Must be set when there is a key.", field: func(c *Config) any { return &c.Auth.JWT.Audience }},
	{Path: "auth.jwt.cookie", Type: Text, Doc: "Cookie that may carry the token; it counts only from a page of our own origin or of `origins`.", field: func(c *Config) any { return &c.Auth.JWT.Cookie }},
	{Path: "auth.jwt.leeway", Type: Duration, Default: "30s", Doc: "How far clocks may differ.", field: func(c *Config) any { return &c.Auth.JWT.Leeway }},
	{Path: "auth.jwt.claims.user", Type: Text, Default: "sub", Doc: "Claim of the user. Every claim: the exact name first, else a dotted path.", field: func(c *Config) any { return &c.Auth.JWT.Claims.User }},
	{Path: "auth.jwt.claims.tenant", Type: Text, Default: "tenant_id", Doc: "Claim of the tenant.", field: func(c *Config) any { return &c.Auth.JWT.Claims.Tenant }},
	{Path: "auth.jwt.claims.roles", Type: Text, Default: "roles", Doc: "Claim of the roles: a list.", field: func(c *Config) any { return &c.Auth.JWT.Claims.Roles }},
	{Path: "auth.jwt.claims.scopes", Type: Text, Default: "scope", Doc: "Claim of the scopes: a list, or words in one text.", field: func(c *Config) any { return &c.Auth.JWT.Claims.Scopes }},
	{Path: "auth.jwt.claims.federation", Type: Text, Doc: "Claim of `federation_id`.", field: func(c *Config) any { return &c.Auth.JWT.Claims.Federation }},
	{Path: "auth.jwt.claims.service", Type: Text, Doc: "Claim of `service_name`.", field: func(c *Config) any { return &c.Auth.JWT.Claims.Service }},
}

var hookKeys = []Key{
	{Path: "hooks.on_connect.url", Type: URL, Doc: "Asked by POST about each connection whose credentials were accepted; see [hooks](../guides/hooks.md). What it does not allow is closed with 4403.", field: func(c *Config) any { return &c.Hooks.Connect }},
	{Path: "hooks.on_subscribe.url", Type: URL, Doc: "Asked before each subscription begins.", field: func(c *Config) any { return &c.Hooks.Subscribe }},
	{Path: "hooks.on_disconnect.url", Type: URL, Doc: "Told of the end of each connection.", field: func(c *Config) any { return &c.Hooks.Disconnect }},
	{Path: "hooks.recheck.url", Type: URL, Doc: "Asked about each open connection, every `hooks.recheck.every`.", field: func(c *Config) any { return &c.Hooks.Recheck }},
	{Path: "hooks.recheck.every", Type: Duration, Default: "5m", Doc: "Time between two looks at all connections.", field: func(c *Config) any { return &c.Hooks.RecheckEvery }},
	{Path: "hooks.timeout", Type: Duration, Default: "5s", Doc: "One call of a hook. No answer in time does not allow.", field: func(c *Config) any { return &c.Hooks.Timeout }},
	{Path: "hooks.secret", Type: Text, Secret: true, Doc: "Signs what hooks are sent: at least 16 bytes. Needed where a hook is set.", field: func(c *Config) any { return &c.Hooks.Secret }},
	{Path: "hooks.secret_file", Type: Path, Doc: "File that holds the secret; a line break at its end is left out.", field: func(c *Config) any { return &c.Hooks.SecretFile }},
	{Path: "hooks.networks", Type: List, Doc: "Networks that are not public and that hooks may lie in (`10.0.0.0/8`). None: public addresses only.", field: func(c *Config) any { return &c.Hooks.Networks }},
}

var limitKeys = []Key{
	{Path: "limits.connections", Type: Count, Default: "50000", Presets: &[3]string{"0", "50000", "1000000"}, Doc: "Client connections; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.Connections }},
	{Path: "limits.connections_per_ip", Type: Count, Default: "1000", Presets: &[3]string{"0", "1000", "10000"}, Doc: "Client connections of one IPv4 address or IPv6 network of 64 bits; those of this machine are not counted. 0: no bound, which a proxy that hides its clients' addresses needs. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.ConnectionsPerIP }},
	{Path: "limits.connections_per_user", Type: Count, Default: "100", Presets: &[3]string{"0", "100", "1000"}, Doc: "Client connections of one user of a tenant; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.ConnectionsPerUser }},
	{Path: "limits.connections_per_tenant", Type: Count, Default: "25000", Presets: &[3]string{"0", "25000", "500000"}, Doc: "Client connections of one tenant; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.ConnectionsPerTenant }},
	{Path: "limits.connect_rate", Type: Count, Default: "2000", Presets: &[3]string{"0", "2000", "20000"}, Doc: "New client connections per second, ten times as many at once: a flood after a restart is admitted at this rate. 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.ConnectRate }},
	{Path: "limits.subscriptions_per_connection", Type: Count, Default: "100", Presets: &[3]string{"0", "100", "10000"}, Doc: "Subscriptions of one connection; 0: no bound.", field: func(c *Config) any { return &c.Limits.SubscriptionsPerConnection }},
	{Path: "limits.subscriptions_per_user", Type: Count, Default: "1000", Presets: &[3]string{"0", "1000", "100000"}, Doc: "Subscriptions of one user of a tenant; 0: no bound. Clients without a user are bounded by connection.", field: func(c *Config) any { return &c.Limits.SubscriptionsPerUser }},
	{Path: "limits.subscriptions_per_tenant", Type: Count, Default: "250000", Presets: &[3]string{"0", "250000", "5000000"}, Doc: "Subscriptions of one tenant; 0: no bound.", field: func(c *Config) any { return &c.Limits.SubscriptionsPerTenant }},
	{Path: "limits.fields_per_user", Type: Count, Default: "10000", Presets: &[3]string{"0", "10000", "1000000"}, Doc: "Fields that the subscriptions of one user select together, fragments expanded, which is about what an event may cost for them; 0: no bound. Clients without a user are bounded by connection.", field: func(c *Config) any { return &c.Limits.FieldsPerUser }},
	{Path: "limits.subscribe_rate", Type: Count, Default: "50", Presets: &[3]string{"0", "50", "0"}, Doc: "Subscribes per second of one user of a tenant, or of a connection without one; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.SubscribeRate }},
	{Path: "limits.subscribe_burst", Type: Count, Default: "0", Doc: "Subscribes at once within that rate; 0: 10 times the rate.", field: func(c *Config) any { return &c.Limits.SubscribeBurst }},
	{Path: "limits.publish_rate", Type: Count, Default: "10000", Presets: &[3]string{"0", "10000", "0"}, Doc: "Events per second of one tenant, those without a tenant together; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.PublishRate }},
	{Path: "limits.publish_burst", Type: Count, Default: "0", Doc: "Events at once within that rate, and of one tenant in one request; 0: 10 times the rate.", field: func(c *Config) any { return &c.Limits.PublishBurst }},
	{Path: "limits.memory", Type: Bytes, Default: "0B", Doc: "Memory of the process beyond which it takes no new connections, subscriptions and events, so that the kernel need not end it. 0: `GOMEMLIMIT`, or 85 % of the control group's limit, whichever is less; none where neither is set.", field: func(c *Config) any { return &c.Limits.Memory }},
	{Path: "limits.groups_per_channel", Type: Count, Default: "2000000", Doc: "Different subscriptions (document and variables) of one channel.", field: func(c *Config) any { return &c.Limits.GroupsPerChannel }},
	{Path: "limits.groups_per_tenant", Type: Count, Default: "1000000", Doc: "The same for one tenant.", field: func(c *Config) any { return &c.Limits.GroupsPerTenant }},
	{Path: "limits.document_bytes", Type: Bytes, Default: "64KiB", Doc: "One document.", field: func(c *Config) any { return &c.Limits.DocumentBytes }},
	{Path: "limits.document_tokens", Type: Count, Default: "10000", Doc: "Tokens of a document.", field: func(c *Config) any { return &c.Limits.DocumentTokens }},
	{Path: "limits.document_depth", Type: Count, Default: "20", Doc: "Nesting of a document.", field: func(c *Config) any { return &c.Limits.DocumentDepth }},
	{Path: "limits.document_aliases", Type: Count, Default: "200", Doc: "Fields that share a parent, after fragments.", field: func(c *Config) any { return &c.Limits.DocumentAliases }},
	{Path: "limits.document_fields", Type: Count, Default: "2000", Doc: "Fields of an operation, fragments expanded.", field: func(c *Config) any { return &c.Limits.DocumentFields }},
	{Path: "limits.message_bytes", Type: Bytes, Default: "1MiB", Doc: "One message of a client.", field: func(c *Config) any { return &c.Limits.MessageBytes }},
	{Path: "limits.event_bytes", Type: Bytes, Default: "1MiB", Doc: "`data` of one event.", field: func(c *Config) any { return &c.Limits.EventBytes }},
	{Path: "limits.event_depth", Type: Count, Default: "64", Doc: "Nesting of `data`.", field: func(c *Config) any { return &c.Limits.EventDepth }},
	{Path: "limits.publish_bytes", Type: Bytes, Default: "16MiB", Doc: "Body of one `POST /events`; at most 16 MiB.", field: func(c *Config) any { return &c.Limits.PublishBytes }},
	{Path: "limits.publish_events", Type: Count, Default: "10000", Doc: "Events of one `POST /events`; at most 10,000.", field: func(c *Config) any { return &c.Limits.PublishEvents }},
	{Path: "limits.publish_memory", Type: Bytes, Default: "256MiB", Doc: "Bodies of `POST /events` that are worked on at the same time; beyond it: 429.", field: func(c *Config) any { return &c.Limits.PublishMemory }},
	{Path: "limits.http_connections", Type: Count, Default: "10000", Presets: &[3]string{"0", "10000", "100000"}, Doc: "Connections that are not, or not yet, a client's WebSocket; 0: no bound. Lifted with `--dev`.", field: func(c *Config) any { return &c.Limits.HTTPConnections }},
	{Path: "limits.queue_messages", Type: Count, Default: "1000", Presets: &[3]string{"1000", "1000", "10000"}, Doc: "Messages that wait for one subscription before its overflow policy acts.", field: func(c *Config) any { return &c.Limits.QueueMessages }},
	{Path: "limits.queue_bytes", Type: Bytes, Default: "4MiB", Presets: &[3]string{"4MiB", "4MiB", "16MiB"}, Doc: "Bytes that wait for one subscription, at most 1GiB.", field: func(c *Config) any { return &c.Limits.QueueBytes }},
	{Path: "limits.connection_queue_bytes", Type: Bytes, Default: "16MiB", Presets: &[3]string{"16MiB", "16MiB", "64MiB"}, Doc: "Bytes that wait for one connection.", field: func(c *Config) any { return &c.Limits.ConnectionQueueBytes }},
	{Path: "limits.plan_cache_bytes", Type: Bytes, Default: "64MiB", Presets: &[3]string{"64MiB", "64MiB", "256MiB"}, Doc: "Compiled documents.", field: func(c *Config) any { return &c.Limits.PlanCacheBytes }},
	{Path: "limits.resolver_timeout", Type: Duration, Default: "5s", Doc: "One call of a resolver.", field: func(c *Config) any { return &c.Limits.ResolverTimeout }},
	{Path: "limits.resolver_workers", Type: Count, Default: "64", Presets: &[3]string{"64", "64", "256"}, Doc: "Resolver calls at the same time.", field: func(c *Config) any { return &c.Limits.ResolverWorkers }},
	{Path: "limits.resolver_lane", Type: Count, Default: "64", Doc: "Events that wait for one group's resolver.", field: func(c *Config) any { return &c.Limits.ResolverLane }},
	{Path: "limits.resume_events", Type: Count, Default: "10000", Doc: "Events that a subscriber may have missed and still resume.", field: func(c *Config) any { return &c.Limits.ResumeEvents }},
	{Path: "limits.init_timeout", Type: Duration, Default: "3s", Doc: "Time until `connection_init`; then close 4408.", field: func(c *Config) any { return &c.Limits.InitTimeout }},
	{Path: "limits.ping_interval", Type: Duration, Default: "30s", Doc: "Silence after which the server pings; 0: never.", field: func(c *Config) any { return &c.Limits.PingInterval }},
	{Path: "limits.pong_timeout", Type: Duration, Default: "10s", Doc: "Time for the answer to a ping.", field: func(c *Config) any { return &c.Limits.PongTimeout }},
}

// Package config is the one configuration of the server: a strict YAML file, environment variables and flags,
// resolved into one Config, with every problem reported at once and each at its place.
//
// Precedence: flag > environment variable > file > preset > default. One table (table.go) describes each key;
// parsing, printing, documentation and tests all read it.
package config

import "time"

// Config is the resolved configuration. Comments name nothing twice: the table has type, default and unit.
type Config struct {
	// Dev, DevAnyAddress and Demo come from flags only.
	Dev, DevAnyAddress, Demo bool

	Preset        string
	Schema        Schema
	Schemaless    Schemaless
	Listen        string
	Admin         Admin
	TLS           TLS
	Proxy         Proxy
	Protocols     Protocols
	GraphQLHTTP   string
	Node          Node
	Callback      Callback
	WebSocket     WebSocket
	Bus           string
	BusFile       string
	Origins       []string
	Auth          Auth
	Publish       Publish
	Security      Security
	Introspection bool
	IOUring       string
	Limits        Limits
	Drain         Drain
	Reload        Reload
	Hooks         Hooks
	Log           Log
}

// Schema is `schema` and `schema.naming`.
type Schema struct {
	Files  []string
	Naming string
}

// Schemaless is `schemaless.*`.
type Schemaless struct {
	Enabled  bool
	Channels []string
}

// Admin is `admin.*`, the operators' listener.
type Admin struct {
	Listen           string
	Pprof            bool
	Token, TokenFile string
}

// TLS is `tls.*`, of the main listener.
type TLS struct {
	CertFile, KeyFile string
	MinVersion        string
}

// Proxy is `proxy.*`: whose headers say who a client is.
type Proxy struct {
	Trusted []string
	Headers string
}

// Callback is `callback.*`: subscriptions whose results are posted.
type Callback struct {
	AllowedURLs, AllowedNetworks []string
	MaxSubscriptions             int
}

// WebSocket is `websocket.*`.
type WebSocket struct{ Compression string }

// Protocols is `protocols.*`.
type Protocols struct{ LegacyGraphQLWS bool }

// Node is `node.*`: this node among others that serve the same clients.
type Node struct {
	Name, Address      string
	Secret, SecretFile string
}

// Auth is `auth.*`.
type Auth struct {
	JWT       JWT
	Anonymous bool
	// MaxTokenLife refuses tokens that live longer.
	MaxTokenLife time.Duration
}

// JWT is `auth.jwt.*`.
type JWT struct {
	Secret, SecretFile string
	PublicKeyFile      string
	JWKSURL            string
	Algorithms         []string
	Issuer, Audience   string
	Cookie             string
	Leeway             time.Duration
	Claims             Claims
}

// Configured reports whether tokens can be verified.
func (j *JWT) Configured() bool { return j.Secret != "" || j.PublicKeyFile != "" || j.JWKSURL != "" }

// Claims is `auth.jwt.claims.*`: the names of claims.
type Claims struct {
	User, Tenant, Roles, Scopes, Federation, Service string
}

// Publish is `publish.*`.
type Publish struct {
	Tokens []Token
	// Rate is in events per second and token, 0: no bound.
	Rate int
}

// Token is one entry of `publish.tokens`. Nil Channels, Tenants: every one.
type Token struct {
	Token     string
	TokenFile string
	Channels  []string
	Tenants   []string
	Broadcast bool
}

// Security is `security.*`. Empty RowFilter and Isolation have been replaced by what applies.
type Security struct {
	RowFilter, Isolation   string
	ScopeUser, ScopeTenant []string
}

// Limits is `limits.*`.
type Limits struct {
	Connections                int
	SubscriptionsPerConnection int
	SubscriptionsPerUser       int
	SubscriptionsPerTenant     int
	FieldsPerUser              int
	ConnectionsPerIP           int
	ConnectionsPerUser         int
	ConnectionsPerTenant       int
	ConnectRate                int
	Memory                     int
	DocumentFields             int
	SubscribeRate              int
	SubscribeBurst             int
	PublishRate                int
	PublishBurst               int
	GroupsPerChannel           int
	GroupsPerTenant            int
	DocumentBytes              int
	DocumentTokens             int
	DocumentDepth              int
	DocumentAliases            int
	MessageBytes               int
	EventBytes                 int
	EventDepth                 int
	PublishBytes               int
	PublishEvents              int
	PublishMemory              int
	HTTPConnections            int
	QueueMessages              int
	QueueBytes                 int
	ConnectionQueueBytes       int
	PlanCacheBytes             int
	ResolverTimeout            time.Duration
	ResolverWorkers            int
	ResolverLane               int
	ResumeEvents               int
	InitTimeout                time.Duration
	PingInterval               time.Duration
	PongTimeout                time.Duration
}

// Hooks is `hooks.*`: URLs that are called, see package auth/webhook.
type Hooks struct {
	Connect, Subscribe, Disconnect, Recheck string
	RecheckEvery, Timeout                   time.Duration
	Secret, SecretFile                      string
	Networks                                []string
}

// Configured reports whether anything is called.
func (h *Hooks) Configured() bool {
	return h.Connect != "" || h.Subscribe != "" || h.Disconnect != "" || h.Recheck != ""
}

// Drain is `drain.*`.
type Drain struct{ Window time.Duration }

// Reload is `reload.*`.
type Reload struct{ Watch bool }

// Log is `log.*`.
type Log struct{ Level, Format string }

package config

// wireKeys are about what clients and proxies see of the server.
var wireKeys = []Key{
	{Path: "tls.cert_file", Type: Path, Doc: "PEM file with the certificate of `listen` and those that it is signed by: `https` and `wss` instead of `http` and `ws`, and HTTP/2 for HTTP. Read again when it changes and on SIGHUP.", field: func(c *Config) any { return &c.TLS.CertFile }},
	{Path: "tls.key_file", Type: Path, Doc: "PEM file with its key.", field: func(c *Config) any { return &c.TLS.KeyFile }},
	{Path: "tls.min_version", Type: Choice, Default: "1.2", Choices: []string{"1.2", "1.3"}, Doc: "The oldest version of TLS.", field: func(c *Config) any { return &c.TLS.MinVersion }},
	{Path: "proxy.trusted", Type: List, Doc: "Addresses and networks (`10.0.0.0/8`) of proxies whose headers say who the client is; see [proxies](../guides/deployment.md#proxies). None: nobody is believed.", field: func(c *Config) any { return &c.Proxy.Trusted }},
	{Path: "proxy.headers", Type: Choice, Default: "x-forwarded", Choices: []string{"x-forwarded", "forwarded"}, Doc: "Which headers they write: `X-Forwarded-For`, `-Proto`, `-Host`, or `Forwarded`. The others are ignored.", field: func(c *Config) any { return &c.Proxy.Headers }},
	{Path: "websocket.compression", Type: Choice, Default: "off", Choices: []string{"off", "on"}, Doc: "Agree to permessage-deflate: fewer bytes for more CPU; see [compression](protocol.md#compression).", field: func(c *Config) any { return &c.WebSocket.Compression }},
	{Path: "callback.allowed_urls", Type: List, Doc: "Addresses to which federation routers may have results posted: `https://router.example.com/callback/*`; see [callbacks](http.md#callbacks). None: no callbacks.", field: func(c *Config) any { return &c.Callback.AllowedURLs }},
	{Path: "callback.allowed_networks", Type: List, Doc: "Networks that may be called although they are not public, such as `10.0.0.0/8`. Others are refused whatever name leads there.", field: func(c *Config) any { return &c.Callback.AllowedNetworks }},
	{Path: "callback.max_subscriptions", Type: Count, Default: "10000", Doc: "Subscriptions by callback; each has a goroutine.", field: func(c *Config) any { return &c.Callback.MaxSubscriptions }},
	{Path: "protocols.legacy_graphql_ws", Type: Bool, Default: "false", Doc: "Speak the legacy subprotocol `graphql-ws` of npm subscriptions-transport-ws, too; see [protocols](protocol.md#the-legacy-protocol).", field: func(c *Config) any { return &c.Protocols.LegacyGraphQLWS }},
}

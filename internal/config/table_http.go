package config

// httpKeys are about this node among others that serve the same clients.
var httpKeys = []Key{
	{Path: "node.name", Type: Text, When: "random", Doc: "Name of this node in the tokens of graphql-sse's single-connection mode: letters, digits, `-` and `_`; see [several nodes](../guides/streams.md#several-nodes).", field: func(c *Config) any { return &c.Node.Name }},
	{Path: "node.address", Type: Text, Doc: "Where other nodes reach this one, as `http(s)://host[:port]`: they forward to it what belongs to its streams. None: they answer 421 with its name. Needs `node.secret`.", field: func(c *Config) any { return &c.Node.Address }},
	{Path: "node.secret", Type: Text, Secret: true, When: "random", Doc: "Signs those tokens: at least 32 bytes, the same on all nodes that forward to each other.", field: func(c *Config) any { return &c.Node.Secret }},
	{Path: "node.secret_file", Type: Path, Doc: "File that holds the secret; a line break at its end is left out.", field: func(c *Config) any { return &c.Node.SecretFile }},
}

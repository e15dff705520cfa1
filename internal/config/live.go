package config

import (
	"reflect"
	"strings"
)

// fixed are the keys below live ones that need a restart all the same.
var fixed = []string{
	"auth.jwt.cookie", "limits.plan_cache_bytes", "limits.resolver_timeout", "limits.message_bytes",
	"limits.init_timeout", "limits.ping_interval", "limits.pong_timeout",
}

// live are the keys that a running server takes over when its configuration is read again; those that end in a dot stand
// for all below.
var live = []string{
	"preset", "schema", "auth.jwt.", "auth.max_token_life", "publish.", "admin.token", "admin.token_file", "limits.", "drain.window",
}

// Live reports whether a running server takes the key over when its configuration is read again.
func (k *Key) Live() bool { return named(live, k.Path) && !named(fixed, k.Path) }

func named(list []string, path string) bool {
	for _, entry := range list {
		if entry == path || strings.HasSuffix(entry, ".") && strings.HasPrefix(path, entry) {
			return true
		}
	}
	return false
}

// NeedRestart returns the keys whose values differ and that a running server does not take over.
func NeedRestart(running, next *Config) (paths []string) {
	for i := range keys {
		k := &keys[i]
		if !k.Live() && !reflect.DeepEqual(k.field(running), k.field(next)) {
			paths = append(paths, k.Path)
		}
	}
	return paths
}

// Files returns the files that the configuration was read from beside its own, patterns of the schema as they are.
func (c *Config) Files() []string {
	list := append([]string{}, c.Schema.Files...)
	list = append(list, c.Auth.JWT.SecretFile, c.Auth.JWT.PublicKeyFile, c.Admin.TokenFile, c.Node.SecretFile, c.Hooks.SecretFile, c.BusFile, c.TLS.CertFile, c.TLS.KeyFile)
	for i := range c.Publish.Tokens {
		list = append(list, c.Publish.Tokens[i].TokenFile)
	}
	kept := list[:0]
	for _, name := range list {
		if name != "" {
			kept = append(kept, name)
		}
	}
	return kept
}

// referenceReload says which keys are read again.
func referenceReload() string {
	var b strings.Builder
	b.WriteString("\n## Reload\n\nSIGHUP, and with `reload.watch` a change of a file, reads the configuration again; see the [guide](../guides/reload.md). A running server\ntakes over ")
	for i := range keys {
		if keys[i].Live() {
			b.WriteString("`" + keys[i].Path + "`, ")
		}
	}
	b.WriteString("and the certificate's files.\nEvery other key that has changed is named in a warning, and needs a restart.\n")
	return b.String()
}

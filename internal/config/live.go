package config

import (
	"reflect"
	"strings"
)

// fixed are the keys below live ones that need a restart all the same.
var fixed = []string{
	"limits.resolver_timeout",
}

// live are the keys that a running server takes over when its configuration is read again; those that end in a dot stand
// for all below.
var live = []string{
	"preset", "schema", "schema.naming", "introspection", "auth.anonymous", "auth.jwt.", "publish.", "admin.token", "admin.token_file", "limits.", "drain.window", "origins", "proxy.", "hooks.",
	"callback.max_subscriptions", "log.level",
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

// Value is a pointer to the key's value in a configuration.
func (k *Key) Value(c *Config) any { return k.field(c) }

// NeedRestart returns the keys whose values differ and that a running server does not take over, and gives next those of
// running, so that nothing is taken over by half.
func NeedRestart(running, next *Config) (paths []string) {
	for i := range keys {
		k := &keys[i]
		was, will := reflect.ValueOf(k.field(running)), reflect.ValueOf(k.field(next))
		if !k.Live() && !reflect.DeepEqual(was.Interface(), will.Interface()) {
			paths = append(paths, k.Path)
			will.Elem().Set(was.Elem())
		}
	}
	return paths
}

// reloadText is the column of the reference that says what becomes of a change.
func (k *Key) reloadText() string {
	switch {
	case k.Live():
		return "yes"
	case k.Path == "tls.cert_file" || k.Path == "tls.key_file":
		return "what is in the file; another name: restart"
	default:
		return "restart"
	}
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

// referenceReload says what the column of the tables means.
func referenceReload() string {
	return "\n## Reload\n\nSIGHUP, and with `reload.watch` a change of a file, reads the configuration again; see the [guide](../guides/reload.md). The column *reload* says\n" +
		"whether a running server takes a change over. A key that needs a restart and has changed is named in a warning of the log at each reload, and keeps\nits value until the restart.\n"
}

package config

import (
	"fmt"
	"os"
	"strings"
)

// maxSecret bounds a secret file, in bytes.
const maxSecret = 64 << 10

// readSecrets fills the values that were given as files.
func (r *Resolved) readSecrets() Problems {
	var problems Problems
	c := &r.Config
	fill := func(dst *string, file, path, twin string, set bool) {
		if file == "" {
			return
		}
		place := r.Places[path]
		if place == (Place{}) {
			place = r.Places["publish.tokens"]
		}
		if set {
			problems = append(problems, Problem{place, path, "can't be combined with " + twin + "; use one of them"})
			return
		}
		value, err := secretFile(file)
		if err != nil {
			problems = append(problems, Problem{place, path, err.Error()})
			return
		}
		*dst = value
	}
	fill(&c.Auth.JWT.Secret, c.Auth.JWT.SecretFile, "auth.jwt.secret_file", "auth.jwt.secret", c.Auth.JWT.Secret != "")
	fill(&c.Admin.Token, c.Admin.TokenFile, "admin.token_file", "admin.token", c.Admin.Token != "")
	fill(&c.Node.Secret, c.Node.SecretFile, "node.secret_file", "node.secret", c.Node.Secret != "")
	fill(&c.Hooks.Secret, c.Hooks.SecretFile, "hooks.secret_file", "hooks.secret", c.Hooks.Secret != "")
	_, busSet := r.Places["bus"]
	fill(&c.Bus, c.BusFile, "bus_file", "bus", busSet)
	for i := range c.Publish.Tokens {
		t := &c.Publish.Tokens[i]
		fill(&t.Token, t.TokenFile, fmt.Sprintf("publish.tokens[%d].token_file", i), "token", t.Token != "")
	}
	return problems
}

// secretFile reads a secret and leaves one line break at its end out.
func secretFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err == nil && (info.IsDir() || info.Size() > maxSecret) {
		return "", fmt.Errorf("%s is not a file with a secret", name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %s", name, reason(err))
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return value, nil
}

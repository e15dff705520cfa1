package config

import (
	"fmt"
	"slices"
	"strings"
)

// prefix begins the name of every environment variable of ours.
const prefix = "FRAISEQL_"

// Env is the environment variable of a key: `auth.jwt.issuer` is FRAISEQL_AUTH_JWT_ISSUER.
func (k *Key) Env() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// envSettings reads the variables that are set and not empty. A variable that looks like one of ours and is
// not gives a warning only: container platforms make up FRAISEQL_PORT and the like.
func envSettings(env map[string]string) ([]setting, Problems) {
	var settings []setting
	known := []string{}
	for i := range keys {
		k := &keys[i]
		known = append(known, k.Env())
		if v, ok := env[k.Env()]; ok && v != "" {
			settings = append(settings, setting{k, textNode(k, v), Place{Name: k.Env()}})
		}
	}
	var warnings Problems
	for name := range env {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || slices.Contains(otherVariables, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			warnings = append(warnings, Problem{Place{Name: name}, "", fmt.Sprintf("unknown environment variable; did you mean %s?", near)})
		}
	}
	slices.SortFunc(warnings, func(a, b Problem) int { return strings.Compare(a.Place.Name, b.Place.Name) })
	return settings, warnings
}

// otherVariables are read by the commands, not by the configuration.
var otherVariables = []string{"FRAISEQL_CONFIG", "FRAISEQL_URL", "FRAISEQL_TOKEN", "FRAISEQL_TOKEN_FILE"}

// flagSettings reads flags of their own and --set. The more special one wins by position: a flag of its own
// together with --set for the same key is a contradiction.
func flagSettings(src Source) ([]setting, Problems) {
	var settings []setting
	var problems Problems
	from := map[string]string{}
	add := func(k *Key, value, flag string) {
		if first, twice := from[k.Path]; twice {
			problems = append(problems, Problem{Place{Name: flag}, k.Path, "is set by " + first + " too; use one of them"})
			return
		}
		from[k.Path] = flag
		settings = append(settings, setting{k, textNode(k, value), Place{Name: flag}})
	}
	for i := range keys {
		if v, ok := src.Flags[keys[i].Path]; ok {
			add(&keys[i], v, "--"+keys[i].Flag)
		}
	}
	for _, s := range src.Sets {
		path, value, ok := strings.Cut(s, "=")
		k, known := find(path)
		at := Place{Name: "--set " + path}
		switch {
		case !ok:
			problems = append(problems, Problem{Place{Name: "--set"}, path, "must be key=value, such as --set log.level=debug"})
		case !known && isSection(path):
			problems = append(problems, Problem{at, "", "is a section; set a key such as " + firstOf(path)})
		case !known:
			problems = append(problems, Problem{at, "", unknownKey(path)})
		case k.Secret:
			problems = append(problems, Problem{at, "", secretHint(k)})
		default:
			add(k, value, "--set "+path)
		}
	}
	return settings, problems
}

// secretHint says how to give a secret: arguments can be read by every user of the machine.
func secretHint(k *Key) string {
	how := k.Path + "_file"
	if _, ok := find(how); !ok {
		how = k.Path + "[].token_file"
	}
	return fmt.Sprintf("is a secret and can't be given on the command line; use %s or the environment variable %s", how, k.Env())
}

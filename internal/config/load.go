package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source says where a configuration comes from.
type Source struct {
	// File is the YAML file, empty: none.
	File string
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Flags are values given by flags of their own: key path → text.
	Flags map[string]string
	// Sets are the arguments of --set, `a.b=c`.
	Sets []string
	// Dev, DevAnyAddress and Demo are the flags of these names.
	Dev, DevAnyAddress, Demo bool
	// Builtin says that the schema comes with the program (--demo), so that none needs to be configured.
	Builtin bool
}

// Resolved is a configuration with the place that each key's value came from.
type Resolved struct {
	Config Config
	// Places holds the keys that are not defaults.
	Places map[string]Place
	// Warnings do not stop the server.
	Warnings Problems
}

// Load resolves a configuration. The error is Problems: every problem, not the first one. The result is not
// nil even then, for printing.
func Load(src Source) (*Resolved, error) {
	r := &Resolved{Places: map[string]Place{}}
	r.Config.Dev, r.Config.DevAnyAddress, r.Config.Demo = src.Dev, src.DevAnyAddress, src.Demo
	env := environment(src.Environ)
	var problems Problems

	layers, dir := [][]setting{}, ""
	if src.File != "" {
		f := readFile(src.File, env)
		layers, problems, dir = append(layers, f.settings), f.problems, filepath.Dir(src.File)
		if f.unread {
			return r, problems.err()
		}
	}
	fromEnv, warnings := envSettings(env)
	fromFlags, ps := flagSettings(src)
	layers, problems = append(layers, fromEnv, fromFlags), append(problems, ps...)
	r.Warnings = append(r.Warnings, warnings...)

	chosen := map[string]setting{}
	for _, layer := range layers {
		for _, s := range layer {
			chosen[s.key.Path] = s
		}
	}
	r.applyDefaults(chosen)
	for i := range keys {
		if s, ok := chosen[keys[i].Path]; ok {
			base := ""
			if s.place.Line > 0 {
				base = dir
			}
			problems = append(problems, r.apply(s, base)...)
		}
	}
	problems = append(problems, r.readSecrets()...)
	bad := map[string]bool{}
	for _, p := range problems {
		bad[p.Path] = true
	}
	r.settle()
	problems = append(problems, r.validate(src.Builtin, bad)...)
	return r, problems.err()
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return env
}

func readFile(name string, env map[string]string) *file {
	f := &file{name: name, lookup: func(n string) (string, bool) { v, ok := env[n]; return v, ok }}
	raw, err := os.ReadFile(name)
	if err != nil {
		f.fail(0, "", "cannot read the configuration file: %s", reason(err))
		f.unread = true
		return f
	}
	f.parse(raw)
	return f
}

// reason is the cause of a file error without the path, which the caller names.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// apply assigns one setting.
func (r *Resolved) apply(s setting, dir string) Problems {
	r.Places[s.key.Path] = s.place
	err := s.key.assign(&r.Config, s.node, dir)
	var problems Problems
	for _, e := range unjoin(err) {
		p := Problem{s.place, s.key.Path, e.Error()}
		var te *tokenError
		if errors.As(e, &te) {
			p.Path, p.Message = s.key.Path+te.path, te.message
			if s.place.Line > 0 {
				p.Place.Line = te.line
			}
		}
		problems = append(problems, p)
	}
	return problems
}

func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, unjoin(e)...)
		}
		return all
	}
	return []error{err}
}

// applyDefaults sets the preset's defaults for every key; chosen may name the preset.
func (r *Resolved) applyDefaults(chosen map[string]setting) {
	c := &r.Config
	c.Preset = "production"
	if c.Dev {
		c.Preset = "development"
	}
	if s, ok := chosen["preset"]; ok {
		// A wrong preset is reported when it is applied with the others.
		_ = s.key.assign(c, s.node, "")
	}
	c.WithDefaults()
}

// WithDefaults fills every key with the default of c.Preset. It overwrites what is there.
func (c *Config) WithDefaults() {
	for i := range keys {
		text := keys[i].defaultFor(c.Preset)
		if text == "" {
			continue
		}
		if err := keys[i].assign(c, textNode(&keys[i], text), ""); err != nil {
			panic("config " + keys[i].Path + ": default: " + err.Error())
		}
	}
	if c.Dev {
		c.Introspection, c.Auth.Anonymous = true, true
	}
}

func (k *Key) defaultFor(preset string) string {
	if k.Presets == nil {
		return k.Default
	}
	for i, name := range Presets {
		if name == preset {
			return k.Presets[i]
		}
	}
	return k.Default
}

// textNode makes the node of a value given as plain text (environment, flag, default): lists are YAML
// (`[a, b]`) or separated by commas.
func textNode(k *Key, value string) *yaml.Node {
	switch k.Type {
	case List, Paths, Tokens:
		trimmed := strings.TrimSpace(value)
		if strings.HasPrefix(trimmed, "[") || k.Type == Tokens {
			var doc yaml.Node
			if yaml.Unmarshal([]byte(value), &doc) == nil && len(doc.Content) == 1 {
				return doc.Content[0]
			}
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		}
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for item := range strings.SplitSeq(value, ",") {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(item)})
		}
		return n
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

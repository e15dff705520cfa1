package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// assign puts a raw value into c. dir is where relative paths begin, empty: the working directory.
func (k *Key) assign(c *Config, n *yaml.Node, dir string) error {
	switch p := k.field(c).(type) {
	case *string:
		return k.assignText(p, n, dir)
	case *bool:
		return assignBool(p, n)
	case *int:
		return k.assignInt(p, n)
	case *time.Duration:
		return assignDuration(p, n, cmp.Or(k.Most, 24*time.Hour))
	case *[]string:
		return k.assignList(p, n, dir)
	case *[]Token:
		return assignTokens(p, n, dir)
	default:
		panic(fmt.Sprintf("config %s: no way to set a %T", k.Path, p))
	}
}

func scalar(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("must be %s", what)
	}
	return n.Value, nil
}

// text returns a scalar that is text: numbers and booleans must be quoted, so that nothing is read otherwise
// than it was written.
func text(n *yaml.Node) (string, error) {
	s, err := scalar(n, "text")
	if err != nil {
		return "", err
	}
	if n.Tag != "!!str" {
		return "", errors.New("must be text: put it in quotes")
	}
	return s, nil
}

func (k *Key) assignText(p *string, n *yaml.Node, dir string) error {
	s, err := text(n)
	if err != nil {
		return err
	}
	if s == "" {
		return errors.New("is empty; give a value or leave the key out")
	}
	if k.Type == Choice && !slices.Contains(k.Choices, s) {
		return fmt.Errorf("%q is not one of %s%s", s, strings.Join(k.Choices, ", "), suggestion(s, k.Choices))
	}
	if k.Type == Path {
		s = below(dir, s)
	}
	*p = s
	return nil
}

func below(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func assignBool(p *bool, n *yaml.Node) error {
	s, err := scalar(n, "true or false")
	if err != nil {
		return err
	}
	if s != "true" && s != "false" {
		return fmt.Errorf("%q must be true or false", s)
	}
	*p = s == "true"
	return nil
}

func (k *Key) assignInt(p *int, n *yaml.Node) error {
	s, err := scalar(n, "a number")
	if err != nil {
		return err
	}
	factor, digits := 1, s
	if k.Type == Bytes {
		for i, unit := range byteUnits {
			if rest, ok := strings.CutSuffix(s, unit); ok {
				digits, factor = strings.TrimSpace(rest), 1<<(10*(3-i))
				break
			}
		}
	}
	v, err := strconv.ParseUint(strings.ReplaceAll(digits, "_", ""), 10, 63)
	if err != nil && k.Type == Bytes {
		return fmt.Errorf("%q is not a size; write for example 65536, 64KiB, 4MiB or 1GiB", s)
	}
	if err != nil {
		return fmt.Errorf("%q is not a whole number from 0 on", s)
	}
	if v > uint64(math.MaxInt32)*1024/uint64(factor) {
		return fmt.Errorf("%q is too large", s)
	}
	*p = int(v) * factor
	return nil
}

var byteUnits = []string{"GiB", "MiB", "KiB", "B"}

func assignDuration(p *time.Duration, n *yaml.Node, most time.Duration) error {
	s, err := scalar(n, "a duration")
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write for example 500ms, 30s or 5m", s)
	}
	if d < 0 || d > most {
		return fmt.Errorf("%q must be between 0s and %s", s, showDuration(most))
	}
	*p = d
	return nil
}

func (k *Key) assignList(p *[]string, n *yaml.Node, dir string) error {
	items, err := list(n, k.Type == Paths)
	if err != nil {
		return err
	}
	if k.Type == Paths {
		for i := range items {
			items[i] = below(dir, items[i])
		}
	}
	*p = items
	return nil
}

// list reads a sequence of texts; one text alone is allowed where a single value is the usual case.
func list(n *yaml.Node, orOne bool) ([]string, error) {
	if orOne && n.Kind == yaml.ScalarNode {
		s, err := text(n)
		if err == nil && s == "" {
			err = errors.New("is empty; give a value or leave the key out")
		}
		return []string{s}, err
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("must be a list, such as [a, b]")
	}
	items := make([]string, 0, len(n.Content))
	for i, c := range n.Content {
		s, err := text(c)
		if err == nil && s == "" {
			err = errors.New("is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("item %d %w", i, err)
		}
		if slices.Contains(items, s) {
			return nil, fmt.Errorf("item %d is there twice", i)
		}
		items = append(items, s)
	}
	return items, nil
}

// tokenError is a problem inside publish.tokens, at a line of its own.
type tokenError struct {
	line    int
	path    string
	message string
}

func (e *tokenError) Error() string { return e.path + " " + e.message }

var tokenMembers = []string{"token", "token_file", "channels", "tenants", "broadcast"}

func assignTokens(p *[]Token, n *yaml.Node, dir string) error {
	if n.Kind != yaml.SequenceNode {
		return errors.New("must be a list of tokens, such as [{token: …, channels: [orders]}]")
	}
	var tokens []Token
	var errs []error
	for i, c := range n.Content {
		t, err := assignToken(c, dir, fmt.Sprintf("[%d]", i))
		if err != nil {
			errs = append(errs, err)
		}
		tokens = append(tokens, t)
	}
	*p = tokens
	return errors.Join(errs...)
}

func assignToken(n *yaml.Node, dir, path string) (Token, error) {
	var t Token
	if n.Kind != yaml.MappingNode {
		return t, &tokenError{n.Line, path, "must be a mapping with token or token_file"}
	}
	var errs []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		var err error
		switch {
		case seen[name]:
			err = errors.New("set twice")
		case isNull(v):
			err = errors.New("has no value; give one or leave the key out")
		case name == "token":
			t.Token, err = text(v)
		case name == "token_file":
			t.TokenFile, err = text(v)
			t.TokenFile = below(dir, t.TokenFile)
		case name == "channels":
			t.Channels, err = list(v, false)
		case name == "tenants":
			t.Tenants, err = list(v, false)
		case name == "broadcast":
			err = assignBool(&t.Broadcast, v)
		default:
			err = fmt.Errorf("unknown key%s", suggestion(name, tokenMembers))
		}
		seen[name] = true
		if err != nil {
			errs = append(errs, &tokenError{n.Content[i].Line, path + "." + name, err.Error()})
		}
	}
	return t, errors.Join(errs...)
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// setting is one raw value for one key.
type setting struct {
	key   *Key
	node  *yaml.Node
	place Place
}

// file reads one YAML file into settings.
type file struct {
	name     string
	lookup   func(string) (string, bool) // environment
	settings []setting
	problems Problems
	// unread says that the file as a whole could not be read: nothing can be said about what is missing.
	unread bool
}

// parse reads text. Keys may be nested (`admin: {listen: …}`) or dotted (`admin.listen: …`).
func (f *file) parse(text []byte) {
	if root := f.root(text); root != nil {
		f.mapping(root, "", map[string]int{})
	}
	f.unread = len(f.problems) > 0 && len(f.settings) == 0
}

// root returns the file's mapping, nil when there is none.
func (f *file) root(text []byte) *yaml.Node {
	if len(text) > maxFile {
		f.fail(0, "", "the file is larger than 1 MiB")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			f.syntax(err)
		}
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		f.fail(second.Line, "", "the file holds more than one YAML document; keep the first")
	} else if !errors.Is(err, io.EOF) {
		f.syntax(err)
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	if !f.plain(doc.Content[0], 0) {
		return nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		f.fail(doc.Content[0].Line, "", "the file must be a mapping of keys to values, such as `listen: 127.0.0.1:4000`")
		return nil
	}
	return doc.Content[0]
}

func (f *file) fail(line int, path, format string, args ...any) {
	f.problems = append(f.problems, Problem{Place{f.name, line}, path, fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax turns an error of the YAML parser into a problem with its line.
func (f *file) syntax(err error) {
	m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	line, _ := strconv.Atoi(m[1])
	f.fail(max(line, 1), "", "not YAML: %s", m[2])
}

// plain refuses what a configuration does not need: anchors, aliases, tags, deep nesting.
func (f *file) plain(n *yaml.Node, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		f.fail(n.Line, "", "anchors and aliases are not allowed; write the value out")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		f.fail(n.Line, "", "tags such as %s are not allowed", n.Tag)
		return false
	case depth > 8:
		f.fail(n.Line, "", "nested too deeply")
		return false
	}
	for _, c := range n.Content {
		if !f.plain(c, depth+1) {
			return false
		}
	}
	return true
}

// mapping walks one mapping; prefix is the path so far with a dot at its end.
func (f *file) mapping(n *yaml.Node, prefix string, seen map[string]int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := prefix + name.Value
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" || name.Value == "" {
			f.fail(name.Line, strings.TrimSuffix(prefix, "."), "a key must be a name")
			continue
		}
		if path == "schema.files" {
			path = "schema"
		}
		key, isKey := find(path)
		section := isSection(path)
		if value.Kind == yaml.MappingNode && section {
			f.mapping(value, path+".", seen)
			continue
		}
		if !isKey {
			f.unknown(name.Line, path, value, section)
			continue
		}
		if first, twice := seen[path]; twice {
			f.fail(name.Line, path, "set twice; first in line %d", first)
			continue
		}
		seen[path] = name.Line
		if isNull(value) {
			f.fail(name.Line, path, "has no value; give one or leave the key out")
			continue
		}
		if f.expand(value, path) {
			f.settings = append(f.settings, setting{key, value, Place{f.name, name.Line}})
		}
	}
}

func (f *file) unknown(line int, path string, value *yaml.Node, section bool) {
	switch {
	case section && isNull(value):
	case section:
		f.fail(line, path, "is a section: it takes keys such as %q", firstOf(path))
	case path == "dev" || path == "dev_any_address" || path == "demo":
		f.fail(line, path, "is a flag only: fraiseql serve --%s", strings.ReplaceAll(path, "_", "-"))
	default:
		f.fail(line, path, "%s", unknownKey(path))
	}
}

var reference = regexp.MustCompile(`\$(\$|\{[^}]*\}|)`)
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} in every scalar below n; $$ is one dollar sign. Names and structure stay as written:
// a variable's value can never add a key.
func (f *file) expand(n *yaml.Node, path string) bool {
	ok := true
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		ok = f.expand(c, path) && ok
	}
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "$") {
		return ok
	}
	n.Value = reference.ReplaceAllStringFunc(n.Value, func(m string) string {
		if m == "$$" {
			return "$"
		}
		if m == "$" {
			f.fail(n.Line, path, "a single $; write ${NAME} for an environment variable or $$ for a dollar sign")
			ok = false
			return ""
		}
		name := m[2 : len(m)-1]
		if !variable.MatchString(name) {
			f.fail(n.Line, path, "%q is not the name of an environment variable", name)
			ok = false
			return ""
		}
		v, set := f.lookup(name)
		if !set {
			f.fail(n.Line, path, "the environment variable %s is not set", name)
			ok = false
		}
		return v
	})
	return ok
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func find(path string) (*Key, bool) {
	for i := range keys {
		if keys[i].Path == path {
			return &keys[i], true
		}
	}
	return nil, false
}

func isSection(path string) bool { return firstOf(path) != "" }

// firstOf returns the first key inside a section, "" if there is no such section.
func firstOf(section string) string {
	for i := range keys {
		if strings.HasPrefix(keys[i].Path, section+".") {
			return keys[i].Path
		}
	}
	return ""
}

func paths() []string {
	all := make([]string, len(keys))
	for i := range keys {
		all[i] = keys[i].Path
	}
	return all
}

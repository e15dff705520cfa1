package config

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// hidden stands for a secret; hiddenText is that as YAML, in which a * begins the name of an alias.
const (
	hidden     = "***"
	hiddenText = `"` + hidden + `"`
)

// Print writes the resolved configuration as a file that could be read again, each value with the place it
// came from, secrets as "***".
func (r *Resolved) Print(w io.Writer) error {
	var b strings.Builder
	section := []string{}
	for i := range keys {
		k := &keys[i]
		value, present := k.show(&r.Config)
		if _, set := r.Places[k.Path]; !present || !set && strings.HasPrefix(k.Path, "auth.jwt.") && !r.Config.Auth.JWT.Configured() {
			continue
		}
		parts := strings.Split(k.Path, ".")
		if k.Path == "schema.naming" {
			parts = []string{k.Path} // schema itself is a key
		}
		shared := 0
		for shared < len(parts)-1 && shared < len(section) && parts[shared] == section[shared] {
			shared++
		}
		for depth := shared; depth < len(parts)-1; depth++ {
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), parts[depth])
		}
		section = parts[:len(parts)-1]
		line := strings.Repeat("  ", len(parts)-1) + parts[len(parts)-1] + ": " + value
		fmt.Fprintf(&b, "%-48s # %s\n", line, r.Places[k.Path])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// show returns the value as YAML; present is false when there is none.
func (k *Key) show(c *Config) (value string, present bool) {
	switch p := k.field(c).(type) {
	case *string:
		value, present = k.showText(*p), *p != ""
		if k.Path == "bus" && c.BusFile != "" || k.Path == "auth.jwt.secret" && c.Auth.JWT.SecretFile != "" || k.Path == "admin.token" && c.Admin.TokenFile != "" || k.Path == "hooks.secret" && c.Hooks.SecretFile != "" || k.Path == "node.secret" && c.Node.SecretFile != "" {
			present = false // the file is shown
		}
	case *bool:
		value, present = strconv.FormatBool(*p), true
	case *int:
		value, present = strconv.Itoa(*p), true
		if k.Type == Bytes {
			value = showBytes(*p)
		}
	case *time.Duration:
		value, present = showDuration(*p), true
	case *[]string:
		value, present = showList(*p), *p != nil
	case *[]Token:
		value, present = showTokens(*p), *p != nil
	}
	return value, present
}

func (k *Key) showText(s string) string {
	if k.Secret {
		return hiddenText
	}
	if k.Type == URL {
		return quote(redact(s))
	}
	return quote(s)
}

// redact hides the password and the query of a URL, which may hold secrets.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return hidden
	}
	if u.User == nil && u.RawQuery == "" {
		return raw
	}
	if u.User != nil {
		u.User = url.User(hidden)
	}
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", hidden)
}

// quote writes a YAML scalar: plain where that reads back as the same text, with dollar signs doubled.
func quote(s string) string {
	s = strings.ReplaceAll(s, "$", "$$")
	if plainYAML(s) {
		return s
	}
	return strconv.Quote(s)
}

func plainYAML(s string) bool {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./:", r)
	}) {
		return false
	}
	switch strings.ToLower(s) {
	case "yes", "no", "on", "off", "y", "n":
		return false // other readers of YAML take these for booleans
	}
	var doc yaml.Node
	if yaml.Unmarshal([]byte(s), &doc) != nil || len(doc.Content) != 1 {
		return false
	}
	n := doc.Content[0]
	return n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == s
}

func showBytes(n int) string {
	for i, unit := range byteUnits[:3] {
		if size := 1 << (10 * (3 - i)); n >= size && n%size == 0 {
			return strconv.Itoa(n/size) + unit
		}
	}
	return strconv.Itoa(n)
}

func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func showList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func showTokens(tokens []Token) string {
	shown := make([]string, len(tokens))
	for i, t := range tokens {
		s := "token: " + hiddenText
		if t.TokenFile != "" {
			s = "token_file: " + strconv.Quote(t.TokenFile)
		}
		if t.Channels != nil {
			s += ", channels: " + showList(t.Channels)
		}
		if t.Tenants != nil {
			s += ", tenants: " + showList(t.Tenants)
		}
		if t.Broadcast {
			s += ", broadcast: true"
		}
		shown[i] = "{" + s + "}"
	}
	return "[" + strings.Join(shown, ", ") + "]"
}

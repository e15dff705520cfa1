package config

import (
	"net/url"
	"regexp"
	"strings"
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// minNodeSecret is the least length of what signs tokens of streams.
const minNodeSecret = 32

// http judges the keys of table_http.go.
func (v *check) http() {
	n := &v.Config.Node
	if n.Name != "" && !nodeName.MatchString(n.Name) {
		v.fail("node.name", "must be 1 to 63 letters, digits, - and _")
	}
	if n.Address != "" {
		u, err := url.Parse(n.Address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || len(n.Address) > 255 {
			v.fail("node.address", "must be http(s)://host[:port]")
		}
		if n.Secret == "" && n.SecretFile == "" {
			v.fail("node.address", "needs node.secret, the same on all nodes (try: openssl rand -hex 24)")
		}
	}
	if n.Secret != "" && len(n.Secret) < minNodeSecret {
		path := "node.secret"
		if n.SecretFile != "" {
			path = "node.secret_file"
		}
		v.fail(path, "has %d bytes; at least %d are needed (try: openssl rand -hex 24)", len(n.Secret), minNodeSecret)
	}
}

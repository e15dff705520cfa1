package cli

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// remote are the flags of commands that talk to a server. A token has no flag of its own: arguments can be
// read by every user of the machine.
type remote struct {
	URL       string `name:"url" placeholder:"URL" env:"FRAISEQL_URL" default:"http://127.0.0.1:4000" help:"Address of the server."`
	TokenFile string `name:"token-file" placeholder:"FILE" help:"${token_file_help}"`
}

// token reads the token, "" when there is none.
func (r *remote) token(env *Env) (string, error) { return readToken(r.TokenFile, env) }

func readToken(file string, env *Env) (token string, err error) {
	if file == "" {
		file = env.getenv("FRAISEQL_TOKEN_FILE")
	}
	if file == "" {
		token = env.getenv("FRAISEQL_TOKEN")
	} else if token, err = readSecret(file); err != nil {
		return "", err
	}
	if strings.ContainsFunc(token, control) {
		return "", usage("the token can't be sent: there is a line break or another control character in it")
	}
	return token, nil
}

// control reports whether a character can't be in a header.
func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

func readSecret(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("read the token: %s is empty", file)
	}
	return token, nil
}

// endpoint returns the address of a path of the server. An address that has a path already is taken as it is.
func (r *remote) endpoint(path string) (string, error) {
	raw := r.URL
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "", usage("--url %q is not an address such as http://127.0.0.1:4000", r.URL)
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return "", usage("--url %q must begin with http://, https://, ws:// or wss://", r.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = path
	}
	return u.String(), nil
}

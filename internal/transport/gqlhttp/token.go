package gqlhttp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Node names this node in the tokens of single connections.
type Node struct {
	// Name is what a load balancer may route by: up to 63 letters, digits, - and _; a random one.
	Name string
	// Address is where other nodes reach this one, as http(s)://host[:port]: they forward to it what belongs here.
	// Empty: they answer 421 with the name. It needs a Secret.
	Address string
	// Secret signs tokens; all nodes that forward to each other share it, 32 bytes at least. A random one.
	Secret []byte
}

// node is a checked Node.
type node struct {
	name, address string // address in base64url
	secret        []byte
}

const (
	minSecret = 32
	maxName   = 63
	// maxToken is longer than every token of ours.
	maxToken = 1 << 10
)

func (n Node) check() (node, error) {
	var errs []error
	if n.Name == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		n.Name = hex.EncodeToString(b[:])
	}
	if !isName(n.Name) {
		errs = append(errs, errors.New("node name: it must be 1 to 63 letters, digits, - and _"))
	}
	if n.Address != "" {
		u, err := url.Parse(n.Address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || len(n.Address) > 255 {
			errs = append(errs, errors.New("node address: it must be http(s)://host[:port]"))
		}
		if len(n.Secret) == 0 {
			errs = append(errs, errors.New("node address: it needs the secret that all nodes share"))
		}
	}
	if len(n.Secret) > 0 && len(n.Secret) < minSecret {
		errs = append(errs, errors.New("node secret: it must have 32 bytes at least"))
	}
	if len(n.Secret) == 0 {
		n.Secret = make([]byte, minSecret)
		_, _ = rand.Read(n.Secret)
	}
	return node{n.Name, base64.RawURLEncoding.EncodeToString([]byte(n.Address)), n.Secret}, errors.Join(errs...)
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// streamID identifies a single connection. Nobody guesses one.
type streamID [16]byte

func newStreamID() (id streamID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// token is what a client says of a single connection: node.address.id.signature. Node and address are not to be
// believed before the signature was checked.
type token struct {
	node    string
	address string
	id      streamID
	genuine bool
}

// issue makes the token of a stream of this node.
func (n *node) issue(id streamID) string {
	text := n.name + "." + n.address + "." + base64.RawURLEncoding.EncodeToString(id[:])
	return text + "." + n.sign(text)
}

func (n *node) sign(text string) string {
	mac := hmac.New(sha256.New, n.secret)
	mac.Write([]byte(text)) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// parse reads a token; ok is false for what cannot be one.
func (n *node) parse(text string) (t token, ok bool) {
	parts := strings.Split(text, ".")
	if len(text) > maxToken || len(parts) != 4 || !isName(parts[0]) {
		return t, false
	}
	address, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return t, false
	}
	id, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(id) != len(t.id) {
		return t, false
	}
	t.node, t.address = parts[0], string(address)
	copy(t.id[:], id)
	signed := text[:len(text)-len(parts[3])-1]
	t.genuine = hmac.Equal([]byte(parts[3]), []byte(n.sign(signed)))
	return t, true
}

const (
	// tokenHeader names the header that holds the token of a single connection.
	tokenHeader = "X-GraphQL-Event-Stream-Token"
	// streamHeader names a stream or connection that is given fresh credentials, or is just made.
	streamHeader = "X-FraiseQL-Stream"
	// nodeHeader tells which node a token belongs to.
	nodeHeader = "X-FraiseQL-Node"
	// forwardedHeader marks what another node has forwarded, with that node's name.
	forwardedHeader = "X-FraiseQL-Forwarded"
)

// streamToken is the token of a request; of several headers the first.
func streamToken(r *http.Request) string {
	if t := r.Header.Get(tokenHeader); t != "" {
		return t
	}
	if r.URL.RawQuery == "" {
		return ""
	}
	return r.URL.Query().Get("token")
}

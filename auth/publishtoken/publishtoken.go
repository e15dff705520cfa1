// Package publishtoken decides who may publish what (docs/security.md, "Publishing").
package publishtoken

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// minToken is the length in bytes of the shortest token.
const minToken = 16

// Token is one entry of publish.tokens.
type Token struct {
	Token string // at least 16 bytes
	// Channels are names, or prefixes followed by *; nil: every channel. An empty list is an error.
	Channels []string
	// Tenants are those that events may carry, and then must; nil: every tenant, and none. An empty list is
	// an error.
	Tenants []string
	// Broadcast allows broadcasts; an error together with Tenants.
	Broadcast bool
}

// Set holds the tokens of a server. Immutable, safe for concurrent use. It keeps hashes only.
type Set struct {
	hashes [][sha256.Size]byte
	grants []Grant
}

// Grant is what one token allows.
type Grant struct {
	exact     map[string]bool
	prefixes  []string
	anyName   bool
	tenants   []string
	broadcast bool
}

// New checks the tokens and reports every problem at once. Problems name a token by its index, never by its
// text.
func New(tokens []Token) (*Set, error) {
	s := &Set{}
	var errs []error
	for i := range tokens {
		grant, err := tokens[i].grant()
		if err != nil {
			errs = append(errs, fmt.Errorf("publish.tokens[%d]: %w", i, err))
			continue
		}
		hash := sha256.Sum256([]byte(tokens[i].Token))
		if at := slices.Index(s.hashes, hash); at >= 0 {
			errs = append(errs, fmt.Errorf("publish.tokens[%d]: the same token as an earlier one", i))
			continue
		}
		s.hashes = append(s.hashes, hash)
		s.grants = append(s.grants, grant)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func (t *Token) grant() (Grant, error) {
	g := Grant{exact: map[string]bool{}, anyName: t.Channels == nil, tenants: t.Tenants, broadcast: t.Broadcast}
	switch {
	case len(t.Token) < minToken:
		return g, fmt.Errorf("token: has %d bytes, at least %d are needed", len(t.Token), minToken)
	case t.Channels != nil && len(t.Channels) == 0:
		return g, errors.New("channels: the list is empty; leave it out for every channel")
	case t.Tenants != nil && len(t.Tenants) == 0:
		return g, errors.New("tenants: the list is empty; leave it out for every tenant")
	case t.Tenants != nil && t.Broadcast:
		return g, errors.New("broadcast: cannot be combined with tenants")
	case slices.Contains(t.Tenants, ""):
		return g, errors.New("tenants: a tenant must not be empty")
	}
	for _, pattern := range t.Channels {
		name, prefix := strings.CutSuffix(pattern, "*")
		switch err := event.ValidateChannel(name); {
		case prefix && name == "":
			g.anyName = true
		case err != nil:
			return g, fmt.Errorf("channels: %q: %s", pattern, err.Message)
		case prefix:
			g.prefixes = append(g.prefixes, name)
		default:
			g.exact[name] = true
		}
	}
	return g, nil
}

// Find returns what a presented token allows, nil if it is none of the set. The time it takes does not
// depend on how much of a token was guessed, nor on which one it is.
func (s *Set) Find(presented string) *Grant {
	hash := sha256.Sum256([]byte(presented))
	found := -1
	for i := range s.hashes {
		same := subtle.ConstantTimeCompare(hash[:], s.hashes[i][:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return nil
	}
	return &s.grants[found]
}

// Allow reports why a token may not publish an event, nil if it may. The code is FORBIDDEN. A nil grant
// allows nothing.
func (g *Grant) Allow(ev *event.Event) *event.Error {
	switch {
	case g == nil:
		return forbidden("", "no token allows this")
	case !g.channel(ev.Channel):
		return forbidden("channel", "the token does not allow this channel")
	case ev.Broadcast && !g.broadcast:
		return forbidden("broadcast", "the token does not allow broadcasts")
	case g.tenants == nil:
		return nil
	case ev.TenantID == "":
		return forbidden("tenant_id", "the token is for certain tenants, so the event must name one of them")
	case !slices.Contains(g.tenants, ev.TenantID):
		return forbidden("tenant_id", "the token does not allow this tenant")
	}
	return nil
}

func (g *Grant) channel(name string) bool {
	return g.anyName || g.exact[name] || slices.ContainsFunc(g.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func forbidden(member, message string) *event.Error {
	return &event.Error{Code: code.Forbidden, Member: member, Message: message}
}

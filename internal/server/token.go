package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// token is a publish token. Only its hash is kept: comparing hashes takes the same time whatever was sent.
type token struct {
	hash  [sha256.Size]byte
	rules config.Token
	rate  *rate.Limiter // nil: no bound
}

func newTokens(c *config.Config) []token {
	tokens := make([]token, len(c.Publish.Tokens))
	for i, t := range c.Publish.Tokens {
		tokens[i] = token{hash: sha256.Sum256([]byte(t.Token)), rules: t}
		tokens[i].rules.Token = ""
		if c.Publish.Rate > 0 {
			tokens[i].rate = rate.NewLimiter(rate.Limit(c.Publish.Rate), max(c.Publish.Rate, c.Limits.PublishEvents))
		}
	}
	return tokens
}

// publisher finds who is publishing. A nil token without a refusal is everybody, under --dev.
func (s *Server) publisher(r *http.Request) (*token, int, *problem) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 || len(s.tokens) == 0 {
		switch {
		case s.cfg.Dev:
			return nil, 0, nil
		case len(s.tokens) == 0:
			return nil, http.StatusForbidden, &problem{Code: code.Forbidden, Message: "publishing over HTTP is off: no publish.tokens are configured"}
		}
		return nil, http.StatusUnauthorized, &problem{Code: code.Unauthenticated, Message: "a publish token is needed: Authorization: Bearer …"}
	}
	scheme, value, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, http.StatusUnauthorized, &problem{Code: code.Unauthenticated, Message: "the Authorization header must be: Bearer, a space, a publish token"}
	}
	hash := sha256.Sum256([]byte(strings.TrimLeft(value, " ")))
	var found *token
	for i := range s.tokens {
		if subtle.ConstantTimeCompare(hash[:], s.tokens[i].hash[:]) == 1 {
			found = &s.tokens[i]
		}
	}
	if found == nil {
		return nil, http.StatusUnauthorized, &problem{Code: code.Unauthenticated, Message: "the publish token is not valid"}
	}
	return found, 0, nil
}

// judge lists the events that the token does not allow, at most maxProblems of them.
func (t *token) judge(events []event.Event) []problem {
	if t == nil {
		return nil
	}
	var problems []problem
	for i := range events {
		if p := t.allows(&events[i]); p != nil {
			p.Index = &i
			if problems = append(problems, *p); len(problems) == maxProblems {
				break
			}
		}
	}
	return problems
}

func (t *token) allows(ev *event.Event) *problem {
	switch rules := &t.rules; {
	case rules.Channels != nil && !slices.ContainsFunc(rules.Channels, func(p string) bool { return covers(p, ev.Channel) }):
		return &problem{Code: code.Forbidden, Member: "channel", Message: "the token does not allow this channel"}
	case ev.Broadcast && !rules.Broadcast:
		return &problem{Code: code.Forbidden, Member: "broadcast", Message: "the token does not allow broadcasts"}
	case rules.Tenants != nil && ev.TenantID == "":
		return &problem{Code: code.Forbidden, Member: "tenant_id", Message: "the token is for certain tenants: the event must name one"}
	case rules.Tenants != nil && !slices.Contains(rules.Tenants, ev.TenantID):
		return &problem{Code: code.Forbidden, Member: "tenant_id", Message: "the token does not allow this tenant"}
	}
	return nil
}

// covers reports whether a pattern (a name, or a prefix and *) covers a channel.
func covers(pattern, channel string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(channel, prefix)
	}
	return pattern == channel
}

// take counts n events against the token's rate; wait is how many seconds to come back after, 0 if allowed.
func (t *token) take(now time.Time, n int) (wait int) {
	if t == nil || t.rate == nil {
		return 0
	}
	reservation := t.rate.ReserveN(now, n)
	delay := reservation.DelayFrom(now)
	if delay == 0 {
		return 0
	}
	reservation.CancelAt(now)
	return max(1, int(math.Ceil(min(delay, time.Hour).Seconds())))
}

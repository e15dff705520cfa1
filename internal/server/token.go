package server

import (
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/fraiseql/fraiseql-go/auth/publishtoken"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// publishers are those who may publish: nobody, or who has a token; under --dev who has none, too.
type publishers struct {
	set   *publishtoken.Set
	none  bool                                  // no tokens are configured
	open  bool                                  // --dev
	rates map[*publishtoken.Grant]*rate.Limiter // nil: no bound
}

// newPublishers reads who may publish. A token that was known before keeps the bucket of a rate that is the same; before is nil
// at the start.
func newPublishers(c *config.Config, before *publishers) (*publishers, error) {
	tokens := make([]publishtoken.Token, len(c.Publish.Tokens))
	for i, t := range c.Publish.Tokens {
		tokens[i] = publishtoken.Token{Token: t.Token, Channels: t.Channels, Tenants: t.Tenants, Broadcast: t.Broadcast}
	}
	set, err := publishtoken.New(tokens)
	if err != nil {
		return nil, err
	}
	p := &publishers{set: set, none: len(tokens) == 0, open: c.Dev}
	if c.Publish.Rate > 0 {
		p.rates = make(map[*publishtoken.Grant]*rate.Limiter, len(tokens))
		perSecond, burst := rate.Limit(c.Publish.Rate), max(c.Publish.Rate, c.Limits.PublishEvents)
		for _, t := range tokens {
			bucket := before.bucket(t.Token)
			if bucket == nil || bucket.Limit() != perSecond || bucket.Burst() != burst {
				bucket = rate.NewLimiter(perSecond, burst)
			}
			p.rates[set.Find(t.Token)] = bucket
		}
	}
	return p, nil
}

// bucket is that of a token, nil for none.
func (p *publishers) bucket(token string) *rate.Limiter {
	if p == nil {
		return nil
	}
	return p.rates[p.set.Find(token)]
}

// who is one publisher.
type who struct {
	grant *publishtoken.Grant
	rate  *rate.Limiter // nil: no bound
	open  bool          // everything is allowed
}

// identify finds out who is publishing; a status other than 0 is a refusal.
func (p *publishers) identify(h http.Header) (who, int, problem) {
	values := h.Values("Authorization")
	switch {
	case p.open && (p.none || len(values) == 0):
		return who{open: true}, 0, problem{}
	case p.none:
		return who{}, http.StatusForbidden, problem{Code: code.Forbidden, Message: "publishing over HTTP is off: no publish.tokens are configured"}
	case len(values) == 0:
		return who{}, http.StatusUnauthorized, problem{Code: code.Unauthenticated, Message: "a publish token is needed: Authorization: Bearer …"}
	}
	scheme, value, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return who{}, http.StatusUnauthorized, problem{Code: code.Unauthenticated, Message: "the Authorization header must be: Bearer, a space, a publish token"}
	}
	grant := p.set.Find(strings.TrimLeft(value, " "))
	if grant == nil {
		return who{}, http.StatusUnauthorized, problem{Code: code.Unauthenticated, Message: "the publish token is not valid"}
	}
	return who{grant: grant, rate: p.rates[grant]}, 0, problem{}
}

// judge lists the events that are not allowed, at most maxProblems of them.
func (w who) judge(events []event.Event) []problem {
	if w.open {
		return nil
	}
	var problems []problem
	for i := range events {
		if err := w.grant.Allow(&events[i]); err != nil {
			problems = append(problems, problem{Code: err.Code, Message: err.Message, Member: err.Member, Index: &i})
			if len(problems) == maxProblems {
				break
			}
		}
	}
	return problems
}

// take counts n events against the rate; wait is how many seconds to come back after, 0 if they are allowed.
func (w who) take(now time.Time, n int) (wait int) {
	if w.rate == nil {
		return 0
	}
	reservation := w.rate.ReserveN(now, n)
	delay := reservation.DelayFrom(now)
	if delay == 0 {
		return 0
	}
	reservation.CancelAt(now)
	return max(1, int(math.Ceil(min(delay, time.Hour).Seconds())))
}

package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
	"github.com/fraiseql/fraiseql-go/auth/publishtoken"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// rotating is an Authenticator that can be replaced while it is used.
type rotating struct {
	now atomic.Pointer[jwtauth.Authenticator]
}

// Authenticate implements fraiseql.Authenticator.
func (r *rotating) Authenticate(ctx context.Context, c fraiseql.Credentials) (*fraiseql.Identity, error) {
	return r.now.Load().Authenticate(ctx, c)
}

// Reload puts what a configuration says about credentials and bounds in the place of what was said before, without a
// connection ending: the keys of tokens with issuer, audience, claims and longest life, publish tokens, the operators'
// token, and how many connections, subscriptions and fields somebody may have. Everything else needs a restart. A
// configuration that is wrong changes nothing. It may be called by one goroutine at a time.
//
// Connections whose credentials would not be accepted any more stay until these end: revoke them.
func (a *Assembly) Reload(cfg *config.Config) error {
	if cfg.Auth.JWT.Configured() != (a.tokens != nil) {
		return errors.New("auth.jwt: authentication is turned on and off by a restart")
	}
	tokens, err := authenticator(cfg)
	publish, errPublish := newPublishers(cfg)
	admin, errAdmin := newAdmin(cfg)
	if err := errors.Join(err, errPublish, errAdmin); err != nil {
		if tokens != nil {
			tokens.Close()
		}
		return err
	}
	limits := engineLimits(&cfg.Limits)
	if err := a.Engine.SetBounds(limits); err != nil {
		if tokens != nil {
			tokens.Close()
		}
		return fmt.Errorf("limits: %w", err)
	}
	if tokens != nil {
		a.tokens.now.Swap(tokens).Close()
	}
	a.Server.publish.Store(publish)
	a.Server.admin.Store(admin)
	return nil
}

// newAdmin returns the set of the operators' token; nil: there is none.
func newAdmin(cfg *config.Config) (*publishtoken.Set, error) {
	if cfg.Admin.Token == "" {
		return nil, nil
	}
	set, err := publishtoken.New([]publishtoken.Token{{Token: cfg.Admin.Token}})
	if err != nil {
		return nil, fmt.Errorf("admin.token: %w", err)
	}
	return set, nil
}

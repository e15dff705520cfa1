package fraiseql

import (
	"errors"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// schema is the schema in force with what depends on it. It does not change: SetSchema puts another one in its place.
type schema struct {
	*gql.Schema
	texts   []SchemaSource
	options SchemaOptions
	plans   *plan.Cache
	// tenantRoots are the root fields with @tenant, by channel: their events carry a tenant at that path.
	tenantRoots map[string][]tenantRoot
}

func (e *Engine) newSchema(s *gql.Schema, texts []SchemaSource, o SchemaOptions) *schema {
	made := &schema{Schema: s, texts: slices.Clone(texts), options: o, plans: plan.NewCache(e.limits().PlanCacheBytes), tenantRoots: make(map[string][]tenantRoot)}
	if s.Subscription == nil {
		return made
	}
	for _, f := range s.Subscription.Fields {
		if f.Tenant != nil && f.Source != nil {
			root := tenantRoot{types: f.Source.Types, path: jsontape.MakeNames(f.Tenant)}
			made.tenantRoots[f.Source.Channel] = append(made.tenantRoots[f.Source.Channel], root)
		}
	}
	return made
}

// SchemaChange is what another schema did to the live subscriptions.
type SchemaChange struct {
	// Moved subscriptions go on under the new schema; Ended ones were not valid any more: their last message is an error
	// with code SCHEMA_CHANGED.
	Moved, Ended int
}

// SetSchema puts another schema in the place of the one in force, without a connection ending. With an error, which lists
// every problem with its place, nothing has changed. Texts that are equal to those in force change nothing either.
//
// Subscriptions that are made from then on use the new schema. A live one goes on if its document and variables are valid
// under the new schema, its field listens to the same channel, and its identity may have it (checks 1 and 5): it changes
// between two events, so that none is lost, repeated or out of order; what was projected before is delivered as it is.
// Every other ends, after what waits for it, with an error of code SCHEMA_CHANGED. When SetSchema returns, all have
// changed or ended.
//
// Resolvers stay, those of fields that are gone without effect, and live subscriptions keep what they have. An engine
// with a schema cannot become one without, nor the other way round.
func (e *Engine) SetSchema(texts ...SchemaSource) (SchemaChange, error) {
	e.setting.Lock()
	defer e.setting.Unlock()
	return e.setSchemaLocked(e.schema.Load().options, texts)
}

// SchemaOptions say how a schema is read and shown: members of Config.
type SchemaOptions struct {
	SnakeCase, Introspection bool
}

// SetSchemaWith is SetSchema with other options, for live subscriptions, too.
func (e *Engine) SetSchemaWith(o SchemaOptions, texts ...SchemaSource) (SchemaChange, error) {
	e.setting.Lock()
	defer e.setting.Unlock()
	return e.setSchemaLocked(o, texts)
}

func (e *Engine) setSchemaLocked(o SchemaOptions, texts []SchemaSource) (SchemaChange, error) {
	if now := e.schema.Load(); slices.Equal(now.texts, texts) && now.options == o && !e.closed.Load() {
		return SchemaChange{}, nil
	}
	change, err := e.setSchema(o, texts)
	label := "accepted"
	if err != nil {
		label = "refused"
	}
	e.observer.Counted(observe.SchemaChanges, label, 1)
	return change, err
}

func (e *Engine) setSchema(o SchemaOptions, texts []SchemaSource) (c SchemaChange, err error) {
	now := e.schema.Load()
	switch {
	case e.closed.Load():
		return c, errors.New("set schema: the engine is closed")
	case now.Schemaless != (len(texts) == 0):
		return c, errors.New("set schema: an engine with a schema cannot become one without, nor the other way round")
	}
	began, resolvers := time.Now(), e.resolvers.Load()
	loaded, err := e.cfg.loadSchema(texts, o, func(field string) bool { return resolvers.all[field] != nil })
	if err != nil {
		return c, err
	}
	e.schema.Store(e.newSchema(loaded, texts, o))
	for old := resolvers; !e.resolvers.CompareAndSwap(old, old.under(loaded)); {
		old = e.resolvers.Load()
	}
	sum := e.hub.Renew(loaded.Generation)
	e.observer.Counted(observe.Renewed, "moved", sum.Moved)
	e.observer.Counted(observe.Renewed, "ended", sum.Ended)
	e.log.Info("another schema is in force", "moved", sum.Moved, "ended", sum.Ended, "took", time.Since(began))
	return SchemaChange(sum), nil
}

// renew implements hub.Config.Renew: the same document, with the variables as they were coerced, under the schema in
// force. Both were within the limits when they came.
func (e *Engine) renew(j *hub.Join) *hub.Renewal {
	p, _, _, errs := e.plan(j.Plan.Operation.Document.Text, j.Plan.Asked, admitted)
	if errs != nil {
		return &hub.Renewal{Invalid: errs}
	}
	var s subscribing
	if errs := s.coerce(p.Operation, j.Variables, jsontape.Admitted); errs != nil {
		return &hub.Renewal{Invalid: errs}
	}
	next := *j
	if next.Plan = p; !resolves(&next) {
		return &hub.Renewal{Invalid: refused(code.ValidationFailed, "The field "+p.RootName+" needs a resolver, and there is none.")}
	}
	claims, needs := p.Claims(nil, &s.vars, nil), p.Requirements(&s.vars)
	return &hub.Renewal{
		Plan: p, Variables: s.buf, Tape: &s.vars, Policy: e.policyOf(p, j.Plan.Fields),
		Admit: func(who *identity.Identity) (policy.Mask, []*gql.Error) {
			if r := policy.AdmitScope(claims, who); r != nil {
				return 0, refusal(r)
			}
			mask, r := policy.AdmitRole(needs, who)
			if r != nil {
				return 0, refusal(r)
			}
			return mask, nil
		},
	}
}

// SchemaNotes returns what in the schema in force is right, and perhaps not meant, each with its place: paths of @match,
// @owner, @tenant and @delivery that lead to nothing that the payload type reads.
func (e *Engine) SchemaNotes() (texts []string) {
	for _, n := range e.schema.Load().Notes() {
		texts = append(texts, n.String())
	}
	return texts
}

// schemaChanged implements hub.Config.Ended.
func schemaChanged(why []*gql.Error) []byte {
	text := "The schema has changed, and the subscription is not valid any more: " + why[0].Message
	return appendErrors(nil, refused(code.SchemaChanged, text))
}

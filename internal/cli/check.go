package cli

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/demo"
	"github.com/fraiseql/fraiseql-go/internal/server"
)

// checkCommand is `fraiseql check`.
type checkCommand struct {
	settings
	Quiet bool `name:"quiet" short:"q" help:"Print problems only."`
}

// Help is shown below the flags.
func (*checkCommand) Help() string {
	return `Takes the flags of serve and reads the same file and variables, without listening. Every problem is printed with its file and line; the exit code is then 1. Otherwise the resolved configuration is printed as YAML, each value with the place that it came from, secrets as ***.

Examples:

  fraiseql check --config fraiseql.yaml
  fraiseql check --dev --schema schema.graphql --quiet`
}

// Run checks.
func (c *checkCommand) Run(_ context.Context, env *Env) error {
	resolved, err := c.load(env)
	if err == nil {
		err = checkAssembly(env, &resolved.Config)
	} else if len(resolved.Config.Schema.Files) > 0 && !names(err, "schema") {
		// Every problem at once: what the schema holds can be judged whatever the rest says.
		err = errors.Join(err, server.CheckSchema(&resolved.Config))
	}
	if err != nil {
		return problems("schema or configuration", err)
	}
	for _, w := range resolved.Warnings {
		env.say("warning: %s", w)
	}
	if c.Quiet {
		return nil
	}
	return resolved.Print(env.Stdout)
}

// names reports whether a key has a problem already.
func names(err error, path string) bool {
	var list config.Problems
	if errors.As(err, &list) {
		for _, p := range list {
			if p.Path == path {
				return true
			}
		}
	}
	return false
}

// checkAssembly builds everything as serve does, says what may not be meant, and takes it down again.
func checkAssembly(env *Env, cfg *config.Config) error {
	parts := server.Parts{Version: version(), Bus: membus.New(membus.Options{})}
	if cfg.Demo {
		parts.Schema = []fraiseql.SchemaSource{{Name: demo.SchemaName, Text: demo.Schema}}
	}
	assembly, err := server.Assemble(cfg, parts)
	if err != nil {
		return err
	}
	for _, note := range assembly.Engine.SchemaNotes() {
		env.say("warning: %s", note)
	}
	return closeEngine(assembly)
}

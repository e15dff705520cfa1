package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes docs/reference/config.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	group := ""
	for i := range keys {
		k := &keys[i]
		if g := groupOf(k.Path); g != group {
			group = g
			fmt.Fprintf(&b, "\n## %s\n\n| key | type | default | reload | |\n|---|---|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, k.typeText(), k.defaultText(), k.reloadText(), k.docText())
	}
	b.WriteString(referencePresets())
	b.WriteString(referenceReload())
	b.WriteString(referenceTail)
	b.WriteString("\n| key | environment variable | flag of `serve` |\n|---|---|---|\n")
	for i := range keys {
		k := &keys[i]
		flag := "`--set " + k.Path + "=…`"
		if k.Flag != "" {
			flag = "`--" + k.Flag + "`"
		}
		if k.Secret {
			flag = "none: a secret"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", k.Path, k.Env(), flag)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func groupOf(path string) string {
	switch first, _, nested := strings.Cut(path, "."); {
	case !nested, first == "schema", first == "schemaless", first == "admin", first == "drain", first == "reload", first == "log":
		return "General"
	default:
		return first
	}
}

func (k *Key) typeText() string {
	if len(k.Choices) > 0 {
		return "`" + strings.Join(k.Choices, "`, `") + "`"
	}
	return string(k.Type)
}

func (k *Key) defaultText() string {
	if k.When != "" {
		return k.When
	}
	if d := k.defaultFor("production"); d != "" {
		return "`" + d + "`"
	}
	return "none"
}

func (k *Key) docText() string {
	if k.Secret {
		return k.Doc + " Secret: never printed."
	}
	return k.Doc
}

func referencePresets() string {
	var b strings.Builder
	b.WriteString("\n## Presets\n\nA preset replaces defaults, and only those; every key that you set wins.\n\n| key | " + strings.Join(Presets, " | ") + " |\n|---|---|---|---|\n")
	for i := range keys {
		if p := keys[i].Presets; p != nil {
			fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | `%s` |\n", keys[i].Path, p[0], p[1], p[2])
		}
	}
	return b.String()
}

const referenceHead = `<!-- Generated from internal/config; go test ./internal/config -update writes it. -->
# Configuration

One YAML file (` + "`fraiseql serve --config fraiseql.yaml`, or `FRAISEQL_CONFIG`" + `), environment variables and flags.
**Flag > environment variable > file > preset > default.** ` + "`fraiseql check --config fraiseql.yaml`" + ` reports every
problem with its file and line, and prints the result with the place that each value came from, secrets as ` + "`***`" + `.

- The file is strict: an unknown key, a key that is set twice, a value of another type are errors. Keys may be nested or
  dotted: ` + "`admin: {listen: 127.0.0.1:9090}` and `admin.listen: 127.0.0.1:9090`" + ` are the same.
- ` + "`${NAME}`" + ` in a value is the environment variable NAME; one that is not set is an error. ` + "`$$`" + ` is a dollar sign.
- Sizes: ` + "`65536`, `64KiB`, `4MiB`, `1GiB`. Durations: `500ms`, `30s`, `5m`" + `. Relative paths in the file begin at the
  file's folder, those of flags and variables at the working directory.
- Secrets have no flag. They are given by a file (` + "`*_file`" + `), an environment variable, or in the configuration file.
- Without ` + "`--dev`" + ` nothing is open: the server starts only with ` + "`auth.jwt.*` or `auth.anonymous: true`" + `. ` + "`--dev`" + ` is a flag only.

` + "```yaml" + `
schema: schema.graphql
listen: 0.0.0.0:4000
admin.listen: 127.0.0.1:9090
origins: ["https://app.example.com"]
auth:
  jwt:
    jwks_url: https://id.example.com/.well-known/jwks.json
    issuer: https://id.example.com/
    audience: subscriptions
publish:
  tokens:
    - token: ${ORDERS_TOKEN}
      channels: [orders, "orders.*"]
` + "```" + `
`

const referenceTail = `
## Publish tokens

` + "`publish.tokens`" + ` is a list; a request to ` + "`POST /events`" + ` carries one as ` + "`Authorization: Bearer …`" + `.

| member | type | default | |
|---|---|---|---|
| ` + "`token`" + ` | text | none | At least 16 bytes. Secret: never printed. |
| ` + "`token_file`" + ` | path | none | File that holds the token. |
| ` + "`channels`" + ` | list of text | every channel | Names, or prefixes followed by ` + "`*`" + `. An empty list is an error. |
| ` + "`tenants`" + ` | list of text | every tenant | Events must carry one of these as ` + "`tenant_id`" + `, and can't be broadcasts. |
| ` + "`broadcast`" + ` | true or false | ` + "`false`" + ` | Allow ` + "`broadcast: true`" + `. |

## Environment variables and flags

An environment variable is ` + "`FRAISEQL_`" + ` and the key in capitals with ` + "`_`" + ` for every dot. Lists are separated by commas or
written as YAML (` + "`[a, b]`" + `). A variable that is set and empty counts as not set.
`

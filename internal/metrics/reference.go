package metrics

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes docs/reference/metrics.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(head)
	for _, m := range table {
		label := m.Label
		if label == "" {
			label = "–"
		} else {
			label = "`" + strings.ReplaceAll(label, ", ", "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, label, m.Doc)
	}
	b.WriteString("\n## Values of labels\n\n| metric | label | values |\n|---|---|---|\n")
	for _, m := range table {
		if len(m.Values) > 0 {
			fmt.Fprintf(&b, "| `%s` | `%s` | `%s`, `other` |\n", m.Name, m.Label, strings.Join(m.Values, "`, `"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const head = `<!-- Generated from internal/metrics; go test ./internal/metrics -update writes it. -->
# Metrics

` + "`/metrics` on `admin.listen`" + ` (with ` + "`--dev`" + ` on the main port too), in the Prometheus text format, together with the
usual ` + "`go_*` and `process_*`" + ` metrics. Labels have a few fixed values: never a user, a tenant, a channel, a document or
another text that a client chose. Every series exists from the start with the value 0.

| metric | type | labels | |
|---|---|---|---|
`

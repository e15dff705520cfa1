package code

import (
	"fmt"
	"io"
	"net/http"
)

// writeReference writes docs/reference/errors.md.
func writeReference(w io.Writer) error {
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, e := range table {
		status, closing := "–", "–"
		if e.HTTP != 0 {
			status = fmt.Sprintf("%d %s", e.HTTP, http.StatusText(e.HTTP))
		}
		if e.Close != 0 {
			closing = fmt.Sprint(e.Close)
		}
		_, err := fmt.Fprintf(w, "\n## %s\n\n%s\n\n| HTTP | close | where |\n|---|---|---|\n| %s | %s | %s |\n\n**What to do:** %s\n",
			e.Name, e.Text, status, closing, e.Where, e.Remedy)
		if err != nil {
			return err
		}
	}
	return nil
}

const head = `<!-- Generated from internal/code; go test ./internal/code -update writes it. -->
# Error codes

A GraphQL error carries its code in ` + "`extensions.code`" + `. The publish API answers
` + "`{\"errors\":[{\"code\",\"message\",\"index\",\"member\"}]}`" + `: ` + "`index`" + ` counts the events of the request from 0 and
` + "`member`" + ` is the path inside the event; both are left out where they do not apply. Match on codes:
messages may change. Messages never carry text of internal errors.
`

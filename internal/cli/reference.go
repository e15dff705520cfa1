package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// WriteReference writes docs/reference/cli.md from the model of the command line.
func WriteReference(w io.Writer) error {
	parser, err := newParser(&Env{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, command := range parser.Model.Children {
		writeCommand(&b, command)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

const referenceHead = `<!-- Generated from internal/cli; go test ./internal/cli -update writes it. -->
# Command line

` + "`fraiseql <command> --help`" + ` says the same. Exit codes: **0** done, **1** refused or failed, **2** wrong usage, **3** the server
or its bus stayed out of reach. Results go to standard output, everything else to standard error. Tokens are never given as
arguments, which every user of the machine can read: ` + "`--token-file`, `FRAISEQL_TOKEN_FILE` or `FRAISEQL_TOKEN`" + `.
`

func writeCommand(b *strings.Builder, c *kong.Node) {
	if len(c.Children) > 0 {
		for _, child := range c.Children {
			writeCommand(b, child)
		}
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\nfraiseql %s\n```\n", c.FullPath(), c.Help, strings.TrimPrefix(c.Summary(), "fraiseql "))
	if c.Detail != "" {
		b.WriteString("\n" + markdown(c.Detail) + "\n")
	}
	if len(c.Positional) > 0 {
		b.WriteString("\n| argument | |\n|---|---|\n")
		for _, p := range c.Positional {
			fmt.Fprintf(b, "| `%s` | %s |\n", p.Name, cell(p.Help))
		}
	}
	var rows []string
	for _, f := range c.Flags {
		if f.Name != "help" && !f.Hidden {
			rows = append(rows, flagRow(f))
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n| flag | |\n|---|---|\n" + strings.Join(rows, ""))
	}
}

func flagRow(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Tag.Negatable != "" {
		name = "--[no-]" + f.Name
	}
	if !f.IsBool() {
		name += " " + f.FormatPlaceHolder()
	}
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", " + name
	}
	help := f.Help
	if len(f.Envs) > 0 {
		help += " Environment: `" + strings.Join(f.Envs, "`, `") + "`."
	}
	return fmt.Sprintf("| `%s` | %s |\n", name, cell(help))
}

func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// markdown turns indented examples into code blocks.
func markdown(detail string) string {
	var b strings.Builder
	inCode := false
	lines := strings.Split(detail, "\n")
	for i, line := range lines {
		code := strings.HasPrefix(line, "  ")
		blank := strings.TrimSpace(line) == ""
		if blank && inCode && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			b.WriteString("\n")
			continue
		}
		if code != inCode {
			b.WriteString("```\n")
			inCode = code
		}
		b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
	}
	if inCode {
		b.WriteString("```\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// Package cli is the command `fraiseql`: its flags, what each command does, and what it says when it can't.
//
// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the server or the bus could not be reached.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// commands is the command line.
type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run the server."`
	Publish   publishCommand   `cmd:"" help:"Publish events to a running server."`
	Subscribe subscribeCommand `cmd:"" help:"Subscribe to a running server and print each result as one line of JSON."`
	Pg        pgCommand        `cmd:"" help:"Set up and look after the PostgreSQL bus."`
	Check     checkCommand     `cmd:"" help:"Check schema and configuration and print the resolved configuration."`
	Bench     benchCommand     `cmd:"" help:"Measure a server: deliveries, latency, losses, CPU and memory."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// Env is what a command may use of the process that it runs in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
	// StdinTerminal and StderrTerminal say who is at the other end.
	StdinTerminal, StderrTerminal bool
}

// getenv returns a variable, "" when it is not set.
func (e *Env) getenv(name string) string {
	for _, v := range e.Environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// say writes a line for the person at the terminal.
func (e *Env) say(format string, args ...any) {
	// Nothing can be done about a terminal that is gone.
	_, _ = fmt.Fprintf(e.Stderr, format+"\n", args...)
}

// exit is an error with an exit code of its own.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

// Main runs the command line of this process and returns the exit code.
func Main() int {
	env := &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		StdinTerminal: terminal(os.Stdin), StderrTerminal: terminal(os.Stderr)}
	return Run(context.Background(), os.Args[1:], env)
}

// terminal reports whether a file is a terminal (or another device that is read and written by characters).
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// stop is what kong's request to exit becomes.
type stop struct{ code int }

// Run runs one command and returns the exit code.
func Run(ctx context.Context, args []string, env *Env) (code int) {
	defer func() {
		if v := recover(); v != nil {
			s, ok := v.(stop)
			if !ok {
				panic(v)
			}
			code = s.code
		}
	}()
	parser, err := newParser(env)
	if err != nil {
		env.say("fraiseql: %v", err)
		return exitFailed
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "--version": // as most commands have it
		args = []string{"version"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		var failed *kong.ParseError
		if errors.As(err, &failed) {
			parsed = failed.Context
		}
		return complain(env, parsed, &exit{exitUsage, err})
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return complain(env, parsed, parsed.Run(env))
}

func newParser(env *Env) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("fraiseql"),
		kong.Description("GraphQL subscriptions: publish events, match them against live subscriptions, deliver what was asked for.\n\n"+
			"Try it:  fraiseql serve --demo"),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { panic(stop{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"token_file_help": "File that holds the token. Or set FRAISEQL_TOKEN_FILE, or FRAISEQL_TOKEN to the token."},
	)
}

// complain prints an error and what to do next, and returns the exit code; parsed is nil when nothing was.
func complain(env *Env, parsed *kong.Context, err error) int {
	if err == nil {
		return 0
	}
	code := exitFailed
	var own *exit
	if errors.As(err, &own) {
		code = own.code
	}
	text := err.Error()
	if text == "" {
		return code
	}
	env.say("fraiseql: %s", text)
	if code == exitUsage {
		command := "fraiseql"
		if parsed != nil && parsed.Selected() != nil {
			command = parsed.Selected().FullPath()
		}
		env.say("Run `%s --help` for how it is used.", command)
	}
	return code
}

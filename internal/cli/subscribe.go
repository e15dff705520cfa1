package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

// subscribeCommand is `fraiseql subscribe`.
type subscribeCommand struct {
	remote
	Query     string            `arg:"" optional:"" help:"GraphQL document."`
	File      string            `name:"file" short:"f" placeholder:"FILE" help:"File with the document. - is standard input."`
	Variables string            `name:"variables" placeholder:"JSON" help:"Variables, as a JSON object."`
	Var       map[string]string `name:"var" short:"v" placeholder:"NAME=VALUE" mapsep:"none" help:"One variable: JSON, or else text."`
	Operation string            `name:"operation" placeholder:"NAME" help:"Which operation of the document to run."`
	Count     int               `name:"count" short:"n" placeholder:"N" help:"End after N results (default: never)."`
	Timeout   time.Duration     `name:"timeout" placeholder:"TIME" help:"End after this time (default: never). With --count, fewer results are then a failure."`
	Attempts  int               `name:"attempts" placeholder:"N" default:"10" help:"Give up after so many failures to connect in a row; 0: never (default: ${default})."`
	Header    []string          `name:"header" placeholder:"NAME:VALUE" sep:"none" help:"Further HTTP header of the handshake."`
}

// Help is shown below the flags.
func (*subscribeCommand) Help() string {
	return `Each result is one line of JSON on standard output: {"data":{…}}, with "errors" if there are any. Lost connections are made again with a growing pause; what happens is told on standard error.

Exit codes: 0 the server completed, --count or --timeout was reached, or Ctrl-C; 1 the subscription was refused; 2 wrong usage; 3 the server stayed out of reach, or fewer than --count results came in time.

Examples:

  fraiseql subscribe 'subscription { orders { id total } }'
  fraiseql subscribe -v min=100 'subscription($min: Float) { orders(min: $min) { id } }' | jq .data.orders
  fraiseql subscribe --file orders.graphql --token-file me.jwt --count 1 --timeout 10s`
}

var (
	errEnough = errors.New("enough results")
	errTime   = errors.New("the time is over")
)

// Run subscribes.
func (c *subscribeCommand) Run(ctx context.Context, env *Env) error {
	cfg, err := c.config(env)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	interrupted := ctx
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, errTime)
		defer cancel()
	}
	results := 0
	var full error // of standard output
	err = wsclient.Run(ctx, cfg, func(result json.RawMessage) error {
		results++
		if _, err := env.Stdout.Write(append(result, '\n')); err != nil {
			full = fmt.Errorf("write a result: %w", err)
			return full
		}
		if results == c.Count {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough), interrupted.Err() != nil:
		return nil
	case full != nil:
		return full
	case c.Count > 0 && (err == nil || errors.Is(err, errTime)):
		return &exit{exitUnreachable, fmt.Errorf("%d of %d results came", results, c.Count)}
	case errors.Is(err, errTime):
		return nil
	}
	return c.explain(err, cfg.Token != "" || len(c.Header) > 0)
}

func (c *subscribeCommand) config(env *Env) (wsclient.Config, error) {
	cfg := wsclient.Config{OperationName: c.Operation, Attempts: c.Attempts, Header: http.Header{}}
	var err error
	if cfg.Query, err = c.document(env); err != nil {
		return cfg, err
	}
	if cfg.URL, err = c.endpoint("/graphql"); err != nil {
		return cfg, err
	}
	if cfg.Token, err = c.token(env); err != nil {
		return cfg, err
	}
	if cfg.Variables, err = c.variables(); err != nil {
		return cfg, err
	}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return cfg, usage("--header %q must be NAME:VALUE", h)
		}
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); !validHeader(name, value) {
			return cfg, usage("--header %q can't be sent: a name has no spaces, a value no control characters", h)
		}
		if header := http.CanonicalHeaderKey(name); slices.Contains(ownHeaders, header) || strings.HasPrefix(header, "Sec-Websocket-") {
			return cfg, usage("--header %s can't be set: the handshake has its own", name)
		}
		cfg.Header.Add(name, value)
	}
	cfg.Final = []int{4403} // the credentials, or the lack of any, will not get better
	cfg.Retry = func(err error, wait time.Duration) {
		env.say("%v; connecting again in %v", err, wait.Round(time.Millisecond))
	}
	return cfg, nil
}

// ownHeaders are those of a handshake, beside Sec-WebSocket-*, that belong to it.
var ownHeaders = []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade"}

// validHeader reports whether a header can be sent (RFC 9110, 5.1 and 5.5).
func validHeader(name, value string) bool {
	token := func(c rune) bool {
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return !token(c) }) && !strings.ContainsFunc(value, control)
}

func (c *subscribeCommand) document(env *Env) (string, error) {
	switch {
	case c.Query != "" && c.File != "":
		return "", usage("give a document or --file, not both")
	case c.Query != "":
		return c.Query, nil
	case c.File == "":
		return "", usage("nothing to subscribe to: give a GraphQL document, such as 'subscription { orders { id } }'")
	case c.File == "-":
		text, err := io.ReadAll(env.Stdin)
		return string(text), err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return "", fmt.Errorf("read the document: %w", err)
	}
	return string(text), nil
}

// variables joins --variables and --var; the latter win.
func (c *subscribeCommand) variables() (json.RawMessage, error) {
	if c.Variables == "" && len(c.Var) == 0 {
		return nil, nil
	}
	all := map[string]json.RawMessage{}
	if c.Variables != "" {
		if err := json.Unmarshal([]byte(c.Variables), &all); err != nil {
			return nil, usage("--variables must be a JSON object, such as '{\"min\": 100}': %s", jsonProblem(err))
		}
		if all == nil {
			return nil, usage("--variables must be a JSON object, such as '{\"min\": 100}', not null")
		}
	}
	for name, value := range c.Var {
		if json.Valid([]byte(value)) {
			all[name] = json.RawMessage(value)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		all[name] = text
	}
	return json.Marshal(all)
}

// jsonProblem says what is wrong with a text that is no JSON object, and where.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%v, at byte %d", syntax, syntax.Offset)
	case errors.As(err, &kind):
		return "it is JSON of another kind: " + kind.Value
	}
	return err.Error()
}

// explain adds what to do, and the exit code; credentials: a token was given, or headers that may hold one.
func (c *subscribeCommand) explain(err error, credentials bool) error {
	var closed *wsclient.CloseError
	var refused *wsclient.HandshakeError
	var operation *wsclient.OperationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &operation):
		return err
	case errors.As(err, &closed) && closed.Code == 4403 && !credentials:
		return fmt.Errorf("%w\nNo token was given: give one with --token-file, FRAISEQL_TOKEN_FILE or FRAISEQL_TOKEN", err)
	case errors.As(err, &closed) && closed.Code == 4403:
		return fmt.Errorf("%w\nThe server refused the credentials, or what they stand for; give another token with --token-file, FRAISEQL_TOKEN_FILE or FRAISEQL_TOKEN", err)
	case errors.As(err, &closed) && !wsclient.Retryable(closed.Code):
		return err
	case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusNotFound && refused.Reason != "":
		return err
	case errors.As(err, &refused) && refused.Status < 500:
		return fmt.Errorf("%w\nIs --url %s the address of a FraiseQL server?", err, c.URL)
	}
	return &exit{exitUnreachable, err}
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/loadgen"
)

// benchCommand is `fraiseql bench`.
type benchCommand struct {
	URL              string        `name:"url" placeholder:"URL" help:"Address of the server to measure (default: one is started for the run)."`
	Connections      int           `name:"connections" short:"c" placeholder:"N" default:"100" help:"Connections (default: ${default})."`
	Subscriptions    int           `name:"subscriptions" short:"m" placeholder:"N" default:"1" help:"Subscriptions of each connection (default: ${default})."`
	Rooms            int           `name:"rooms" placeholder:"N" default:"1" help:"Channels that the subscriptions are spread over; 1 is fan-out (default: ${default})."`
	Query            string        `name:"query" placeholder:"DOC" help:"Document with a variable $room: Int! for all channels, whose events then go to one channel and differ in their member room (default: a field for each channel)."`
	Protocol         string        `name:"protocol" enum:"graphql-transport-ws,centrifuge,sse" placeholder:"NAME" default:"graphql-transport-ws" help:"What clients speak: graphql-transport-ws, sse (GraphQL over server-sent events), centrifuge (its JSON protocol, for comparison; channels NAME:0, NAME:1 …) (default: ${default})."`
	Rate             float64       `name:"rate" short:"r" placeholder:"N" default:"1000" help:"Events per second over all channels (default: ${default})."`
	Duration         time.Duration `name:"duration" short:"d" placeholder:"TIME" default:"10s" help:"Measured time (default: ${default})."`
	Warmup           time.Duration `name:"warmup" placeholder:"TIME" default:"2s" help:"Time before it, not measured; 0s: none (default: ${default})."`
	Payload          int           `name:"payload" placeholder:"BYTES" default:"100" help:"Length of a text in each event (default: ${default})."`
	Tick             time.Duration `name:"tick" placeholder:"TIME" default:"0s" help:"Publish what is due in steps of this length, in one request; 0s: each event when it is due (default: ${default})."`
	Window           int           `name:"window" placeholder:"N" default:"0" help:"Instead of --rate: publish as fast as the server delivers, with so many events under way; 0: off (default: ${default})."`
	Publishers       int           `name:"publishers" placeholder:"N" default:"1" help:"Parallel publishers (default: ${default})."`
	Stalled          int           `name:"stalled" placeholder:"N" default:"0" help:"Further connections that subscribe and never read (default: ${default})."`
	Churn            float64       `name:"churn" placeholder:"N" default:"0" help:"Connections per second that come, subscribe and break off beside the others (default: ${default})."`
	Spread           int           `name:"spread" placeholder:"N" default:"0" help:"A range of its own for each subscription: --query has the variables $from: Int! and $to: Int!, and member room of an event is the number of its room times N; 0: off (default: ${default})."`
	Tenants          bool          `name:"tenants" help:"Each room is a tenant: connections bring tokens signed with the key of --tenant-key-file (HS256, issuer and audience bench), events tenants, and all subscriptions are to one channel."`
	TenantKeyFile    string        `name:"tenant-key-file" placeholder:"FILE" help:"File with the key of --tenants."`
	Pairs            int           `name:"pairs" placeholder:"N" default:"0" help:"Publish nothing; each connection subscribes and completes, with so many pairs under way; 0: off (default: ${default})."`
	Storm            bool          `name:"storm" help:"Publish nothing; break all connections off at once, and take the time until all have come back and receive."`
	Settle           time.Duration `name:"settle" placeholder:"TIME" default:"3s" help:"With --idle: how long it is quiet before memory is read; 0s: memory is read at once after each step, and once more after 3s at the end (default: ${default})."`
	Idle             bool          `name:"idle" help:"Publish nothing; measure the memory of idle connections."`
	Channel          string        `name:"channel" placeholder:"NAME" default:"bench" help:"Channel, and root field; with several rooms NAME_0, NAME_1 … (default: ${default})."`
	Tenant           string        `name:"tenant" placeholder:"ID" help:"tenant_id of each event."`
	Broadcast        bool          `name:"broadcast" help:"Publish broadcasts; servers with strict isolation need this or --tenant."`
	TokenFile        string        `name:"token-file" placeholder:"FILE" help:"${token_file_help}"`
	PublishTokenFile string        `name:"publish-token-file" placeholder:"FILE" help:"File with the publish token."`
	PublishURL       string        `name:"publish-url" placeholder:"URL" help:"Where events are posted, a line of JSON each; tcp://host:port: where they are written to (default: /events of the server)."`
	JSON             bool          `name:"json" help:"Print the result as JSON."`
}

// Help is shown below the flags.
func (*benchCommand) Help() string {
	return `Opens the connections, publishes at a fixed rate, and checks each delivery: that none is lost, doubled, out of order or altered, and how late it is, counted from when its event was due. With a server on this machine its CPU seconds per million deliveries and its memory per connection are printed too.

The server that is measured must serve a field with the name of each channel, whose type has room: Int, seq: Int, sent: Int, sum: Int and pad: String. The one that bench starts itself does. With --query, any server of graphql-transport-ws can be measured that takes the events as lines of JSON, by POST or on a TCP connection.

Exit codes: 0 every delivery was right, 1 some were not, or the server refused the events, 2 wrong usage, 3 the server can't be reached.

Examples:

  fraiseql bench
      fan-out: 1,000 events/s to 100 connections

  fraiseql bench -c 1000 --rooms 1000 -r 20000 -d 30s
      1,000 channels with one subscriber each

  fraiseql bench --url http://127.0.0.1:8000/graphql --channel tick --rooms 1000 -c 1000 --window 2000
        --query 'subscription($room: Int!) { tick(room: $room) { room seq sent sum pad } }'
      what another server delivers at most

  fraiseql bench --idle -c 10000
      memory of idle connections`
}

// Run measures.
func (c *benchCommand) Run(ctx context.Context, env *Env) error {
	if err := c.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := c.config(env)
	if err != nil {
		return err
	}
	if err := validate(cfg); err != nil {
		return usage("%w", err)
	}
	if cfg.URL == "" {
		server, err := startServer(ctx, env, c.schema())
		if err != nil {
			return err
		}
		defer server.stop()
		cfg.URL, cfg.PID = "http://"+server.addr+"/graphql", server.pid()
	}
	result, err := loadgen.Run(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return &exit{exitFailed, errors.New("interrupted")}
		}
		if refused := (*loadgen.RefusedError)(nil); errors.As(err, &refused) && refused.Status < 500 {
			return err
		}
		return &exit{exitUnreachable, err}
	}
	if c.JSON {
		text, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.Stdout, "%s\n", text)
		return errors.Join(err, result.Err())
	}
	_, err = fmt.Fprint(env.Stdout, result.Text())
	return errors.Join(err, result.Err())
}

// check refuses what no server can be asked for, and what the one that is started for the run does not serve.
func (c *benchCommand) check() error {
	switch {
	case c.Connections < 1 || c.Subscriptions < 1 || c.Rooms < 1 || c.Publishers < 1 || c.Rate <= 0 || c.Payload < 0 || c.Window < 0 || c.Duration <= 0:
		return usage("counts, --rate and --duration must be more than 0")
	case c.URL != "":
		return nil
	case c.Tenants:
		return usage("--tenants needs --url: the server that bench starts has no tenants")
	case c.Spread > 1:
		return usage("--spread needs --url: the fields of the server that bench starts take no range")
	case c.Protocol == string(loadgen.Centrifuge):
		return usage("--protocol %s needs --url: the server that bench starts speaks GraphQL", c.Protocol)
	}
	return nil
}

// validate checks a configuration before its server is there.
func validate(cfg loadgen.Config) error {
	if cfg.URL == "" {
		cfg.URL = "http://127.0.0.1"
	}
	return cfg.Validate()
}

func (c *benchCommand) config(env *Env) (loadgen.Config, error) {
	cfg := loadgen.Config{
		Protocol: loadgen.Protocol(c.Protocol), Connections: c.Connections, Subscriptions: c.Subscriptions, Rooms: c.Rooms, Channel: c.Channel, PayloadBytes: c.Payload,
		Rate: c.Rate, Duration: c.Duration, Warmup: c.Warmup, Tick: c.Tick, Window: c.Window, PublishURL: c.PublishURL, Stalled: c.Stalled, Churn: c.Churn, Publishers: c.Publishers, TenantID: c.Tenant, Broadcast: c.Broadcast, Idle: c.Idle,
		Settle: c.Settle, Spread: c.Spread, Pairs: c.Pairs, Storm: c.Storm,
	}
	if c.Settle == 0 {
		cfg.Settle = -1 // there, 0 is the default
	}
	if c.Warmup == 0 {
		cfg.Warmup = -1 // there, 0 is the default
	}
	if c.Query != "" {
		cfg.Query = func(int) string { return c.Query }
		cfg.Variables = func(room int) string { return `{"room":` + strconv.Itoa(room) + "}" }
		cfg.ChannelOf = func(int) string { return c.Channel }
	}
	if err := c.tenants(&cfg); err != nil {
		return cfg, err
	}
	if env.StderrTerminal {
		cfg.Progress = func(text string) { env.say("%s …", text) }
	}
	if c.URL == "" {
		return cfg, nil
	}
	at := remote{URL: c.URL}
	var err error
	if cfg.URL, err = at.endpoint("/graphql"); err != nil {
		return cfg, err
	}
	if cfg.Token, err = readToken(c.TokenFile, env); err != nil {
		return cfg, err
	}
	if c.PublishTokenFile != "" {
		cfg.PublishToken, err = readToken(c.PublishTokenFile, env)
	}
	return cfg, err
}

// tenants has each room be a tenant.
func (c *benchCommand) tenants(cfg *loadgen.Config) error {
	if c.Tenants != (c.TenantKeyFile != "") {
		return usage("--tenants and --tenant-key-file belong together")
	}
	if !c.Tenants {
		return nil
	}
	secret, err := readSecret(c.TenantKeyFile)
	if err != nil {
		return err
	}
	cfg.TenantSecret = []byte(secret)
	cfg.ChannelOf, cfg.Variables = func(int) string { return c.Channel }, nil
	return nil
}

// schema is the SDL of the server that is started.
func (c *benchCommand) schema() string {
	var b strings.Builder
	b.WriteString("type Subscription {\n")
	if c.Query != "" {
		fmt.Fprintf(&b, "  %s(room: Int!): Tick\n", c.Channel)
	} else if c.Rooms == 1 {
		fmt.Fprintf(&b, "  %s: Tick\n", c.Channel)
	} else {
		for room := range c.Rooms {
			fmt.Fprintf(&b, "  %s_%d: Tick\n", c.Channel, room)
		}
	}
	b.WriteString("}\n\ntype Tick {\n  room: Int\n  seq: Int\n  sent: Int\n  sum: Int\n  pad: String\n}\n")
	return b.String()
}

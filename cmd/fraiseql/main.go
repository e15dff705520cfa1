// Command fraiseql serves, publishes to, subscribes to, checks and measures GraphQL subscriptions.
package main

import (
	"os"

	"github.com/fraiseql/fraiseql-go/internal/cli"
)

func main() { os.Exit(cli.Main()) }

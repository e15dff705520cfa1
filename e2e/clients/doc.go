// Package clients holds end-to-end tests with the client libraries that applications use: npm graphql-ws, Apollo
// Client, urql, Relay and PyPI gql subscribe to the running binary and receive what is published, through lost
// connections and restarts; and a browser shows the demo page. `make deps` installs the clients.
package clients

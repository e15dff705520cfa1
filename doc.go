// Package fraiseql is a GraphQL subscriptions engine: events go in, each is matched against live
// subscriptions, checked for who may see it, cut down to the selected fields, serialised once per group of
// equal subscriptions and queued for every subscriber.
package fraiseql

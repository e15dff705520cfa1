//go:build !race

package fraiseql_test

const manyEvents = 100_000

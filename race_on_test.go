//go:build race

package fraiseql_test

const manyEvents = 10_000 // ten times as slow

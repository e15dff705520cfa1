// Package pgbus carries events in a table of PostgreSQL.
package pgbus

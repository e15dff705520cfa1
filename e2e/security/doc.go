// Package security holds tests of who may see what: over the real WebSocket for each of the five checks and
// for credentials, and in-process against an oracle that knows nothing of the engine.
package security

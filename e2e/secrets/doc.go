// Package secrets looks for secrets where they must not be. The running command is given secrets and clients that say what can be
// recognised, and goes through what makes servers talk: refusals, failures of the bus and of hooks, attacks, debug logging.
// Afterwards every log line, metric, debug page and answer is searched.
package secrets

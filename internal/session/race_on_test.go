//go:build race

package session

const raceEnabled = true // sync.Pool drops at random

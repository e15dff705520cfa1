//go:build race

package membus

// raceEnabled is set where allocations and sizes mean nothing.
const raceEnabled = true

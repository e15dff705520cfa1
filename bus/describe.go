package bus

import (
	"strings"
	"time"
)

// Guarantee is what a bus promises about the delivery of an acknowledged event to an attached engine.
type Guarantee uint8

const (
	// AtMostOnce: an event may be lost, when the process or a connection is; it never comes twice.
	AtMostOnce Guarantee = iota
	// AtLeastOnce: an event is delivered again after a failure rather than lost; the same position and id
	// then come again, and the hub drops the repetition.
	AtLeastOnce
)

// String returns the text used in docs and logs.
func (g Guarantee) String() string {
	if g == AtLeastOnce {
		return "at least once"
	}
	return "at most once"
}

// Description is what a bus says about itself.
type Description struct {
	// Name says which events these are: the same on every node that shares them, different for buses that do
	// not. It is part of cursors, and holds no secret.
	Name      string
	Guarantee Guarantee
	// Durable: history and positions outlive the process.
	Durable bool
	// Shared: other processes publish to it too. Receipt.Delivered is then -1.
	Shared bool
}

// Describer is implemented by buses that can say what they are. One that cannot is taken for AtMostOnce,
// neither durable nor shared.
type Describer interface {
	Describe() Description
}

// Describe returns what a bus says about itself.
func Describe(b Bus) Description {
	if d, ok := b.(Describer); ok {
		return d.Describe()
	}
	return Description{Name: "unnamed"}
}

// The channels that the engine keeps for itself. Publish, Interest and History take them as any other;
// the doors for events refuse every name that begins with $.
const (
	// ControlChannel carries revocations. Every node reads it from its start before it is ready.
	ControlChannel = "$control"
	// nodePrefix begins the channels by which nodes speak to one another.
	nodePrefix = "$node/"
)

// NodeChannel returns the channel that one node reads.
func NodeChannel(node string) string { return nodePrefix + node }

// IsControl reports whether a channel is the engine's own. A bus keeps the events of these apart, so that
// no amount of ordinary events pushes them out.
func IsControl(channel string) bool { return strings.HasPrefix(channel, "$") }

// IsNode reports whether a channel is the one of a node.
func IsNode(channel string) bool { return strings.HasPrefix(channel, nodePrefix) }

// ControlRetainer is implemented by buses whose retention of ControlChannel can be set.
type ControlRetainer interface {
	// RetainControl makes the bus keep the events of ControlChannel for at least d: the longest life of a
	// token that is accepted. It is called before Attach.
	RetainControl(d time.Duration)
}

// Package nodes tests several server processes on one real event bus: every subscriber of every node gets each event
// exactly once and in order, whichever node it was published to, and whatever fails meanwhile: the bus, a node or the
// network between them. Nothing is counted inside the servers: clients count what they receive, event by event.
package nodes

// Package event holds what is published: the envelope, its rules, its id and its position on a bus.
// It depends on the standard library only.
package event

import "time"

// Event is one fact about a channel (docs/reference/http.md). An empty string means that the member is absent: values
// are never empty. Data is the text of one JSON object; it is not modified after publishing.
type Event struct {
	Channel      string
	Type         string
	ID           string // as published; empty: Publish sets UID
	UID          ID     // a UUIDv7 that takes the place of an empty ID; its text is made when it is needed
	TenantID     string
	UserID       string
	FederationID string
	ServiceName  string
	Broadcast    bool
	Timestamp    time.Time // zero: Publish sets the time
	Data         []byte
}

// AppendID appends the text of the event's id.
func (e *Event) AppendID(dst []byte) []byte {
	if e.ID != "" {
		return append(dst, e.ID...)
	}
	return AppendID(dst, e.UID)
}

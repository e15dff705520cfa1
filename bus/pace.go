package bus

// Pacer is implemented by handlers that can be given events faster than those read for whom they are.
type Pacer interface {
	// Pace returns when those who read have had a chance to, after some milliseconds at the latest.
	Pace()
}

// Pace is called by a bus after each Deliver, before the next one, with no lock held that a Handler or its readers might
// need: a channel's next event may overtake it only by another goroutine. It waits if the message has filled queues.
func Pace(h Handler, m *Message) {
	if m.Filled {
		pace(h)
	}
}

func pace(h Handler) {
	if p, ok := h.(Pacer); ok {
		p.Pace()
	}
}

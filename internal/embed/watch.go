//go:build linux

package embed

// watch is who is told of a subscription once.
type watch struct {
	note *note // nil: nobody
	tell func()
}

// Watch tells a mailbox the token once, when a message comes for the subscription or it ends: 0, or 1 when that is so
// already, and then nothing is told. A later Watch replaces an earlier one; mailbox 0 takes it back. Unknown when there
// is no such mailbox; Ended when the subscription was completed.
func (e *Engine) Watch(handle, mailbox, token int64) int64 {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		return e.lib.gone(handle)
	}
	pull := s.pull.Load()
	if pull == nil {
		return Unknown
	}
	s.watching.Lock()
	defer s.watching.Unlock()
	if mailbox == 0 {
		pull.Notify(nil)
		return 0
	}
	b := e.mailbox(mailbox)
	if b == nil {
		return Unknown
	}
	if n := s.watch.note; n == nil || n.box != b || n.token != token {
		n = &note{box: b, token: token}
		s.watch = watch{n, n.tell}
	}
	if pull.Notify(s.watch.tell) {
		return 0
	}
	return 1
}

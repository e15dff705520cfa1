//go:build linux

package embed

// TokenCalls is the token of the calls that wait.
const TokenCalls = 0

// Mailbox opens a mailbox; fd becomes readable when tokens wait.
func (e *Engine) Mailbox() (handle int64, fd int, err error) {
	b, err := newMailbox()
	if err != nil {
		return 0, 0, err
	}
	b.engine = e
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mailboxes == nil {
		b.close()
		return 0, 0, errClosed
	}
	b.handle = e.lib.mailboxes.put(b)
	e.mailboxes[b.handle] = b
	return b.handle, b.fd, nil
}

func (e *Engine) mailbox(handle int64) *mailbox {
	b, ok := e.lib.mailboxes.get(handle)
	if !ok || b.engine != e {
		return nil
	}
	return b
}

// MailboxTake moves tokens into dst; n is their number, or Unknown.
func (e *Engine) MailboxTake(handle int64, dst []int64) (n int64) {
	b := e.mailbox(handle)
	if b == nil {
		return Unknown
	}
	return int64(b.take(dst))
}

// MailboxCalls says which mailbox is told of calls; 0: none.
func (e *Engine) MailboxCalls(handle int64) int64 {
	if handle == 0 {
		e.queue.tellTo(nil)
		return 0
	}
	b := e.mailbox(handle)
	if b == nil {
		return Unknown
	}
	e.queue.tellTo(&note{box: b, token: TokenCalls})
	return 0
}

// MailboxClose closes a mailbox and its descriptor. 1, 0 when it was closed before, or Unknown.
func (e *Engine) MailboxClose(handle int64) int64 {
	b := e.mailbox(handle)
	if b == nil {
		if e.lib.mailboxes.gone(handle) {
			return 0
		}
		return Unknown
	}
	if _, ok := e.lib.mailboxes.remove(handle); !ok {
		return 0
	}
	e.mu.Lock()
	delete(e.mailboxes, handle)
	e.mu.Unlock()
	b.close()
	return 1
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// publisher sends events in batches, one request at a time so that their order holds.
type publisher struct {
	url, token string
	wait       time.Duration
	batch      int
	progress   *progress
	accepted   int
}

const (
	requestTimeout = 60 * time.Second
	// leastRequest is what a request is given even if the time for trying is shorter, or nearly over.
	leastRequest = time.Second
	// batchBytes bounds a request well below what a server takes.
	batchBytes = 8 << 20
	retryBase  = 200 * time.Millisecond
	retryMax   = 5 * time.Second
	maxAnswer  = 1 << 20
	// maxRedirects are followed.
	maxRedirects = 5
)

// client follows no redirect that makes a GET of a POST.
var client = &http.Client{CheckRedirect: func(next *http.Request, via []*http.Request) error {
	if next.Method != http.MethodPost || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}}

// all sends every event of a reader. Nothing of a batch with a text that can't be read is sent.
func (p *publisher) all(ctx context.Context, in *eventReader) error {
	var lines [][]byte
	size := 0
	for {
		line, err := in.next()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		if len(lines) > 0 && (end || len(lines) == p.batch || size+len(line) > batchBytes) {
			if err := p.send(ctx, lines); err != nil {
				return err
			}
			lines, size = lines[:0], 0
		}
		if end {
			if p.accepted == 0 {
				return usage("nothing to publish: the input holds no event")
			}
			return nil
		}
		lines, size = append(lines, line), size+len(line)+1
	}
}

// outcome is the answer to one request.
type outcome struct {
	status     int
	location   string // where a redirect leads
	accepted   int
	retryAfter time.Duration
	problems   []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Index   *int   `json:"index"`
		Member  string `json:"member"`
	}
}

// send sends lines until all are accepted, one is refused, or the time for trying again is over.
func (p *publisher) send(ctx context.Context, lines [][]byte) error {
	deadline := time.Now().Add(p.wait)
	for attempt := 0; ; attempt++ {
		out, err := p.request(ctx, lines, deadline)
		if err == nil {
			p.accepted += out.accepted
			p.progress.update(p.accepted)
			lines = lines[min(out.accepted, len(lines)):]
			switch out.status {
			case http.StatusAccepted:
				if len(lines) > 0 {
					return fmt.Errorf("the server accepted %d events less than it was sent", len(lines))
				}
				return nil
			case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
				if out.accepted > 0 {
					attempt, deadline = 0, time.Now().Add(p.wait)
				}
				err = &exit{exitUnreachable, out.error(p.accepted)}
			default:
				return p.refused(out, len(lines))
			}
		} else {
			err = &exit{exitUnreachable, err}
		}
		pause := max(out.retryAfter, min(retryMax, retryBase<<min(attempt, 10)))
		if time.Now().Add(pause).After(deadline) {
			return err
		}
		p.progress.note("%v; trying again in %v", err, pause)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &exit{exitFailed, errors.New("interrupted")}
	}
}

// request sends lines once. It ends at the deadline, unless nothing is to be tried again: an answer is then waited for.
func (p *publisher) request(ctx context.Context, lines [][]byte, deadline time.Time) (outcome, error) {
	var out outcome
	patience := requestTimeout
	if p.wait > 0 {
		patience = min(patience, max(time.Until(deadline), leastRequest))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body := append(bytes.Join(lines, []byte("\n")), '\n')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := client.Do(req)
	if err != nil {
		return out, fmt.Errorf("publish to %s: %w", p.url, late(reason(err), patience))
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, fmt.Errorf("publish to %s: read the answer: %w", p.url, late(err, patience))
	}
	var answer struct {
		Accepted int             `json:"accepted"`
		Errors   json.RawMessage `json:"errors"`
	}
	out.status = res.StatusCode
	if to, err := res.Location(); err == nil {
		out.location = to.String()
	}
	if json.Unmarshal(text, &answer) == nil {
		out.accepted = max(0, answer.Accepted)
		// What is not a list of errors is left out of the message.
		_ = json.Unmarshal(answer.Errors, &out.problems)
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		out.retryAfter = time.Duration(s) * time.Second
	}
	return out, nil
}

// late says of a request that was broken off what is known of it.
func late(err error, patience time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: the events may have been published or not", patience.Round(time.Millisecond))
	}
	return err
}

// reason leaves the method and the URL out of an error of net/http.
func reason(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// refused says what is wrong with a request of n events and what to do about it.
func (p *publisher) refused(out outcome, n int) error {
	err := out.error(p.accepted)
	switch {
	case out.status == http.StatusUnauthorized:
		return fmt.Errorf("%w\nGive a publish token of the server: --token-file, FRAISEQL_TOKEN_FILE or FRAISEQL_TOKEN", err)
	case out.status/100 == 3 && out.location != "":
		return fmt.Errorf("%w\n--url %s redirects to %s: give that as --url", err, p.url, out.location)
	case out.status == http.StatusUnsupportedMediaType: // POST /events takes what is sent
		return fmt.Errorf("%w\n--url %s is not the address that takes events: give that of the server, or of its /events", err, p.url)
	case out.status == http.StatusRequestEntityTooLarge && n > 1 && strings.Contains(err.Error(), "(limits.publish_"):
		return fmt.Errorf("%w\nSend fewer events in one request: --batch, which is %d", err, p.batch)
	case out.status == http.StatusNotFound, len(out.problems) == 0: // POST /events says what is wrong
		return fmt.Errorf("%w\nIs --url %s the address of a FraiseQL server?", err, p.url)
	}
	return err
}

// error lists the problems; before is how many events of the input were accepted already.
func (o *outcome) error(before int) error {
	lines := []string{fmt.Sprintf("the server answered %d %s", o.status, http.StatusText(o.status))}
	for _, e := range o.problems {
		line := "  " + e.Code + ": "
		if e.Index != nil {
			line += fmt.Sprintf("event %d: ", before+*e.Index+1)
		}
		if e.Member != "" {
			line += e.Member + ": "
		}
		lines = append(lines, line+e.Message)
	}
	return errors.New(strings.Join(lines, "\n"))
}

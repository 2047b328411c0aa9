package push

import (
	"errors"
	"fmt"
	"time"
)

// Sentinel errors. All of them work with errors.Is through any wrapping.
var (
	// ErrClosed is returned by a broker or hub that was closed.
	ErrClosed = errors.New("push: closed")
	// ErrEpoch ends a Tail whose position belongs to another epoch, lies
	// beyond the head, or carries a check that differs.
	ErrEpoch = errors.New("push: the position belongs to another epoch of the log")
	// ErrNotReady is returned while a hub has not reached its broker yet.
	ErrNotReady = errors.New("push: the broker has not been reached yet; try again shortly")
	// ErrCursor is returned by ParseID for text that is no cursor.
	ErrCursor = errors.New("push: not a cursor")
	// ErrInvalid is wrapped by every error about an event, topic or pattern
	// that breaks a rule; the text says which and how to mend it.
	ErrInvalid = errors.New("push: invalid")
	// ErrUnprocessable is wrapped, with ErrInvalid, by errors about events that
	// are well formed but have a reserved name, or data that is not valid in
	// its declared type.
	ErrUnprocessable = fmt.Errorf("%w event", ErrInvalid)
	// ErrTooLarge is wrapped by errors about events above a size limit.
	ErrTooLarge = errors.New("push: too large")
	// ErrRefused is wrapped by the error of an inbound handler's Refuse.
	ErrRefused = errors.New("push: refused")
)

func unprocessablef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnprocessable}, args...)...)
}

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// TailGap ends a Tail whose broker removed events before they could be
// delivered. Events in (From, To] may be gone; those that survive are reached
// with History only. The caller goes on with Tail(ctx, To, …).
type TailGap struct{ From, To ID }

func (e *TailGap) Error() string {
	return fmt.Sprintf("push: events after %s up to %s were removed before they were read", e.From, e.To)
}

// CloseError says why a stream ended. Codes are WebSocket close codes
// (RFC 6455 section 7.4 and the IANA registry); all transports use them.
type CloseError struct {
	Code   int           // one of the Close… constants
	Reason string        // at most 120 bytes, for people
	Retry  time.Duration // when to come back; 0: the client's own choice
}

// The codes with which a server ends streams.
const (
	CloseInvalidData  = 1007 // a text frame that is not UTF-8
	ClosePolicy       = 1008 // the client did what this mount does not allow
	CloseTooBig       = 1009 // a message above the limit
	CloseDrain        = 1012 // the server restarts; come back
	CloseOverload     = 1013 // try again later
	CloseUnauthorized = 3000 // new credentials are needed
	CloseForbidden    = 3003 // stop; coming back does not help
)

func (e *CloseError) Error() string {
	return fmt.Sprintf("push: stream closed: %d %s", e.Code, e.Reason)
}

package push

import "context"

// Broker is an ordered, append-only log of events: all that a driver for an
// engine implements. Package pushtest checks every sentence of this contract.
//
// All methods are safe for concurrent use. After Close they return an error
// that is ErrClosed. A broker need not validate events: the Hub does.
//
// Positions. Sequences strictly increase within an epoch, in one total order
// over all topics; they may have holes. An epoch that was replaced never comes
// back. A position is verified wherever it is given: when its epoch is not the
// log's, its sequence lies beyond the head, or its check (unless 0, unknown)
// differs from that of the event it names, the position is of another epoch.
// If the event that it names is gone, the epoch decides, unless the broker
// still knows its check. The zero ID is no position but "before the oldest
// event that is retained": what was removed below that makes no gap.
//
// Retention. A broker may remove events at any time, of each topic the oldest
// first. It keeps evidence of what it removed: see Page.Gap. Events of topics
// that its rules call ephemeral are seen by Tail only, never by History.
type Broker interface {
	// Publish appends events in the order given and returns their IDs in
	// that order. When it returns nil, the events are in the log: a History
	// or Tail that begins then sees them. It copies Data and Meta; the caller
	// may reuse both. A zero Time is set to now. An event whose Topic and
	// non-empty Idem equal those of one that was published within IdemWindow
	// is not appended again; its ID is that of the first, also when that is
	// gone. On error the IDs that are known are returned, each at its event's
	// index and zero for the others, or fewer; the outcome of the other
	// events is unknown: try again with Idem. A context that has ended
	// already appends nothing, and its error is returned. Publishing no
	// events does nothing.
	Publish(ctx context.Context, events ...Event) ([]ID, error)

	// Tail calls deliver for all events after a position, ordered, each
	// once, in batches that are not empty, and waits for more until ctx ends;
	// then it returns ctx's error. deliver is called by one goroutine at a
	// time and not after Tail returned; it may keep the events but not the
	// slice. An error of deliver ends Tail with that error. Tail never skips
	// silently: events that were removed before they were delivered end it
	// with a *TailGap whose From is the last position it delivered (or where
	// it began), and a position of another epoch ends it with ErrEpoch, also
	// when the epoch changes while it runs. The zero ID starts at the oldest
	// event without a TailGap. Any other error says that it cannot go on for
	// now: call it again, after the last event that it delivered.
	Tail(ctx context.Context, after ID, deliver func([]Event) error) error

	// History returns a page of events, ascending.
	History(ctx context.Context, q Query) (Page, error)

	// Head returns the position of the newest event, or one with Seq 0 and
	// the log's epoch while there is none. It never moves back within an
	// epoch, and the epoch is never 0.
	Head(ctx context.Context) (ID, error)

	// Store returns the state that goes with the log, always the same one.
	// All processes over the log share it. So a log that several processes
	// can reach needs a store that they can reach: there is no other way to
	// implement this method.
	Store() Store

	// Close ends every Tail with ErrClosed and frees what the broker holds.
	// Closing again does nothing.
	Close(ctx context.Context) error
}

// Query asks History for events.
type Query struct {
	Topics []string // topics and patterns; an event that matches several comes once; none: nothing matches
	After  ID       // only events after it; zero: from the oldest
	Before ID       // if not zero, only events of that epoch with a smaller sequence: none if it is not the log's; else not verified
	Limit  int      // at most so many events are returned; ≤ 0: DefaultLimit
	Latest bool     // the newest Limit events rather than the oldest
}

// DefaultLimit is the number of events on a page of History if none is asked.
const DefaultLimit = 100

// Page is what History returns.
//
// Everything that matches in (After, Upto] is in Events or under Gap; after the
// zero ID, or where Query.Latest left older events out, everything from the
// first of Events on. Limit counts what is returned, never what was read. A
// page of large events may hold fewer than Limit, but one at least. Upto is the
// last event's ID when the page was cut at its end, which it never is with
// Latest; else it is the head as it was when the page was read, or the position
// just below Before. It is never before After, unless the epoch changed.
type Page struct {
	Events []Event
	Upto   ID
	Gap    *Gap
}

// Gap is a hole: events in (From, To] that match may be gone. Those in that
// span that are left are delivered after it. To may lie beyond the page; then
// the next page has the rest as a gap again. A gap is never silent and, above
// the broker's floor, exact: it covers at least one event that matched and is
// gone. It is judged after the page was read, so that it covers what was
// removed meanwhile.
//
// A position of another epoch makes a gap with ReasonEpoch; the page then
// starts at the oldest event, To is of the new epoch and at or above every
// matching event that was removed.
type Gap struct {
	From   ID
	To     ID
	Reason Reason
}

// Reason says how a gap came about.
type Reason string

// The reasons of gaps.
const (
	ReasonTrimmed Reason = "trimmed" // removed before the reader came back
	ReasonLagged  Reason = "lagged"  // removed while the reader was connected but too slow
	ReasonEpoch   Reason = "epoch"   // the cursor is not of this log
)

package push

// Start says where a subscription starts. The zero Start is FromHead.
type Start struct {
	kind startKind
	id   ID
	n    int
}

type startKind uint8

const (
	startHead startKind = iota
	startAfter
	startOldest
	startLast
)

// FromHead starts with the next event.
func FromHead() Start { return Start{} }

// After starts right after a position; a position that the log does not know
// is told as a gap with ReasonEpoch.
func After(id ID) Start { return Start{kind: startAfter, id: id} }

// FromOldest starts with the oldest event that is retained.
func FromOldest() Start { return Start{kind: startOldest} }

// Last starts before the newest n matching events.
func Last(n int) Start { return Start{kind: startLast, n: n} }

// AfterCursor starts where a client's cursor says: "" at the head, "0" at the
// oldest event, else right after it. A cursor that cannot be parsed is not an
// error but a gap with ReasonEpoch, since an EventSource would give up for
// good on an error.
func AfterCursor(cursor string) Start {
	switch cursor {
	case "":
		return FromHead()
	case "0":
		return FromOldest()
	}
	id, err := ParseID(cursor)
	if err != nil {
		return After(ID{})
	}
	return After(id)
}

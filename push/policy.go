package push

// Policy says what happens to a reader that falls behind what is retained.
type Policy uint8

// The slow-consumer policies.
const (
	// Tell tells the reader of the gap, and goes on (the policy "gap").
	Tell Policy = iota
	// Latest hands out only the newest event of each conflation key, and of
	// the events without a key only the newest, of each topic. Nothing is
	// told of what was left out: for dashboards and positions.
	Latest
	// Disconnect ends the stream with CloseOverload.
	Disconnect
)

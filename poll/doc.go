// Package poll is the polling transport: pages of history as JSON, and long
// polling, over the same log and the same cursor as the streams.
//
// A page is
//
//	{"items":[envelope, …],"first":"…","last":"…","gap":null}
//
// with the items ascending. last is the cursor for the next poll: the id of
// the last item, or on an empty page the reader's position. first is the
// cursor before which older pages lie. gap, if not null, is told before the
// items: {"from","to","reason","topics"}.
package poll

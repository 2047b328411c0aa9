package rest

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

func (q *request) getTopic() error {
	topic := q.topic
	query, p := q.parseQuery(q.r)
	if p != nil {
		return p
	}
	if query.Has("topic") {
		return problemf(http.StatusBadRequest, "the topic is in the path already: use /events?topic=…&topic=… for more than one")
	}
	if id := query.Get("id"); id != "" {
		return q.getEvent(topic, id)
	}
	return q.get([]string{topic}, topic, query)
}

func (q *request) getEvents() error {
	query, p := q.parseQuery(q.r)
	if p != nil {
		return p
	}
	topics := query["topic"]
	if len(topics) == 0 && !isUpgrade(q.r) {
		return problemf(http.StatusBadRequest, "name at least one topic or pattern: /events?topic=…&topic=…")
	}
	if p := q.checkTopics(topics); p != nil {
		return p
	}
	return q.get(topics, "", query)
}

// get answers by what the request is able to take. single is the topic of the
// path, if there is one.
func (q *request) get(topics []string, single string, query url.Values) error {
	way := negotiate(q.r)
	if way == wayNone {
		return problemf(http.StatusNotAcceptable, "offered are text/event-stream, application/json, application/x-ndjson and WebSocket")
	}
	action := push.ActionSub
	if way == wayJSON && wait(q.r) == 0 {
		action = push.ActionHistory
	}
	if p := q.mayRead(action, topics); p != nil {
		return q.refuseBefore(way, p)
	}
	if way == wayJSON {
		return q.page(topics, query)
	}
	from, p := streamStart(q.r, query)
	if p != nil {
		return p
	}
	format := query.Get("format")
	if format != "" && format != "raw" && format != "envelope" {
		return problemf(http.StatusBadRequest, "format %q: raw and envelope are offered", format)
	}
	return q.stream(stream{topics: topics, single: single, from: from, way: way, envelope: format == "envelope"})
}

// mayRead checks that topics may be read, with ActionSub live and with
// ActionHistory in pages.
func (q *request) mayRead(action push.Action, topics []string) *Problem {
	return q.may(q.r.Context(), q.who, action, topics...)
}

// maxCursor bounds what is looked at as a cursor. Longer ones than
// push.MaxCursorLen are no cursors, but only absurd ones are an error.
const maxCursor = 4 << 10

// streamStart reads the cursor of a stream: Last-Event-ID, which a reconnect
// brings, before the after of the URL that it repeats.
func streamStart(r *http.Request, query url.Values) (push.Start, *Problem) {
	for _, cursor := range []string{r.Header.Get("Last-Event-Id"), query.Get("after"), query.Get("last_event_id")} {
		if len(cursor) > maxCursor {
			return push.Start{}, problemf(http.StatusRequestHeaderFieldsTooLarge, "a cursor has at most %d bytes", push.MaxCursorLen)
		}
		if cursor != "" {
			return push.AfterCursor(cursor), nil
		}
	}
	if query.Has("last") {
		n, p := number(query, "last", poll.MaxLimit)
		return push.Last(n), p
	}
	return push.FromHead(), nil
}

func number(query url.Values, name string, most int) (int, *Problem) {
	s := query.Get(name)
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, problemf(http.StatusBadRequest, "%s=%s: a number from 0 to %d is expected", name, s, most)
	}
	return n, nil
}

// page answers with history, or waits for what comes.
func (q *request) page(topics []string, query url.Values) error {
	ask := poll.Query{Topics: topics, After: query.Get("after"), Before: query.Get("before")}
	if len(ask.After) > maxCursor || len(ask.Before) > maxCursor {
		return problemf(http.StatusRequestHeaderFieldsTooLarge, "a cursor has at most %d bytes", push.MaxCursorLen)
	}
	if query.Has("limit") {
		var p *Problem
		if ask.Limit, p = number(query, "limit", poll.MaxLimit); p != nil {
			return p
		}
	}
	page, err := q.waitedPage(ask)
	if err != nil {
		return hubError(err)
	}
	if page.More {
		query.Set("after", page.Last.String())
		q.w.Header().Set("Link", "<"+q.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
	}
	return q.give(func() error {
		_ = poll.Write(q.w, q.r, page) // the client is gone
		return nil
	})
}

func (q *request) waitedPage(ask poll.Query) (*poll.Page, error) {
	d := min(wait(q.r), poll.MaxWait)
	if d <= 0 || q.r.Method != http.MethodGet {
		return poll.ReadPage(q.r.Context(), q.hub, ask)
	}
	after := ask.After
	if after == "" { // wait until the page that the client has is not the page any more
		page, err := poll.ReadPage(q.r.Context(), q.hub, ask)
		if err != nil || !page.Known(q.r) {
			return page, err
		}
		after = page.Last.String()
	}
	waited := ask
	waited.After = after
	page, err := q.longPoll(waited, d)
	if err != nil || ask.After != "" {
		return page, err
	}
	return poll.ReadPage(q.r.Context(), q.hub, ask)
}

func (q *request) longPoll(ask poll.Query, d time.Duration) (*poll.Page, error) {
	ctx := q.r.Context()
	c, err := q.open(ctx, stream{topics: ask.Topics, from: push.AfterCursor(ask.After)}, "poll")
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.opened()
	d = beforeDeadline(ctx, d)
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(d + writeGrace)) // a wrapper may not offer it
	q.w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(d.Round(time.Second)/time.Second)))
	return poll.Wait(ctx, c.sub, ask, d)
}

// writeGrace is left for an answer after a long poll has waited.
const writeGrace = 30 * time.Second

// beforeDeadline shortens a wait so that it ends before the context does.
func beforeDeadline(ctx context.Context, d time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(d, time.Until(end)*9/10)
	}
	return d
}

// getEvent answers with one event: the Location of a published one.
func (q *request) getEvent(topic, cursor string) error {
	if p := q.mayRead(push.ActionHistory, []string{topic}); p != nil {
		return p
	}
	id, err := push.ParseID(cursor)
	if err != nil || id.Seq == 0 {
		return problemf(http.StatusNotFound, "there is no event with this id")
	}
	page, err := q.hub.History(q.r.Context(), push.Query{
		Topics: []string{topic}, Before: push.ID{Epoch: id.Epoch, Seq: id.Seq + 1}, Limit: 1, Latest: true,
	})
	if err != nil {
		return hubError(err)
	}
	if len(page.Events) == 0 || page.Events[0].ID != id {
		return q.goneOrNever(topic, id)
	}
	return q.give(func() error {
		q.writeEvent(&page.Events[0])
		return nil
	})
}

func (q *request) writeEvent(e *push.Event) {
	etag := `"` + e.ID.String() + `"`
	q.w.Header().Set("Content-Type", "application/json")
	q.w.Header().Set("Cache-Control", poll.Immutable)
	q.w.Header().Set("Etag", etag)
	if poll.Matches(q.r, etag) {
		q.w.WriteHeader(http.StatusNotModified)
		return
	}
	q.w.WriteHeader(http.StatusOK)
	_, _ = q.w.Write(append(wire.AppendEvent(nil, e), '\n'))
}

// goneOrNever tells an event that history has lost from one that never was.
func (q *request) goneOrNever(topic string, id push.ID) error {
	page, err := q.hub.History(q.r.Context(), push.Query{Topics: []string{topic}, After: id, Limit: 1})
	switch {
	case err != nil:
		return hubError(err)
	case page.Gap != nil && page.Gap.Reason == push.ReasonEpoch:
		return problemf(http.StatusNotFound, "there is no event with this id")
	}
	return problemf(http.StatusGone, "the event is not in this topic's history any more")
}

package rest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

// Member is who is there: a subject, or an anonymous connection under a name of
// its own.
type Member struct {
	ID   string          `json:"id"`
	Info json.RawMessage `json:"info,omitempty"`
}

// PresenceResult is the answer to GET /presence/{topic}. Joins and leaves after
// the position, on $presence/{topic}, bring it up to date; some before it may
// be in it already.
type PresenceResult struct {
	Members  []json.RawMessage `json:"members"`
	Total    int               `json:"total"`
	Position push.ID           `json:"position"`
}

func presenceResource() resource {
	return resource{path: "/presence/{topic}", ops: []operation{{
		method: http.MethodGet, serve: (*request).getPresence, id: "readPresence", does: "Read who is at a topic.",
		params: []string{"Limit", "AfterMember"},
		gives: []answer{{
			status: 200, says: "Members, in an order that stays.", bodies: []string{typeJSON + " Presence"}, headers: []string{"Link"},
		}},
		fails: []int{400, 404},
	}}}
}

func (q *request) getPresence() error {
	query, p := q.parseQuery(q.r)
	if p != nil {
		return p
	}
	limit := poll.MaxLimit
	if query.Has("limit") {
		if limit, p = number(query, "limit", poll.MaxLimit); p != nil {
			return p
		}
	}
	if p := q.mayWatch(q.topic); p != nil {
		return p
	}
	ctx := q.r.Context()
	head, err := q.hub.Head(ctx) // before the list: what comes after it is told
	if err != nil {
		return hubError(err)
	}
	records, err := q.presence.records(ctx, topicKeys(q.topic))
	if err != nil {
		return hubError(err)
	}
	return q.writePresence(records, head, limit, query)
}

// mayWatch checks whether the request may see who is at a topic.
func (q *request) mayWatch(topic string) *Problem {
	if p := checkTopic(topic); p != nil {
		return p
	}
	if p := q.may(q.r.Context(), q.who, push.ActionPresence, topic); p != nil {
		return p
	}
	if !q.presence.covers(topic) {
		return problemf(http.StatusNotFound, "presence is not on for this topic")
	}
	return q.limits.message(q.caller(), 1) // it makes the store list keys
}

func (q *request) writePresence(records []*record, at push.ID, limit int, query url.Values) error {
	records = slices.DeleteFunc(records, func(r *record) bool { return r.State == leaving })
	slices.SortFunc(records, func(a, b *record) int { return cmp.Compare(fingerprint(a.Who), fingerprint(b.Who)) })
	res := PresenceResult{Members: []json.RawMessage{}, Total: len(records), Position: at}
	last := ""
	for _, r := range records {
		if fingerprint(r.Who) <= query.Get("after") {
			continue
		}
		if len(res.Members) == limit {
			query.Set("after", last)
			q.w.Header().Set("Link", "<"+q.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
			break
		}
		last = fingerprint(r.Who)
		res.Members = append(res.Members, r.Shown)
	}
	return writeJSON(q.w, http.StatusOK, res)
}

package r3labs

import (
	"context"

	"github.com/dualpush-go/dualpush/push"
)

// start says where a subscriber starts that has seen the event lastID.
func (s *Server) start(ctx context.Context, st *stream, replay bool, lastID string) push.Start {
	switch {
	case !replay:
		return push.FromHead()
	case lastID == "":
		return push.FromOldest()
	}
	if id, err := push.ParseID(lastID); err == nil {
		return push.After(id)
	}
	if id, ok := s.lookUp(ctx, st.topic, lastID); ok {
		return push.After(id)
	}
	return push.FromOldest()
}

// lookUpPages bounds the search for an event by its publisher's ID, in pages of
// lookUpLimit events.
const (
	lookUpPages = 10
	lookUpLimit = 1000
)

// lookUp finds the oldest event of a topic to which its publisher gave an ID.
func (s *Server) lookUp(ctx context.Context, topic, publisherID string) (push.ID, bool) {
	q := push.Query{Topics: []string{topic}, Limit: lookUpLimit}
	for range lookUpPages {
		page, err := s.hub.History(ctx, q)
		if err != nil || len(page.Events) == 0 {
			break
		}
		for i := range page.Events {
			if page.Events[i].Meta[metaID] == publisherID {
				return page.Events[i].ID, true
			}
		}
		q.After = page.Upto
	}
	return push.ID{}, false
}

package redisbroker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// Row 51: what somebody else does to the keys is told, and the log goes on.
func TestKeysAreEdited(t *testing.T) {
	edits := map[string]struct {
		do     []any
		reason push.Reason
	}{
		"FLUSHALL":                  {[]any{"FLUSHALL"}, push.ReasonEpoch},
		"DEL of the state":          {[]any{"DEL", "{push}:state"}, push.ReasonEpoch},
		"the state is set back":     {[]any{"HSET", "{push}:state", "q", 3}, push.ReasonEpoch},
		"the epoch is changed":      {[]any{"HSET", "{push}:state", "e", 3}, push.ReasonEpoch},
		"fields are gone":           {[]any{"HDEL", "{push}:state", "c", "q", "f"}, push.ReasonEpoch},
		"XADD to the feed":          {[]any{"XADD", "{push}:feed", "*", "x", "y"}, push.ReasonEpoch},
		"DEL of a topic":            {[]any{"DEL", "{push}:t:a"}, push.ReasonTrimmed},
		"XTRIM of a topic":          {[]any{"XTRIM", "{push}:t:a", "MAXLEN", 2}, push.ReasonTrimmed},
		"XTRIM of a topic to 0":     {[]any{"XTRIM", "{push}:t:a", "MAXLEN", 0}, push.ReasonTrimmed},
		"XADD to a topic":           {[]any{"XADD", "{push}:t:a", "*", "x", "y"}, push.ReasonTrimmed},
		"a topic is something else": {[]any{"SET", "{push}:t:a", "x"}, push.ReasonTrimmed},
	}
	srv := startServer(t, kernel...)
	by := srv.open(t)
	for name, c := range edits {
		t.Run(name, func(t *testing.T) {
			if err := by.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			s := siteAt(t, srv)
			s.Subscribe(push.FromHead())
			ids := s.Publish(10)
			s.Gets(ids...)
			s.do(c.do...)
			next := s.resumes()
			if c.reason == push.ReasonEpoch {
				s.Gap(push.ReasonEpoch)
			}
			s.Reaches(s.PublishTo("b", 1)[0])
			s.Open(s.node()) // one who comes back to another node
			s.Subscribe(push.After(ids[2]))
			g := s.Gap(c.reason)
			if g.To.Epoch != next.Epoch || g.To.Seq >= next.Seq || g.Reason == push.ReasonTrimmed && g.To.Seq < ids[3].Seq {
				t.Errorf("of #4 to #10 something is gone, #%d is there, the gap is %+v", next.Seq, g)
			}
		})
	}
}

// Without the index of topics nobody could find what matches a pattern.
func TestIndexOfTopicsIsDeleted(t *testing.T) {
	s := newSite(t, kernel...)
	ids := s.Publish(10)
	s.Gets(ids...)
	s.do("DEL", "{push}:topics")
	s.Open(s.node())
	s.Subscribe(push.After(ids[2]))
	s.Gap(push.ReasonEpoch)
	s.Reaches(s.resumes())
}

// An event in the middle is deleted: a gap over it, and those around it.
func TestEventIsDeleted(t *testing.T) {
	s := newSite(t, kernel...)
	ids := s.Publish(10)
	s.Gets(ids...)
	s.do("XDEL", "{push}:t:a", fmt.Sprintf("%d-%d", ids[5].Seq, ids[5].Check))
	p, err := s.Hub.History(t.Context(), push.Query{Topics: []string{"a"}, After: ids[2]})
	if err != nil || p.Gap == nil || p.Gap.To.Seq != ids[5].Seq {
		t.Fatalf("History has the gap %+v, error %v", p.Gap, err)
	}
	var got []push.ID
	for _, e := range p.Events {
		got = append(got, e.ID)
	}
	if want := append(slices.Clone(ids[3:5]), ids[6:]...); !slices.Equal(got, want) {
		t.Errorf("around the deleted event are %v, want %v", got, want)
	}
}

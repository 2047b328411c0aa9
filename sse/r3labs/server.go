package r3labs

import (
	"container/list"
	"context"
	"sync"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
)

// Server serves streams of r3labs' events from a hub. Its fields and methods
// are those of r3labs' Server; the fields are set before it serves. Methods are
// safe for concurrent use.
type Server struct {
	Headers      map[string]string // added to every response
	EventTTL     time.Duration     // if not 0, events older than that are not sent
	BufferSize   int               // not used: there is no queue
	EncodeBase64 bool              // data is published in base64
	SplitData    bool              // data that starts with a colon is data, not a comment
	AutoStream   bool              // a stream is created when a client asks for it
	AutoReplay   bool              // a new subscriber gets all that is retained

	// OnSubscribe and OnUnsubscribe are called, each time in a goroutine of
	// its own, when a client comes or goes. Of the Subscriber, URL is set.
	OnSubscribe   func(streamID string, sub *r3sse.Subscriber)
	OnUnsubscribe func(streamID string, sub *r3sse.Subscriber)

	// Heartbeat is the silence after which an empty comment is sent, so that
	// no proxy closes an idle connection. Optional. Default none, as with
	// r3labs, whose own client takes each for an event without data.
	Heartbeat time.Duration

	// OnError is called with why an event was not published; r3labs' Publish
	// has no result. Optional.
	OnError func(streamID string, err error)

	// Purge removes a topic's history when its stream is removed, as
	// (*push.Memory).Purge does. Optional. Without it a stream that is
	// created again under the same name still has what is retained.
	Purge func(ctx context.Context, topic string) error

	hub     *push.Hub
	mu      sync.Mutex
	streams map[string]*stream
	idle    list.List // streams that clients created and left, the oldest first
	maxIdle int       // more of them are not kept
}

// stream is one that exists.
type stream struct {
	*r3sse.Stream // as CreateStream returned it: AutoReplay and the callbacks are its own
	topic         string
	auto          bool // a client created it
	subs          map[*push.Subscription]struct{}
	idle          *list.Element
}

// New returns a server on hub with r3labs' defaults: AutoReplay is on. The hub
// stays the caller's: Close does not shut it down.
func New(hub *push.Hub) *Server {
	return &Server{
		Headers: map[string]string{}, BufferSize: r3sse.DefaultBufferSize, AutoReplay: true,
		hub: hub, streams: map[string]*stream{}, maxIdle: 1 << 14,
	}
}

// NewWithCallback is New with OnSubscribe and OnUnsubscribe set.
func NewWithCallback(hub *push.Hub, onSubscribe, onUnsubscribe func(streamID string, sub *r3sse.Subscriber)) *Server {
	s := New(hub)
	s.OnSubscribe, s.OnUnsubscribe = onSubscribe, onUnsubscribe
	return s
}

// CreateStream creates a stream unless it exists. Of the result, ID, AutoReplay
// and the callbacks count; Eventlog stays empty, for the log is the hub's.
func (s *Server) CreateStream(id string) *r3sse.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.createLocked(id)
	s.wakeLocked(st)
	st.auto = false
	return st.Stream
}

func (s *Server) createLocked(id string) *stream {
	st := s.streams[id]
	if st == nil {
		st = &stream{
			Stream: &r3sse.Stream{ID: id, AutoReplay: s.AutoReplay, OnSubscribe: s.OnSubscribe, OnUnsubscribe: s.OnUnsubscribe},
			topic:  Topic(id), subs: map[*push.Subscription]struct{}{},
		}
		s.streams[id] = st
	}
	return st
}

// StreamExists reports whether a stream was created and not removed.
func (s *Server) StreamExists(id string) bool { return s.get(id) != nil }

func (s *Server) get(id string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

// RemoveStream removes a stream and ends its connections. See Purge for its
// history.
func (s *Server) RemoveStream(id string) {
	s.mu.Lock()
	st := s.streams[id]
	if st != nil {
		s.removeLocked(st)
	}
	s.mu.Unlock()
	if st != nil && s.Purge != nil {
		if err := s.Purge(context.Background(), st.topic); err != nil {
			s.report(id, err)
		}
	}
}

// removed ends the connections of a stream that was removed.
var removed = &push.CloseError{Code: push.CloseForbidden, Reason: "the stream was removed"}

func (s *Server) removeLocked(st *stream) {
	delete(s.streams, st.ID)
	s.wakeLocked(st)
	for sub := range st.subs {
		sub.Disconnect(removed)
	}
}

// Close removes all streams, and leaves their history.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		s.removeLocked(st)
	}
}

// join adds a subscription to a stream, unless that was removed meanwhile.
func (s *Server) join(st *stream, sub *push.Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.ID] != st {
		return false
	}
	s.wakeLocked(st)
	st.subs[sub] = struct{}{}
	return true
}

// leave removes a subscription from a stream. A stream that a client created
// goes with the last one, as with r3labs; if it replays it stays, but only so
// many of them do.
func (s *Server) leave(st *stream, sub *push.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(st.subs, sub)
	if len(st.subs) > 0 || !st.auto || s.streams[st.ID] != st {
		return
	}
	if !st.AutoReplay {
		s.removeLocked(st)
		return
	}
	s.parkLocked(st)
}

// parkLocked puts a stream without subscribers on the idle ones.
func (s *Server) parkLocked(st *stream) {
	st.idle = s.idle.PushBack(st)
	if s.idle.Len() > s.maxIdle {
		s.removeLocked(s.idle.Front().Value.(*stream))
	}
}

// wakeLocked takes a stream off the idle ones.
func (s *Server) wakeLocked(st *stream) {
	if st.idle != nil {
		s.idle.Remove(st.idle)
		st.idle = nil
	}
}

func (s *Server) report(streamID string, err error) {
	if s.OnError != nil {
		s.OnError(streamID, err)
	}
}

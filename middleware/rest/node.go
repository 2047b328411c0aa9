package rest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// node is this mount among its equals on other servers over the same log: those
// with the same prefix and public URL. The names of its connections end with its
// own, so that whoever is asked about one knows whom to ask; see relay. From
// its first stream on it listens to the others, and is in the hub's store while
// it does.
type node struct {
	h     *Handler
	name  string
	mount string // equals have the same

	join      sync.Once
	starting  sync.Mutex
	listening atomic.Bool
	busy      chan struct{} // holds one for each request of others that is being served

	mu      sync.Mutex
	waiting map[string]chan int // for answers, by the names of requests; gets how many parts one has
}

const (
	nodeTopic    = "$push/nodes"
	mountKeys    = "node/"
	nodeNameLen  = 8   // 48 random bits: nodes that live at the same time do not meet
	maxServed    = 256 // requests of others at a time; one above is not answered
	connIDLength = 22 + nodeNameLen
)

func newNode(h *Handler) *node {
	return &node{
		h: h, name: push.NewConnectionID()[:nodeNameLen], mount: fingerprint(h.cfg.Prefix + "\x00" + h.cfg.PublicURL),
		busy: make(chan struct{}, maxServed), waiting: map[string]chan int{},
	}
}

// newConnectionID returns a name for a connection: 128 random bits and, if
// others can ask for it, the node's name. A nil node has none.
func (n *node) newConnectionID() string {
	id := push.NewConnectionID()
	if n == nil {
		return id
	}
	n.join.Do(n.beat)
	return id + n.name
}

// nodeOf returns which node gave a connection its name, or "".
func nodeOf(cid string) string {
	if len(cid) != connIDLength || push.CheckStoreKey(cid) != nil {
		return ""
	}
	return cid[connIDLength-nodeNameLen:]
}

// isOthers reports whether another node gave a connection its name, if that is
// one.
func (n *node) isOthers(cid string) bool {
	name := nodeOf(cid)
	return n != nil && name != "" && name != n.name
}

func (n *node) key(name string) string { return mountKeys + n.mount + "/" + name }

// beat says that this node lives and listens, again and again until the hub is
// closed.
func (n *node) beat() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	err := n.register(ctx)
	if errors.Is(err, push.ErrClosed) {
		return
	}
	if err != nil {
		n.h.cfg.Logger.Warn("push: other nodes cannot reach this one's connections; this is tried again", "err", err)
	}
	time.AfterFunc(beatEvery, n.beat)
}

func (n *node) register(ctx context.Context) error {
	if _, err := n.h.hub.Head(ctx); errors.Is(err, push.ErrClosed) {
		return err
	}
	if err := n.listen(); err != nil {
		return err
	}
	return n.h.hub.Store().Set(ctx, n.key(n.name), []byte{1}, nodeLife)
}

// lives reports whether a node of this mount lives, as far as the store knows.
func (n *node) lives(ctx context.Context, name string) (bool, error) {
	_, ok, err := n.h.hub.Store().Get(ctx, n.key(name))
	return ok, asHubError(err)
}

func (n *node) listen() error {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.listening.Load() {
		return nil
	}
	sub, err := n.h.subscribeTo(nodeTopic)
	if err != nil {
		return err
	}
	n.listening.Store(true)
	l := &listener{hear: n.hear, lost: func() {}} // who asked is told that nobody answered
	l.start(sub, func() { n.listening.Store(false) })
	return nil
}

// note is what nodes tell each other on the log. What somebody must not read who
// reads the log is in the store, for seconds: a parcel.
type note struct {
	To     string         `json:"to,omitempty"` // a node's name; "" is all
	From   string         `json:"from,omitempty"`
	Parcel string         `json:"parcel,omitempty"`
	Parts  int            `json:"parts,omitempty"`
	Answer bool           `json:"answer,omitempty"` // to the parcel of the same name
	End    *disconnection `json:"end,omitempty"`
}

func (h *Handler) tell(ctx context.Context, v note) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = h.hub.Announce(ctx, push.Event{Topic: nodeTopic, Name: nodeTopic[1:], ContentType: typeJSON, Data: data})
	return err
}

// hear takes what is for this node. It runs where the hub writes streams.
func (n *node) hear(data []byte) {
	var v note
	if err := json.Unmarshal(data, &v); err != nil {
		n.h.cfg.Logger.Error("push: a note of another node cannot be read", "err", err)
		return
	}
	switch {
	case v.End != nil:
		n.h.end(v.End)
	case v.To != n.name:
	case v.Answer:
		n.answered(v.Parcel, v.Parts)
	default:
		select {
		case n.busy <- struct{}{}:
			go n.serve(v)
		default:
			n.h.cfg.Logger.Warn("push: other nodes ask for more than this one can do", "at_once", maxServed)
		}
	}
}

// await returns a channel that gets the number of parts of the answer.
func (n *node) await(parcel string) <-chan int {
	ch := make(chan int, 1)
	n.mu.Lock()
	n.waiting[parcel] = ch
	n.mu.Unlock()
	return ch
}

func (n *node) forget(parcel string) {
	n.mu.Lock()
	delete(n.waiting, parcel)
	n.mu.Unlock()
}

func (n *node) answered(parcel string, parts int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ch := n.waiting[parcel]; ch != nil {
		delete(n.waiting, parcel)
		ch <- parts
	}
}

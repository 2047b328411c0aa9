package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// record is what all nodes agree on about one member of one topic. It is read
// and written under a lease, which one node at a time has. Its states are
// written before what they announce is published, with an idempotency key: so
// whoever finds a state that a dead node left behind finishes it, and every
// join and leave is in the log once.
type record struct {
	Topic   string          `json:"topic"`
	Who     string          `json:"who"`   // memberKey.who
	Shown   json.RawMessage `json:"shown"` // {"id","info"}
	Stay    string          `json:"stay"`  // names this stay, from join to leave
	State   recordState     `json:"state"`
	Nodes   []string        `json:"nodes"` // where it is connected, sorted
	Renewed time.Time       `json:"renewed"`
}

type recordState string

const (
	joining recordState = "joining" // push.join is being published
	joined  recordState = "joined"
	leaving recordState = "leaving" // push.leave is being published
)

// Keys in the store. Members are listed by topic.
const (
	nodeKeys   = "presence/node/"
	leaseKeys  = "presence/lease/"
	recordKeys = "presence/at/"
)

func recordKey(k memberKey) string { return topicKeys(k.topic) + fingerprint(k.who) }

func topicKeys(topic string) string { return recordKeys + fingerprint(topic) + "/" }

// recordLife is how long a record stays if nobody looks after it; renewing it
// at half of that.
const recordLife = 24 * time.Hour

// errBusy says that another node is settling the same member.
var errBusy = errors.New("rest: another node is at it")

// settle makes the record of a member say whether it is connected to this node,
// and not to those that are dead; and publishes its join or leave.
func (p *presence) settle(ctx context.Context, k memberKey, dead map[string]bool) (err error) {
	store, lease := p.hub.Store(), leaseKeys+fingerprint(k.topic)+"/"+fingerprint(k.who)
	free, err := store.Add(ctx, lease, []byte(p.node), 2*storeTime)
	if err == nil && !free {
		err = errBusy
	}
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		err = errors.Join(err, store.Delete(ctx, lease))
	}()
	r, err := p.read(ctx, k)
	if err != nil {
		return err
	}
	if r != nil && r.State == leaving { // somebody died over it
		if err := p.leave(ctx, k, r); err != nil {
			return err
		}
		r = nil
	}
	return p.bring(ctx, k, r, p.local(k), dead)
}

// bring brings a record up to date. shown is nil if the member is not here.
func (p *presence) bring(ctx context.Context, k memberKey, r *record, shown json.RawMessage, dead map[string]bool) error {
	var nodes []string
	if r != nil {
		nodes = slices.DeleteFunc(slices.Clone(r.Nodes), func(n string) bool { return dead[n] || n == p.node })
	}
	if shown != nil {
		nodes = append(nodes, p.node)
		slices.Sort(nodes)
	}
	switch {
	case r == nil && nodes == nil:
		return nil
	case r == nil:
		r = &record{Topic: k.topic, Who: k.who, Shown: shown, Stay: push.NewConnectionID(), State: joining, Nodes: nodes}
	case len(nodes) == 0:
		return p.leave(ctx, k, r)
	case r.State == joined && slices.Equal(nodes, r.Nodes) && time.Since(r.Renewed) < recordLife/2:
		return nil
	}
	r.Nodes = nodes
	if err := p.write(ctx, k, r); err != nil || r.State == joined {
		return err
	}
	if err := p.announce(ctx, r, "push.join"); err != nil {
		return err
	}
	r.State = joined
	return p.write(ctx, k, r)
}

// leave publishes that a member has left, and forgets it.
func (p *presence) leave(ctx context.Context, k memberKey, r *record) error {
	if r.State == joining { // nobody knows whether its join is in the log
		if err := p.announce(ctx, r, "push.join"); err != nil {
			return err
		}
	}
	if r.State != leaving {
		r.State, r.Nodes = leaving, nil
		if err := p.write(ctx, k, r); err != nil {
			return err
		}
	}
	if err := p.announce(ctx, r, "push.leave"); err != nil {
		return err
	}
	return p.hub.Store().Delete(ctx, recordKey(k))
}

func (p *presence) announce(ctx context.Context, r *record, name string) error {
	_, err := p.hub.Announce(ctx, push.Event{
		Topic: presenceTopics + r.Topic, Name: name, ContentType: typeJSON, Data: r.Shown, Idem: r.Stay + " " + name,
	})
	return err
}

func (p *presence) read(ctx context.Context, k memberKey) (*record, error) {
	value, ok, err := p.hub.Store().Get(ctx, recordKey(k))
	if err != nil || !ok {
		return nil, err
	}
	return parseRecord(value)
}

func parseRecord(value []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fmt.Errorf("rest: a record of presence in the store: %w", err)
	}
	return r, nil
}

func (p *presence) write(ctx context.Context, k memberKey, r *record) error {
	r.Renewed = time.Now()
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return p.hub.Store().Set(ctx, recordKey(k), value, recordLife)
}

// records lists those whose key begins with prefix.
func (p *presence) records(ctx context.Context, prefix string) ([]*record, error) {
	values, err := p.hub.Store().List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	list := make([]*record, 0, len(values))
	for _, value := range values {
		r, err := parseRecord(value)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// beat says that this node lives, and looks after what dead ones left behind.
func (p *presence) beat(ctx context.Context) error {
	if _, err := p.hub.Head(ctx); errors.Is(err, push.ErrClosed) {
		return err
	}
	fresh, err := p.hub.Store().Add(ctx, nodeKeys+p.node, []byte{1}, nodeLife)
	if err == nil && !fresh {
		err = p.hub.Store().Set(ctx, nodeKeys+p.node, []byte{1}, nodeLife)
	}
	if err != nil {
		return err
	}
	p.alive = true
	// fresh: at the start, or others took this node for dead.
	if p.beats++; !fresh && p.beats%sweepEvery != 0 {
		missed, err := p.look(ctx)
		if err != nil || !missed {
			return err
		}
	}
	return p.sweep(ctx)
}

// look reports whether a node is missed that lived at the last beat.
func (p *presence) look(ctx context.Context) (missed bool, err error) {
	nodes, err := p.living(ctx)
	if err != nil {
		return false, err
	}
	for n := range p.nodes {
		missed = missed || !nodes[n]
	}
	if !missed { // else sweep has to get through before it is forgotten
		p.nodes = nodes
	}
	return missed, nil
}

func (p *presence) living(ctx context.Context) (map[string]bool, error) {
	keys, err := p.hub.Store().List(ctx, nodeKeys)
	nodes := make(map[string]bool, len(keys))
	for key := range keys {
		nodes[key[len(nodeKeys):]] = true
	}
	return nodes, err
}

// sweep compares all records with the nodes that live and with who is here. A
// node is in the store before it writes a record: one that is in a record and
// afterwards not among the nodes is dead.
func (p *presence) sweep(ctx context.Context) error {
	records, err := p.records(ctx, recordKeys)
	if err != nil {
		return err
	}
	nodes, err := p.living(ctx)
	if err != nil {
		return err
	}
	busy := false
	dead := map[string]bool{}
	known := map[memberKey]bool{} // records that name this node
	for _, r := range records {
		k, wrong := memberKey{r.Topic, r.Who}, r.State != joined || time.Since(r.Renewed) > recordLife/2
		for _, n := range r.Nodes {
			known[k] = known[k] || n == p.node
			if !nodes[n] {
				dead[n], wrong = true, true
			}
		}
		if !wrong {
			continue
		}
		if err := p.settle(ctx, k, dead); errors.Is(err, errBusy) {
			busy = true
		} else if err != nil {
			return err
		}
	}
	p.repair(known)
	if busy {
		return errBusy // the next beat finds the same node missing
	}
	p.nodes = nodes
	return nil
}

// repair has everything settled that is here but not known to be, and the other
// way round.
func (p *presence) repair(known map[memberKey]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.here {
		if !known[k] {
			p.dirty[k] = true
		}
	}
	for k := range known {
		if p.here[k] == nil {
			p.dirty[k] = true
		}
	}
}

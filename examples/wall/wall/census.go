package wall

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// Each node keeps its counts in the store that goes with the log, and renews
// them; those of one that dies run out.
const (
	censusKeys  = "wall/visitors/"
	censusLife  = 12 * time.Second
	censusRenew = 5 * time.Second
	censusTime  = 5 * time.Second // that the store and the log may take
	maxNames    = 100             // of a node's visitors that are told
)

// census adds up what all nodes count.
type census struct {
	hub *push.Hub
	key string

	mu   sync.Mutex
	mine map[string]int
}

// tally is an event of the topic wall/visitors.
type tally struct {
	SSE   int                 `json:"sse"`
	WS    int                 `json:"ws"`
	Poll  int                 `json:"poll"`
	Nodes map[string][]string `json:"nodes,omitempty"` // the names of visitors, by their node
}

func newCensus(hub *push.Hub, node string) *census {
	return &census{hub: hub, key: censusKeys + base64.RawURLEncoding.EncodeToString([]byte(node))}
}

// publish tells what this node counts now, and has it renewed from then on.
func (c *census) publish(counts map[string]int) {
	c.mu.Lock()
	begin := c.mine == nil
	c.mine = counts
	c.mu.Unlock()
	if begin {
		c.renew()
		return
	}
	_ = c.tell() // if it fails it is renewed soon
}

func (c *census) renew() {
	if err := c.tell(); !errors.Is(err, push.ErrClosed) {
		time.AfterFunc(censusRenew, c.renew)
	}
}

// tell stores this node's counts, and publishes the sum if it is news.
func (c *census) tell() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), censusTime)
	defer cancel()
	data, err := json.Marshal(c.mine)
	if err != nil {
		return err
	}
	if _, err := c.hub.Head(ctx); err != nil { // ErrClosed, once it is
		return err
	}
	if err := c.hub.Store().Set(ctx, c.key, data, censusLife); err != nil {
		return err
	}
	all, err := c.hub.Store().List(ctx, censusKeys)
	if err != nil {
		return err
	}
	return c.publishIfNew(ctx, sum(all))
}

func (c *census) publishIfNew(ctx context.Context, t tally) error {
	event, err := push.JSON(visitorsTopic, "visitors", t)
	if err != nil {
		return err
	}
	page, err := c.hub.History(ctx, push.Query{Topics: []string{visitorsTopic}, Limit: 1, Latest: true})
	if err != nil || len(page.Events) > 0 && bytes.Equal(page.Events[0].Data, event.Data) {
		return err
	}
	_, err = c.hub.Publish(ctx, event)
	return err
}

// sum adds up the counts of nodes.
func sum(all map[string][]byte) (t tally) {
	for key, data := range all {
		var counts map[string]int
		if json.Unmarshal(data, &counts) != nil {
			continue
		}
		t.SSE += counts["sse"]
		t.WS += counts["ws"]
		t.Poll += counts["poll"]
		name, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(key, censusKeys))
		if err != nil || len(name) == 0 {
			continue
		}
		if t.Nodes == nil {
			t.Nodes = map[string][]string{}
		}
		t.Nodes[string(name)] = names(counts)
	}
	return t
}

func names(counts map[string]int) []string {
	list := []string{}
	for name := range counts {
		if visitor, ok := strings.CutPrefix(name, visitorPrefix); ok {
			list = append(list, visitor)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), maxNames)]
}

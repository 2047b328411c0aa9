package fleet

import (
	"encoding/json"
	"net/http"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// grantsHeader says what a client may read: nodes believe it.
const grantsHeader = "Fleet-Grants"

// grants adds them to what a client asks.
type grants struct {
	http.RoundTripper
	topics []string
}

func (g grants) RoundTrip(r *http.Request) (*http.Response, error) {
	topics, err := json.Marshal(g.topics)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set(grantsHeader, string(topics))
	return g.RoundTripper.RoundTrip(r)
}

// granted is the Auth of a node.
func granted(r *http.Request) (*rest.Principal, error) {
	var topics []string
	if err := json.Unmarshal([]byte(r.Header.Get(grantsHeader)), &topics); err != nil {
		return nil, rest.InvalidToken("no grants", err)
	}
	who := &rest.Principal{} // no subject: its connections would be limited
	for _, t := range topics {
		who.Grants = append(who.Grants, push.Sub(t), push.History(t))
	}
	return who, nil
}

// forbidden returns a topic that the client may not read, or "".
func (c *client) forbidden() string {
	for i := range manyTopics {
		if t := topic(i); !c.reads(t) {
			return t
		}
	}
	return ""
}

// pry asks for what the client may not read, from the oldest event on, and
// reports whether a node has refused that.
func (c *client) pry() bool {
	topic := c.forbidden()
	if topic == "" {
		return true
	}
	resp, err := get(c.run.ctx, c.http, c.run.node()+"/topics/"+topic+"?after=0", "Accept", "application/json")
	if err == nil {
		_ = resp.Body.Close()
		c.failf("it could read %s, for which it has no grant", topic)
		return true
	}
	return err.Error() == "403 Forbidden"
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// transport reads from a node until the connection ends. after is the cursor, or
// nothing for the head.
type transport struct {
	name string
	read func(ctx context.Context, h *http.Client, at, after string, hear func(told) error) error
}

// told is something that a client is told. The first is where it starts.
type told struct {
	start  bool
	gap    *push.Gap
	events []note
	upto   push.ID
}

var transports = []transport{{"sse", readSSE}, {"websocket", readWebSocket}, {"ndjson", readNDJSON}, {"poll", readPolls}}

func get(ctx context.Context, h *http.Client, at string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := h.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err = errors.New(resp.Status)
	}
	return resp, err
}

// resume returns a stream's URL.
func resume(at, after string) string {
	if after == "" {
		return at
	}
	return at + "&after=" + url.QueryEscape(after)
}

// readSSE resumes as an EventSource does.
func readSSE(ctx context.Context, h *http.Client, at, after string, hear func(told) error) error {
	header := []string{"Accept", "text/event-stream"}
	if after != "" {
		header = append(header, "Last-Event-ID", after)
	}
	resp, err := get(ctx, h, at+"&format=envelope", header...)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for in := sse.NewDecoder(resp.Body, 0); ; {
		e, err := in.Next()
		if err != nil {
			return err
		}
		if err := envelope(e.Data, hear); err != nil {
			return err
		}
	}
}

func readNDJSON(ctx context.Context, h *http.Client, at, after string, hear func(told) error) error {
	resp, err := get(ctx, h, resume(at, after), "Accept", "application/x-ndjson")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for in := json.NewDecoder(resp.Body); ; {
		var line json.RawMessage
		if err := in.Decode(&line); err != nil {
			return err
		}
		if err := envelope(line, hear); err != nil {
			return err
		}
	}
}

func readWebSocket(ctx context.Context, h *http.Client, at, after string, hear func(told) error) error {
	c, _, err := websocket.Dial( //nolint:bodyclose // there is none after a handshake
		ctx, strings.Replace(resume(at, after), "http", "ws", 1),
		&websocket.DialOptions{HTTPClient: h, Subprotocols: []string{"push.v1"}})
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if err := envelope(data, hear); err != nil {
			return err
		}
	}
}

// envelope takes one of a stream's.
func envelope(data []byte, hear func(told) error) error {
	var env wire.Envelope
	if err := json.Unmarshal(data, &env); err != nil {
		return fmt.Errorf("%q: %w", data, err)
	}
	if env.Event == wire.Close {
		return fmt.Errorf("the node ended the stream: %s", env.Data)
	}
	upto, err := push.ParseID(env.ID)
	if err != nil {
		return fmt.Errorf("%q: %w", data, err)
	}
	t := told{upto: upto}
	switch env.Event {
	case wire.Open:
		t.start = true
	case wire.Heartbeat:
	case wire.Gap:
		var g wire.GapData
		if err := json.Unmarshal(env.Data, &g); err != nil {
			return err
		}
		if t.gap, err = gapOf(&g); err != nil {
			return err
		}
	default:
		n, err := noteOf(&env)
		if err != nil {
			return err
		}
		t.events = []note{n}
	}
	return hear(t)
}

func noteOf(env *wire.Envelope) (note, error) {
	e, err := env.ToEvent()
	return note{ID: e.ID, Topic: e.Topic, Data: string(e.Data)}, err
}

func gapOf(g *wire.GapData) (*push.Gap, error) {
	from, err1 := push.ParseID(g.From)
	to, err2 := push.ParseID(g.To)
	return &push.Gap{From: from, To: to, Reason: g.Reason}, errors.Join(err1, err2)
}

// readPolls polls until a poll fails.
func readPolls(ctx context.Context, h *http.Client, at, after string, hear func(told) error) error {
	if after == "" {
		p, err := poll(ctx, h, at+"&limit=1")
		if err != nil {
			return err
		}
		after = p.Last
	}
	upto, err := push.ParseID(after)
	for t := (told{start: true, upto: upto}); err == nil; {
		if err = hear(t); err != nil {
			break
		}
		var p *page
		if p, err = poll(ctx, h, resume(at, t.upto.String())+"&limit=1000", "Prefer", "wait=20"); err == nil {
			t, err = p.told()
		}
	}
	return err
}

type page struct {
	Items []wire.Envelope `json:"items"`
	Gap   *wire.GapData   `json:"gap"`
	Last  string          `json:"last"`
}

func poll(ctx context.Context, h *http.Client, at string, header ...string) (*page, error) {
	resp, err := get(ctx, h, at, append(header, "Accept", "application/json")...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	p := new(page)
	return p, json.NewDecoder(resp.Body).Decode(p)
}

func (p *page) told() (t told, err error) {
	if t.upto, err = push.ParseID(p.Last); err != nil {
		return t, err
	}
	if p.Gap != nil {
		if t.gap, err = gapOf(p.Gap); err != nil {
			return t, err
		}
	}
	for i := range p.Items {
		n, err := noteOf(&p.Items[i])
		if err != nil {
			return t, err
		}
		t.events = append(t.events, n)
	}
	return t, nil
}

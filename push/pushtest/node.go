package pushtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// note is an event as nodes and clients of a Fleet write it.
type note struct {
	ID    push.ID `json:"id,omitzero"`
	Topic string  `json:"topic"`
	Data  string  `json:"data"` // unlike any other's; it is the idempotency key, too

	at time.Time // when it was acknowledged
}

// ask is what a client says to a node, one JSON value a line: publish these, or
// send me what follows a position ("": the head).
type ask struct {
	Publish []note   `json:"publish,omitempty"`
	Topics  []string `json:"topics,omitempty"`
	After   string   `json:"after,omitempty"`
}

// told is what a node answers: the events with their IDs; or, for a reader,
// first where it starts and then batch after batch.
type told struct {
	Error  string    `json:"error,omitempty"`
	Gap    *push.Gap `json:"gap,omitempty"`
	Events []note    `json:"events,omitempty"`
	Upto   push.ID   `json:"upto,omitzero"`
}

// RunNode is the whole main function of a node of a Fleet that is a process of
// its own: it writes an address to standard output and serves there a hub over
// b, until it is killed or its standard input ends.
func RunNode(b push.Broker) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	ServeNode(ctx, l, push.NewHub(b, hubOptions...))
	return nil
}

// ServeNode serves a hub to the clients of a Fleet until ctx ends; then it shuts
// both down.
func ServeNode(ctx context.Context, l net.Listener, h *push.Hub) {
	var all sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		all.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			serveClient(ctx, c, h)
		})
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel() // nobody waits for its clients
	_ = h.Shutdown(ended)
	all.Wait()
}

func serveClient(ctx context.Context, c net.Conn, h *push.Hub) {
	defer func() { _ = c.Close() }()
	in, out := json.NewDecoder(c), json.NewEncoder(c)
	for {
		var q ask
		if in.Decode(&q) != nil {
			return
		}
		var err error
		if len(q.Topics) > 0 {
			err = serveReader(ctx, h, q, out)
		} else {
			err = servePublish(ctx, h, q.Publish, out)
		}
		if err != nil {
			_ = out.Encode(told{Error: err.Error()})
			return
		}
	}
}

func servePublish(ctx context.Context, h *push.Hub, notes []note, out *json.Encoder) error {
	events := make([]push.Event, len(notes))
	for i, n := range notes {
		events[i] = push.Event{Topic: n.Topic, Data: []byte(n.Data), Idem: n.Data}
	}
	ids, err := h.Publish(ctx, events...)
	if err != nil {
		return err
	}
	for i := range notes {
		notes[i].ID = ids[i]
	}
	return out.Encode(told{Events: notes})
}

func serveReader(ctx context.Context, h *push.Hub, q ask, out *json.Encoder) error {
	from := push.FromHead()
	if q.After != "" {
		from = push.AfterCursor(q.After)
	}
	sub, err := h.Subscribe(ctx, q.Topics, from)
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := out.Encode(told{Upto: sub.Position()}); err != nil {
		return err
	}
	for {
		b, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		t := told{Gap: b.Gap, Upto: b.Upto}
		for _, m := range b.Messages {
			t.Events = append(t.Events, note{ID: m.ID, Topic: m.Topic, Data: string(m.Data)})
		}
		if err := out.Encode(t); err != nil {
			return err
		}
	}
}

// Node is a node of a Fleet.
type Node struct {
	Addr string
	Kill func() // at once; returns when it is gone
}

// StartNode starts a process whose main function is RunNode. Kill is kill -9.
func StartNode(cmd *exec.Cmd) (Node, error) {
	in, err := cmd.StdinPipe() // a node does not outlive whom it works for
	if err != nil {
		return Node{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Node{}, err
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return Node{}, err
	}
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line == "" {
		kill()
		return Node{}, errors.Join(errors.New("pushtest: the node did not write its address: it must call RunNode"), err)
	}
	return Node{Addr: line[:len(line)-1], Kill: kill}, nil
}

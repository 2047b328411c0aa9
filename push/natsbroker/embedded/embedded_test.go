package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/natsbroker/embedded"
)

// publisherDir has the test binary publish to the log there until it is killed.
const publisherDir = "EMBEDDED_PUBLISHER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(publisherDir); dir != "" {
		publishUntilKilled(dir)
	}
	// It waits for ever if its connection is closed before it has begun.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

func open(t *testing.T, dir string) *embedded.Broker {
	t.Helper()
	b, err := embedded.New(dir)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func TestLogSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	ids, err := b.Publish(t.Context(), push.Event{Topic: "a", Data: []byte("1")}, push.Event{Topic: "a/b", Data: []byte("2")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store().Set(t.Context(), "key", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(t.Context()); !errors.Is(err, push.ErrClosed) {
		t.Errorf("Head after Close: %v", err)
	}
	b = open(t, dir)
	p, err := b.History(t.Context(), push.Query{Topics: []string{"**"}, After: push.ID{Epoch: ids[0].Epoch}})
	if err != nil || p.Gap != nil || len(p.Events) != 2 || p.Events[0].ID != ids[0] || p.Events[1].ID != ids[1] {
		t.Errorf("after a restart History has %+v, error %v; published were %v", p, err, ids)
	}
	if v, ok, err := b.Store().Get(t.Context(), "key"); string(v) != "value" || !ok || err != nil {
		t.Errorf("after a restart the store has %q, %v, %v", v, ok, err)
	}
}

// TestKilledProcessLosesNothing: every event whose ID a process had printed is
// in the log after it was killed.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []push.ID
	for range 2 {
		acknowledged = append(acknowledged, publishAndKill(t, dir, 200)...)
	}
	b := open(t, dir)
	there := map[push.ID]bool{}
	q := push.Query{Topics: []string{"**"}, Limit: 1000}
	for {
		p, err := b.History(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			there[e.ID] = true
		}
		if len(p.Events) == 0 {
			break
		}
		q.After = p.Upto
	}
	for _, id := range acknowledged {
		if !there[id] {
			t.Errorf("%v was acknowledged and is not in the log, which has %d events", id, len(there))
		}
	}
}

// publishAndKill returns the IDs that a process printed until it was killed.
func publishAndKill(t *testing.T, dir string, n int) []push.ID {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), publisherDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ids := make([]push.ID, n)
	for i := range ids {
		var cursor string
		if _, err := fmt.Fscanln(out, &cursor); err != nil {
			t.Fatalf("the publisher ended after %d events: %v", i, err)
		}
		if ids[i], err = push.ParseID(cursor); err != nil {
			t.Fatalf("%q: %v", cursor, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return ids
}

func publishUntilKilled(dir string) {
	b, err := embedded.New(dir)
	for i := 0; err == nil; i++ {
		var ids []push.ID
		ids, err = b.Publish(context.Background(), push.Event{Topic: "a", Data: fmt.Append(nil, i)})
		if err == nil {
			fmt.Println(ids[0])
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestMistakesSayTheFix(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]embedded.Config{
		"Dir is required": {},
		"in use":          {Dir: dir},
		"leave them out":  {Dir: t.TempDir(), Log: natsbroker.Config{Replicas: 3}},
		"not a directory": {Dir: file},
	} {
		b, err := embedded.NewWithConfig(cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", cfg, err, want)
		}
		if b != nil {
			t.Errorf("%+v: a broker and the error %v", cfg, err)
		}
	}
}

// TestRetentionIsKept: the options of the log reach it.
func TestRetentionIsKept(t *testing.T) {
	b, err := embedded.NewWithConfig(embedded.Config{Dir: t.TempDir(), Log: natsbroker.Config{Count: 2}, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(context.Background()) }()
	for range 5 {
		if _, err := b.Publish(t.Context(), push.Event{Topic: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.History(t.Context(), push.Query{Topics: []string{"a"}})
	if err != nil || len(p.Events) != 2 {
		t.Errorf("with Count 2 History has %d events, error %v", len(p.Events), err)
	}
}

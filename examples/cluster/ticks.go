package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// publishTicks publishes numbered events, as a backend does that is a client of
// the cluster: each until it is acknowledged, with a key, so that it comes once
// whatever happens on the way. When ctx ends it ends with the one that it is at.
func publishTicks(ctx context.Context, url string, every time.Duration) {
	run := strconv.FormatInt(time.Now().UnixMilli(), 36)
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		for !publishTick(context.WithoutCancel(ctx), client, url, run, n) {
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// publishTick reports whether the event is in the log.
func publishTick(ctx context.Context, client *http.Client, url, run string, n int) bool {
	body := fmt.Sprintf(`{"run":%q,"n":%d}`, run, n)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Push-Event", "tick")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("tick-%s-%018d", run, n)) // long enough to be the same for every node and address
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusCreated
}

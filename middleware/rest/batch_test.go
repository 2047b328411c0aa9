package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

type batchResult struct {
	Status     int
	ID, Detail string
}

func (s *site) batch(body string, headers ...string) (results []batchResult, statuses []int) {
	s.t.Helper()
	a := s.post("/batch", body, append([]string{"Content-Type: application/json"}, headers...)...)
	s.expect(http.StatusOK, a)
	var res struct{ Results []batchResult }
	s.decode(a, &res)
	for _, r := range res.Results {
		statuses = append(statuses, r.Status)
	}
	return res.Results, statuses
}

func TestEachEventOfABatchHasItsOwnStatus(t *testing.T) {
	hub := push.New()
	hub.Handle("wall", func(_ context.Context, in *push.Inbound) error {
		switch string(in.Event.Data) {
		case `"bad word"`:
			return push.Refuse("no")
		case `"spoiled"`:
			in.Event.Data = []byte("{")
		}
		return nil
	})
	s := serve(t, rest.Config{Hub: hub, Auth: rest.Public(push.Pub("wall"), push.Pub("news"), push.Sub("**")), MaxMessage: 500})
	results, statuses := s.batch(`{"events":[
		{"topic":"wall","event":"post","key":"k","data":{"n":1}},
		{"topic":"secret","data":2},
		{"topic":"wall","data":"bad word"},
		{"topic":"wall","data":"spoiled"},
		{"topic":"a//b","data":4},
		{"topic":"$presence/wall","data":5},
		{"data":6},
		{"topic":"wall"},
		{"topic":"wall","event":"push.open","data":8},
		{"topic":"wall","type":"image/png","data":"x"},
		{"topic":"news","type":"text/plain","data":"` + strings.Repeat("x", 501) + `"},
		{"topic":"news","type":"image/png","encoding":"base64","data":"/w=="},
		7,
		{"topic":"wall","data":"last"}]}`)
	if want := []int{201, 403, 422, 422, 400, 400, 400, 400, 422, 400, 413, 201, 400, 201}; !slices.Equal(statuses, want) {
		t.Errorf("statuses %v\nwant     %v", statuses, want)
	}
	for i, r := range results {
		if (r.Status == http.StatusCreated) != (r.ID != "") || (r.Status == http.StatusCreated) != (r.Detail == "") {
			t.Errorf("event %d: %+v", i, r)
		}
	}
	p := s.page("/events?topic=**")
	if len(p.Items) != 3 || p.Items[0].ID != results[0].ID || p.Items[0].Event != "post" || p.Items[1].ID != results[11].ID || p.Items[2].ID != results[13].ID {
		t.Errorf("in the log, in order: %+v", p.Items)
	}
}

func TestBatchThatIsRefusedAsAWhole(t *testing.T) {
	s := serve(t, rest.Config{})
	one := `{"topic":"wall","data":1}`
	for body, status := range map[string]int{
		``: 400, `[` + one + `]`: 400, `{"events":[]}`: 400, `{}`: 400, `{"events":[` + one + `],"more":1}`: 400, `{"events":[` + one + `]`: 400,
		`{"events":[` + strings.Repeat(one+",", 100) + one + `]}`: 400,
		`{"events":[` + one + strings.Repeat(" ", 1<<20) + `]}`:   413,
	} {
		s.expect(status, s.post("/batch", body, "Content-Type: application/json"))
	}
	s.expect(http.StatusUnsupportedMediaType, s.post("/batch", `{"events":[`+one+`]}`, "Content-Type: text/plain"))
	if p := s.page("/topics/wall"); len(p.Items) != 0 {
		t.Errorf("published all the same: %v", p.texts())
	}
	if _, statuses := s.batch(`{"events":[` + strings.Repeat(one+",", 99) + one + `]}`); len(statuses) != 100 || slices.Max(statuses) != 201 {
		t.Errorf("100 events: %v", statuses)
	}
}

func TestRepeatedBatchGetsTheFirstAnswers(t *testing.T) {
	s := serve(t, rest.Config{Auth: rest.Public(push.Pub("wall"), push.Sub("**"))})
	const body = `{"events":[{"topic":"wall","data":1},{"topic":"wall","data":1},{"topic":"other","data":1},{"topic":"wall","idem":"own","data":1}]}`
	first, statuses := s.batch(body, key)
	again, _ := s.batch(body, key)
	if !slices.Equal(statuses, []int{201, 201, 403, 201}) || !slices.Equal(first, again) {
		t.Errorf("first %+v, again %+v", first, again)
	}
	own, _ := s.batch(`{"events":[{"topic":"wall","idem":"own","data":1},{"topic":"wall","idem":"own","data":2}]}`)
	if own[0].ID != first[3].ID || own[1].Status != http.StatusUnprocessableEntity {
		t.Errorf("an event's own key: %+v", own)
	}
	if p := s.page("/topics/wall"); len(p.Items) != 3 {
		t.Errorf("%d events in the log, want 3", len(p.Items))
	}
}

func TestBatchCountsAsItsEvents(t *testing.T) {
	inBubble(t, func() rest.Config { return rest.Config{Auth: who, Limits: rest.Limits{Messages: 30}} }, func(t *testing.T, s *site) {
		batch := func(n int) answer {
			one := `{"topic":"wall","data":1}`
			return s.post("/batch", `{"events":[`+strings.Repeat(one+",", n-1)+one+`]}`, ann)
		}
		s.expect(http.StatusOK, batch(100))
		s.retryAfter(batch(21))
		s.expect(http.StatusOK, batch(20))
		s.retryAfter(s.post("/topics/wall", "x", ann))
	})
}

// half is a broker whose connection breaks in the middle of a publish.
type half struct{ *push.Memory }

func (b half) Publish(ctx context.Context, events ...push.Event) ([]push.ID, error) {
	ids, err := b.Memory.Publish(ctx, events[:len(events)/2]...)
	if err == nil {
		err = errDown
	}
	return ids, err
}

func TestBatchThatBreaksSaysWhichEventsAreInTheLog(t *testing.T) {
	s := serve(t, rest.Config{Hub: push.NewHub(half{push.NewMemory()})})
	results, statuses := s.batch(fmt.Sprintf(`{"events":[%s]}`, strings.TrimSuffix(strings.Repeat(`{"topic":"wall","data":1},`, 4), ",")))
	if !slices.Equal(statuses, []int{201, 201, 503, 503}) {
		t.Errorf("%+v", results)
	}
}

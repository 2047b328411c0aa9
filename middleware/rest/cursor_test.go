package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
)

// keeps returns a hub that keeps n events a topic.
func keeps(n int) *push.Hub {
	return push.NewHub(push.NewMemory(push.Rules(push.Rule{Pattern: "**", Retention: push.Retention{Count: n}})))
}

func numbers(from, to int) []string {
	s := []string{}
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func TestHeaderQueryAndLastDisagree(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := s.publish("wall", numbers(0, 10)...)
	header := func(i int) string { return "Last-Event-ID: " + ids[i].String() }
	for _, c := range []struct {
		query, header string
		first         int
	}{
		{"?after=" + ids[3].String() + "&last_event_id=" + ids[4].String() + "&last=1", header(1), 2},
		{"?after=" + ids[3].String() + "&last_event_id=" + ids[4].String() + "&last=1", "Last-Event-ID: ", 4},
		{"?last=1&last_event_id=" + ids[4].String(), "", 5},
		{"?last=1&after=&last_event_id=" + ids[4].String(), "", 5},
		{"?last=2", "", 8},
		{"?last=2", header(4), 5},
		{"?after=0", header(6), 7},
		{"?after=0", "", 0},
		{"?last=1000", "", 0},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		es := s.follow("/topics/wall"+c.query, headers...)
		es.messages(numbers(c.first, 10)...)
		es.close()
	}
}

func TestStreamWithoutACursorStartsAtTheHead(t *testing.T) {
	s := serve(t, rest.Config{})
	s.publish("wall", "old")
	head := s.hub.Position().String()
	for _, query := range []string{"", "?after=", "?last=0"} {
		es := s.open("/topics/wall" + query)
		if e := es.expect("push.open", nil); e.ID != head {
			t.Errorf("%q: push.open at %q, want the head %q: a cut before the first event would lose it", query, e.ID, head)
		}
		head = s.publish("wall", "new")[0].String()
		es.messages("new")
		es.close()
	}
}

func TestLastIsANumberUpToAThousand(t *testing.T) {
	s := serve(t, rest.Config{})
	for _, last := range []string{"1001", "-1", "x", "", "1e3", "99999999999999999999"} {
		if detail := s.expect(http.StatusBadRequest, s.do(http.MethodGet, "/topics/wall?last="+last, "")); !strings.Contains(detail, "1000") {
			t.Errorf("last=%s: %q does not say the limit", last, detail)
		}
	}
}

// badCursors are not of the log, each for another reason.
func badCursors(head push.ID) map[string]string {
	other, beyond, check := head, head, head
	other.Epoch++
	beyond.Seq += 1000
	check.Check += 2
	return map[string]string{
		"forged": "x", "nearly": head.String() + "x", "65 bytes": strings.Repeat("a", 65), "4 KiB": strings.Repeat("9", 4096), "NUL": "a\x00b",
		"not UTF-8": "\xff\xfe", "line break": "a\nid: b", "other epoch": other.String(), "beyond the head": beyond.String(), "wrong check": check.String(),
	}
}

func TestCursorOfAnotherLogIsAGapEpochAndThenOn(t *testing.T) {
	s := serve(t, rest.Config{})
	ids := s.publish("wall", "1", "2")
	for name, cursor := range badCursors(ids[1]) {
		for _, param := range []string{"after", "last_event_id"} {
			es := s.follow("/topics/wall?" + param + "=" + url.QueryEscape(cursor))
			var gap gapData
			es.expect("push.gap", &gap)
			to, err := push.ParseID(gap.To)
			if gap.Reason != "epoch" || err != nil || to.Epoch != ids[0].Epoch || !slices.Equal(gap.Topics, []string{"wall"}) {
				t.Errorf("%s in %s: gap %+v", name, param, gap)
			}
			if last := es.messages("1", "2"); last.ID != ids[1].String() {
				t.Errorf("%s in %s: the cursor is %q after the gap, want %q", name, param, last.ID, ids[1])
			}
			es.close()
		}
	}
}

func TestCursorInAHeaderIsNeverAStatus(t *testing.T) {
	s := serve(t, rest.Config{})
	head := s.publish("wall", "1")[0]
	for name, cursor := range badCursors(head) {
		if strings.ContainsAny(cursor, "\x00\n") {
			continue // no HTTP header
		}
		es := s.follow("/topics/wall", "Last-Event-ID: "+cursor)
		var gap gapData
		es.expect("push.gap", &gap)
		if gap.Reason != "epoch" {
			t.Errorf("%s: %+v", name, gap)
		}
		es.close()
	}
}

func TestAbsurdCursorIs431(t *testing.T) {
	s := serve(t, rest.Config{})
	huge := strings.Repeat("9", 4097)
	for _, a := range []answer{
		s.do(http.MethodGet, "/topics/wall", "", "Last-Event-ID: "+huge),
		s.do(http.MethodGet, "/topics/wall?after="+huge, ""),
		s.do(http.MethodGet, "/topics/wall?last_event_id="+huge, ""),
		s.get("/topics/wall?after=" + huge), s.get("/topics/wall?before=" + huge), s.get("/topics/wall?after="+huge, "Prefer: wait=5"),
		s.get("/events?topic=wall&after=" + huge),
	} {
		s.expect(http.StatusRequestHeaderFieldsTooLarge, a)
	}
	s.expect(http.StatusOK, s.get("/topics/wall", "Last-Event-ID: "+huge)) // pages do not look at it
}

func TestStaleCursorHasTheSameGapOnAllTransports(t *testing.T) {
	s := serve(t, rest.Config{Hub: keeps(3)})
	ids := s.publish("wall", numbers(0, 10)...)
	path := "/topics/wall?after=" + ids[1].String()
	var gaps []gapData
	var got [][]string
	add := func(gap gapData, texts []string) {
		gaps, got = append(gaps, gap), append(got, texts)
	}
	for _, way := range ways {
		r := s.read(way, path)
		var texts []string
		for len(texts) < 3 {
			texts = append(texts, r.next().text)
		}
		add(*r.gap, texts)
		r.close()
	}
	page := s.page("/topics/wall?after=" + ids[1].String())
	add(*page.Gap, page.texts())
	for i := range gaps {
		if gaps[i].From != ids[1].String() || gaps[i].To != gaps[0].To || gaps[i].Reason != "trimmed" || !slices.Equal(gaps[i].Topics, []string{"wall"}) {
			t.Errorf("%d: gap %+v, the first is %+v", i, gaps[i], gaps[0])
		}
		if !slices.Equal(got[i], numbers(7, 10)) {
			t.Errorf("%d: after the gap %v", i, got[i])
		}
	}
	if to, _ := push.ParseID(gaps[0].To); to.Seq != ids[6].Seq {
		t.Errorf("the gap goes to %d, want %d, the newest that is gone", to.Seq, ids[6].Seq)
	}
}

func TestStreamThatResumedAfterAGapIsNotToldItAgain(t *testing.T) {
	s := serve(t, rest.Config{Hub: keeps(3)})
	ids := s.publish("wall", numbers(0, 10)...)
	es := s.follow("/topics/wall", "Last-Event-ID: "+ids[1].String())
	gap := es.expect("push.gap", nil) // and cut here
	es.close()
	es = s.follow("/topics/wall", "Last-Event-ID: "+gap.ID)
	es.messages(numbers(7, 10)...)
}

// ways are the transports with a cursor.
var ways = []string{"sse", "envelope", "ndjson", "push.v1", "long poll"}

// reader reads messages of one transport.
type reader struct {
	next  func() message
	close func()
	gap   *gapData
}

type message struct{ id, text string }

func (s *site) read(way, path string) *reader {
	s.t.Helper()
	switch way {
	case "sse":
		return s.readSSE(path)
	case "envelope":
		return s.readSSE(path + "&format=envelope")
	case "ndjson":
		return s.readLines(path)
	case "push.v1":
		c := s.socket(path)
		r := &reader{close: func() { _ = c.CloseNow() }}
		r.next = func() message { return r.unwrap(s.t, c.next()) }
		return r
	}
	return s.readPolls(path)
}

func (s *site) readSSE(path string) *reader {
	s.t.Helper()
	es := s.open(path)
	r := &reader{close: es.close}
	r.next = func() message {
		e := es.next()
		if strings.Contains(path, "format=envelope") {
			var env wire.Envelope
			if err := json.Unmarshal(e.Data, &env); err != nil {
				s.t.Fatal(err)
			}
			return r.unwrap(s.t, env)
		}
		switch e.Name {
		case "message":
			return message{e.ID, string(e.Data)}
		case "push.gap":
			r.gap = &gapData{}
			_ = json.Unmarshal(e.Data, r.gap)
		}
		return r.next()
	}
	return r
}

// unwrap returns the message in an envelope, or the next one.
func (r *reader) unwrap(t testing.TB, env wire.Envelope) (m message) {
	t.Helper()
	switch env.Event {
	case "message":
		m.id = env.ID
		if err := json.Unmarshal(env.Data, &m.text); err != nil {
			t.Fatal(err)
		}
		return m
	case "push.gap":
		r.gap = &gapData{}
		_ = json.Unmarshal(env.Data, r.gap)
	}
	return r.next()
}

func (s *site) readLines(path string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	res, err := s.Client().Do(s.request(ctx, http.MethodGet, path, "", "Accept: application/x-ndjson"))
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	r := &reader{close: func() { cancel(); _ = res.Body.Close() }}
	s.t.Cleanup(r.close)
	r.next = func() message {
		if !lines.Scan() {
			s.t.Fatalf("the NDJSON stream ended: %v", lines.Err())
		}
		var env wire.Envelope
		if err := json.Unmarshal(lines.Bytes(), &env); err != nil {
			s.t.Fatalf("line %q: %v", lines.Bytes(), err)
		}
		return r.unwrap(s.t, env)
	}
	return r
}

func (s *site) readPolls(path string) *reader {
	base, after, _ := strings.Cut(path, "after=")
	var held []message
	r := &reader{close: func() {}}
	r.next = func() message {
		for len(held) == 0 {
			p := s.decodePage(s.get(base+"after="+url.QueryEscape(after), "Prefer: wait=20"))
			if p.Gap != nil {
				r.gap = p.Gap
			}
			for _, i := range p.Items {
				held = append(held, message{i.ID, i.text()})
			}
			after = p.Last
		}
		m := held[0]
		held = held[1:]
		return m
	}
	return r
}

func TestOneCursorGoesOnOverAllTransports(t *testing.T) {
	s := serve(t, rest.Config{})
	const n = 60
	go func() {
		for i := range n {
			_, _ = s.hub.Publish(context.Background(), push.Event{Topic: "wall", Data: fmt.Append(nil, i)}, push.Event{Topic: "noise", Data: []byte("x")})
		}
	}()
	after, got := "0", 0
	for got < n {
		r := s.read(ways[got%len(ways)], "/topics/wall?after="+after)
		for range min(1+got%4, n-got) {
			m := r.next()
			if m.text != fmt.Sprint(got) {
				t.Fatalf("over %s after %s: message %s, want %d: one was lost or came twice", ways[got%len(ways)], after, m.text, got)
			}
			after = m.id
			got++
		}
		if r.gap != nil {
			t.Fatalf("a gap in a log that lost nothing: %+v", r.gap)
		}
		r.close()
	}
}

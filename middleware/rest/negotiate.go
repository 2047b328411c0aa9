package rest

import (
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// way is how a GET is answered.
type way uint8

const (
	wayNone way = iota // 406
	waySSE
	wayJSON
	wayNDJSON
	wayWebSocket
)

// named are the types of the protocol's table, in its order.
var named = []struct {
	mediaType string
	way       way
}{
	{"text/event-stream", waySSE},
	{"application/json", wayJSON},
	{"application/x-ndjson", wayNDJSON},
}

// negotiate finds the way a request can take.
func negotiate(r *http.Request) way {
	if isUpgrade(r) {
		return wayWebSocket
	}
	ranges := parseAccept(r.Header.Values("Accept"))
	best, bestQ := wayNone, 0.0
	var refused [wayWebSocket]bool // by q=0 (RFC 9110 section 12.4.2)
	for _, n := range named {
		q, ok := ranges[n.mediaType]
		refused[n.way] = ok && q == 0
		if q > bestQ {
			best, bestQ = n.way, q
		}
	}
	if best != wayNone {
		return best
	}
	for _, w := range implied(r, ranges) {
		if !refused[w] {
			return w
		}
	}
	return wayNone
}

// implied returns the ways that a request can take which names none, the best
// one first.
func implied(r *http.Request, ranges map[string]float64) []way {
	switch {
	case len(ranges) == 0 || ranges["*/*"] > 0 && ranges["text/html"] == 0:
		// curl wants to see the stream; a bare fetch would hang on it.
		if r.Header.Get("Sec-Fetch-Dest") != "" || wait(r) > 0 {
			return []way{wayJSON, waySSE, wayNDJSON}
		}
		return []way{waySSE, wayJSON, wayNDJSON}
	case ranges["text/html"] > 0: // a person who types the URL
		return []way{wayJSON}
	case ranges["application/*"] > 0:
		return []way{wayJSON, wayNDJSON}
	case ranges["text/*"] > 0:
		return []way{waySSE}
	}
	return nil
}

// parseAccept returns the quality of each media range (RFC 9110 section
// 12.5.1). Ranges that cannot be parsed are passed over.
func parseAccept(fields []string) map[string]float64 {
	ranges := map[string]float64{}
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			if len(ranges) >= 32 {
				return ranges
			}
			mediaType, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if s, ok := params["q"]; ok {
				if q, err = strconv.ParseFloat(s, 64); err != nil || !(q >= 0 && q <= 1) {
					continue
				}
			}
			ranges[mediaType] = max(ranges[mediaType], q)
		}
	}
	return ranges
}

func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header, "Connection", "upgrade") && hasToken(r.Header, "Upgrade", "websocket")
}

func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(h.Values(name), func(field string) bool {
		for t := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
		return false
	})
}

// wait returns the time of a Prefer: wait=n header (RFC 7240 section 4.3), 0
// if there is none.
func wait(r *http.Request) time.Duration {
	for _, field := range r.Header.Values("Prefer") {
		for pref := range strings.FieldsFuncSeq(field, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 16); err == nil || errors.Is(err, strconv.ErrRange) {
				return time.Duration(n) * time.Second
			}
		}
	}
	return 0
}

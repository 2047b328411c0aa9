package rest

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/dualpush-go/dualpush/push"
)

// pathTopic canonicalises the escaped rest of a path into a topic, once: what
// is authorised is what is served. Whatever could be read in two ways is
// refused: escaped slashes and percent signs, dot segments, names that are not
// in NFC.
func pathTopic(escaped string) (string, *Problem) {
	topic, p := canonicalTopic(escaped)
	if p != nil {
		return "", p
	}
	return topic, checkTopic(topic)
}

func canonicalTopic(escaped string) (string, *Problem) {
	topic, err := url.PathUnescape(escaped)
	if err != nil {
		return "", problemf(http.StatusBadRequest, "the topic in the path is not escaped properly: %s", err)
	}
	if strings.Count(topic, "/") != strings.Count(escaped, "/") {
		return "", problemf(http.StatusBadRequest, "the topic in the path has an escaped slash: write it as /")
	}
	if strings.Contains(topic, "*") {
		return "", problemf(http.StatusBadRequest, "a path names one topic: use /events?topic=%s for a pattern", url.QueryEscape(topic))
	}
	return topic, nil
}

func checkTopic(topic string) *Problem {
	if err := push.CheckTopic(topic); err != nil {
		return problemf(http.StatusBadRequest, "%s", err)
	}
	return checkNFC(topic)
}

func checkNFC(topic string) *Problem {
	if !norm.NFC.IsNormalString(topic) {
		return problemf(http.StatusBadRequest, "topic %q is not in Unicode normalization form C", topic)
	}
	return nil
}

// checkTopics checks topics and patterns that a client wants to read.
func (h *Handler) checkTopics(topics []string) *Problem {
	if len(topics) > h.cfg.MaxTopics {
		return h.tooManyTopics(len(topics))
	}
	for _, t := range topics {
		if p := h.checkReadable(t); p != nil {
			return p
		}
	}
	return nil
}

// checkReadable checks a topic or pattern that a client wants to read: of the
// reserved ones those of presence, where that is on.
func (h *Handler) checkReadable(topic string) *Problem {
	if err := push.CheckPattern(topic); err != nil {
		return problemf(http.StatusBadRequest, "%s", err)
	}
	if topic[0] == '$' && (h.presence == nil || !strings.HasPrefix(topic, presenceTopics)) {
		return problemf(http.StatusBadRequest, "topic %q: a leading $ is reserved", topic)
	}
	return checkNFC(topic)
}

func (h *Handler) tooManyTopics(n int) *Problem {
	return problemf(http.StatusBadRequest, "%d topics, at most %d are allowed on one connection: use a pattern", n, h.cfg.MaxTopics)
}

// parseQuery parses a query of bounded size.
func (h *Handler) parseQuery(r *http.Request) (url.Values, *Problem) {
	if n := strings.Count(r.URL.RawQuery, "topic="); n > h.cfg.MaxTopics {
		return nil, h.tooManyTopics(n) // before any work is done for them
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the query cannot be parsed: %s", err)
	}
	q.Del(ticketParam) // it is redacted: no URL is to be built from it
	return q, nil
}

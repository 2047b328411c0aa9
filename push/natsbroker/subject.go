package natsbroker

import (
	"fmt"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// events is the subject of all events, tick that of the ticks.
func (b *Broker) events() string { return b.cfg.Prefix + ".e.>" }
func (b *Broker) tick() string   { return b.cfg.Prefix + ".t" }

// subject returns the subject of a topic.
func (b *Broker) subject(topic string) string { return b.cfg.Prefix + ".e." + tokens(topic) }

// topic returns the topic of an event's subject.
func (b *Broker) topic(subject string) (string, bool) {
	s, ok := strings.CutPrefix(subject, b.cfg.Prefix+".e.")
	if !ok {
		return "", false
	}
	return untokens(s), true
}

// tokens makes a topic, or a part of one, a subject: segments are tokens. What
// a token cannot have is escaped with %, which topics have not.
func tokens(topic string) string {
	if !strings.ContainsAny(topic, "/.> *\t\r\n\f") {
		return topic
	}
	var s strings.Builder
	for i := range len(topic) {
		switch c := topic[i]; c {
		case '/':
			s.WriteByte('.')
		case '.', '>', ' ', '*', '\t', '\r', '\n', '\f':
			fmt.Fprintf(&s, "%%%02X", c)
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}

func untokens(subject string) string {
	s := strings.ReplaceAll(subject, ".", "/")
	if !strings.Contains(s, "%") {
		return s
	}
	var t strings.Builder
	for i := 0; i < len(s); i++ {
		if c, ok := unescape(s[i:]); ok {
			t.WriteByte(c)
			i += 2
			continue
		}
		t.WriteByte(s[i])
	}
	return t.String()
}

func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	_, err := fmt.Sscanf(s[1:3], "%02X", &c)
	return c, err == nil
}

// filters returns subjects that together match all that topics and patterns
// match. They may match more (topics with a leading $). The server refuses
// filters that contain each other, and we would read twice: those go.
func (b *Broker) filters(topics []string) []string {
	var list []string
	for i, t := range topics {
		if covered(topics, i) {
			continue
		}
		switch head, deep := strings.CutSuffix(t, "**"); {
		case !deep:
			list = append(list, b.cfg.Prefix+".e."+wild(t))
		case head == "":
			return []string{b.events()}
		default:
			stem := b.cfg.Prefix + ".e." + wild(strings.TrimSuffix(head, "/"))
			list = append(list, stem, stem+".>")
		}
	}
	return list
}

// wild is tokens for patterns.
func wild(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if s != "*" {
			segments[i] = tokens(s)
		}
	}
	return strings.Join(segments, ".")
}

// covered reports whether another of topics, or an earlier equal one, matches
// all that the one at i matches.
func covered(topics []string, i int) bool {
	for j, other := range topics {
		if j != i && push.Covers(other, topics[i]) && (j < i || !push.Covers(topics[i], other)) {
			return true
		}
	}
	return false
}

// matcher reports whether a topic matches one of topics.
func matcher(topics []string) func(string) bool {
	return func(topic string) bool {
		for _, p := range topics {
			if push.Match(p, topic) {
				return true
			}
		}
		return false
	}
}

package push

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a topic or pattern.
const (
	MaxTopicLen      = 200 // bytes
	MaxTopicSegments = 16
)

// CheckTopic reports why s is no topic, or nil. A topic is 1 to 16 non-empty
// segments joined by "/", at most 200 bytes of valid UTF-8 without control or
// format characters and none of % * \ { }; no segment is "." or "..". Topics
// compare bytewise. A leading "$" is reserved for the library's own topics.
func CheckTopic(s string) error {
	if err := checkSegments("topic", s, false); err != nil {
		return err
	}
	if s[0] == '$' {
		return invalidf("topic %q: a leading $ is reserved", s)
	}
	return nil
}

// CheckPattern reports why s is no topic pattern, or nil. A pattern is a topic
// in which "*" may stand for one whole segment and, last, "**" for the rest:
// zero or more segments.
func CheckPattern(s string) error { return checkSegments("pattern", s, true) }

// isPlain reports whether s is a topic of letters, digits, - and _ only, as
// nearly all are: publishing checks each event's.
func isPlain(s string) bool {
	if len(s) > MaxTopicLen {
		return false
	}
	segments, empty := 1, true
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '-', c == '_':
			empty = false
		case c == '/' && !empty:
			segments, empty = segments+1, true
		default:
			return false
		}
	}
	return !empty && segments <= MaxTopicSegments
}

func checkSegments(what, s string, wild bool) error {
	if isPlain(s) {
		return nil
	}
	if s == "" || len(s) > MaxTopicLen {
		return invalidf("%s of %d bytes: 1 to %d are allowed", what, len(s), MaxTopicLen)
	}
	if !utf8.ValidString(s) {
		return invalidf("%s %q is not valid UTF-8", what, s)
	}
	if n := strings.Count(s, "/") + 1; n > MaxTopicSegments {
		return invalidf("%s %q has %d segments: at most %d are allowed", what, s, n, MaxTopicSegments)
	}
	for rest, more := s, true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if wild && (seg == "*" || seg == "**" && !more) {
			continue
		}
		switch seg {
		case "":
			return invalidf("%s %q has an empty segment", what, s)
		case ".", "..":
			return invalidf("%s %q has the segment %q", what, s, seg)
		}
		if i := strings.IndexFunc(seg, badTopicRune); i >= 0 {
			r, _ := utf8.DecodeRuneInString(seg[i:])
			if wild && r == '*' {
				return invalidf("pattern %q: * stands for a whole segment, ** for the rest, last", s)
			}
			return invalidf("%s %q contains %q", what, s, r)
		}
	}
	return nil
}

func badTopicRune(r rune) bool {
	switch r {
	case '%', '*', '\\', '{', '}', '\u2028', '\u2029':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// IsPattern reports whether s has a wildcard.
func IsPattern(s string) bool { return strings.Contains(s, "*") }

// Match reports whether topic matches pattern. A pattern that starts with a
// wildcard does not match topics that start with "$".
func Match(pattern, topic string) bool {
	if topic != "" && topic[0] == '$' && pattern != "" && pattern[0] == '*' {
		return false
	}
	return covers(pattern, topic)
}

// Covers reports whether every topic that matches inner also matches outer;
// inner may be a topic or a pattern.
func Covers(outer, inner string) bool { return Match(outer, inner) }

func covers(outer, inner string) bool {
	for {
		if outer == "**" {
			return true
		}
		o, orest, omore := strings.Cut(outer, "/")
		i, irest, imore := strings.Cut(inner, "/")
		if i == "**" || o != "*" && o != i {
			return false
		}
		if !imore {
			return !omore || orest == "**"
		}
		if !omore {
			return false
		}
		outer, inner = orest, irest
	}
}

package sse_test

import (
	"math/big"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/sse"
)

// naive reads a whole stream as slowly and as closely to the standard's words
// as can be (WHATWG HTML 9.2.5 and 9.2.6), to judge the decoder by.
type naive struct {
	events []sse.Event
	lastID string
	retry  time.Duration
}

func naiveParse(stream string, lastID string) (n naive) {
	stream = strings.TrimPrefix(whatwgUTF8(stream), "\uFEFF")
	n.lastID = lastID
	data, eventType, idBuffer := "", "", lastID
	for {
		end := strings.IndexAny(stream, "\r\n")
		if end < 0 {
			return n // no event is dispatched at the end of the stream
		}
		line := stream[:end]
		if strings.HasPrefix(stream[end:], "\r\n") {
			end++
		}
		stream = stream[end+1:]
		if line == "" {
			n.lastID = idBuffer
			if data != "" {
				if eventType == "" {
					eventType = "message"
				}
				n.events = append(n.events, sse.Event{ID: n.lastID, Name: eventType, Data: []byte(strings.TrimSuffix(data, "\n")), Retry: n.retry})
			}
			data, eventType = "", ""
			continue
		}
		field, value := line, ""
		if at := strings.Index(line, ":"); at == 0 {
			continue
		} else if at > 0 {
			field, value = line[:at], strings.TrimPrefix(line[at+1:], " ")
		}
		switch field {
		case "event":
			eventType = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				idBuffer = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				n.retry = milliseconds(value)
			}
		}
	}
}

// milliseconds is as much as a time.Duration holds.
func milliseconds(s string) time.Duration {
	v, _ := new(big.Int).SetString(s, 10)
	most := big.NewInt(int64(1<<63-1) / 1e6)
	if v.Cmp(most) > 0 {
		v = most
	}
	return time.Duration(v.Int64()) * time.Millisecond
}

// whatwgUTF8 is the UTF-8 decoder of the WHATWG Encoding standard, 8.1.1, step
// by step: its variables have the standard's names.
func whatwgUTF8(s string) string {
	var out strings.Builder
	codePoint, seen, needed := 0, 0, 0
	lower, upper := byte(0x80), byte(0xBF)
	for i := 0; i < len(s); i++ {
		b := s[i]
		if needed == 0 {
			switch {
			case b <= 0x7F:
				out.WriteByte(b)
			case 0xC2 <= b && b <= 0xDF:
				needed, codePoint = 1, int(b&0x1F)
			case 0xE0 <= b && b <= 0xEF:
				if b == 0xE0 {
					lower = 0xA0
				}
				if b == 0xED {
					upper = 0x9F
				}
				needed, codePoint = 2, int(b&0xF)
			case 0xF0 <= b && b <= 0xF4:
				if b == 0xF0 {
					lower = 0x90
				}
				if b == 0xF4 {
					upper = 0x8F
				}
				needed, codePoint = 3, int(b&0x7)
			default:
				out.WriteString("\uFFFD")
			}
			continue
		}
		if b < lower || b > upper {
			codePoint, needed, seen, lower, upper = 0, 0, 0, 0x80, 0xBF
			i-- // the byte is looked at again
			out.WriteString("\uFFFD")
			continue
		}
		lower, upper = 0x80, 0xBF
		codePoint = codePoint<<6 | int(b&0x3F)
		if seen++; seen == needed {
			out.WriteRune(rune(codePoint))
			codePoint, needed, seen = 0, 0, 0
		}
	}
	if needed != 0 {
		out.WriteString("\uFFFD")
	}
	return out.String()
}

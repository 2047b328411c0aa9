package r3labs

import (
	"cmp"

	"github.com/dualpush-go/dualpush/push"
)

// The two forms of an event on r3labs' wire, with the fields in its order.
// Where nothing is replayed there is no cursor either.
var (
	replayed = push.NewEncoding("r3labs-replay", func(dst []byte, e *push.Event) []byte {
		return appendEvent(dst, e, cmp.Or(e.Meta[metaID], e.ID.String()))
	})
	live = push.NewEncoding("r3labs", func(dst []byte, e *push.Event) []byte {
		return appendEvent(dst, e, e.Meta[metaID])
	})
)

func appendEvent(dst []byte, e *push.Event, id string) []byte {
	if id != "" {
		dst = appendField(dst, "id: ", id)
	}
	dst = appendLines(dst, "data: ", string(e.Data))
	if name := cmp.Or(e.Name, e.Meta[metaName]); name != "" {
		dst = appendField(dst, "event: ", name)
	}
	if retry := e.Meta[metaRetry]; retry != "" {
		dst = appendField(dst, "retry: ", retry)
	}
	if comment := e.Meta[metaComment]; comment != "" {
		dst = appendLines(dst, ": ", comment)
	}
	return append(dst, '\n')
}

func appendComment(dst []byte, comment string) []byte {
	return append(appendLines(dst, ": ", comment), '\n')
}

func appendField(dst []byte, name, line string) []byte {
	return append(append(append(dst, name...), line...), '\n')
}

// appendLines appends a field for each line of text.
func appendLines(dst []byte, name, text string) []byte {
	from := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' && i > 0 && text[i-1] == '\r': // the second half of CRLF
			from = i + 1
		case c == '\n' || c == '\r':
			dst = appendField(dst, name, text[from:i])
			from = i + 1
		}
	}
	return appendField(dst, name, text[from:])
}

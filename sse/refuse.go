package sse

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse/internal/respond"
)

// Refuse answers a request for a stream that cannot be served now: with status
// 200, a reconnection time, push.close and the end. Any other status would have
// a browser's EventSource give up for good; so use a status where trying again
// cannot help, and Refuse where it can. The time is why.Retry, else opts.Retry,
// give or take a quarter. The client keeps its cursor.
func Refuse(w http.ResponseWriter, r *http.Request, why *push.CloseError, opts *Options) error {
	o := opts.withDefaults()
	respond.Head(w.Header(), o.Format.ContentType())
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	end := *why
	if end.Retry <= 0 {
		end.Retry = o.Retry
	}
	end.Retry = max(jitter(end.Retry), time.Millisecond)
	_, err := w.Write(appendRefusal(nil, o.Format, safeCursor(Cursor(r)), &end)) //nolint:gosec // what is echoed is letters, digits and _.-
	return err
}

// appendRefusal appends a push.close with the client's own cursor as id, if it
// has one. By the letter of the standard an event without an id on a new
// connection would have the client forget its cursor.
func appendRefusal(dst []byte, f Format, cursor string, end *push.CloseError) []byte {
	data := wire.AppendData(nil, wire.NewCloseData(end))
	if f != FormatRaw {
		env := wire.Envelope{ID: cursor, Event: wire.Close, Data: json.RawMessage(data)}
		data = wire.AppendData(nil, env)
	}
	if f == FormatNDJSON {
		return append(append(dst, data...), '\n')
	}
	dst = appendRetry(dst, end.Retry)
	if cursor != "" {
		dst = append(append(append(dst, "id: "...), cursor...), '\n')
	}
	dst = append(append(dst, "event: "+wire.Close+"\ndata: "...), data...)
	return append(dst, "\n\n"...)
}

// safeCursor returns s if it has the form of a cursor, and what is none as "-":
// that must stay a cursor nobody knows, rather than become no cursor, so that
// the client is told of its gap.
func safeCursor(s string) string {
	if len(s) > push.MaxCursorLen {
		return "-"
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return "-"
		}
	}
	return s
}

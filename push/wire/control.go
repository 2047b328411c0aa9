package wire

import (
	"encoding/json"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// The names of control events, the same on all transports.
const (
	Open          = "push.open"
	Heartbeat     = "push.heartbeat"
	Gap           = "push.gap"
	Subscriptions = "push.subscriptions" // data: push.SubscriptionsData
	Expiring      = "push.expiring"
	Close         = "push.close"
	Reply         = "push.reply"
)

// OpenData is the data of push.open.
type OpenData struct {
	Connection string   `json:"connection"`
	Topics     []string `json:"topics"`
	Heartbeat  int64    `json:"heartbeat"` // ms

	Expires time.Time `json:"expires,omitzero"` // of the credentials
}

// ExpiringData is the data of push.expiring: without new credentials the stream
// ends then.
type ExpiringData struct {
	Expires time.Time `json:"expires"`
	In      int64     `json:"in"` // ms
}

// GapData is the data of push.gap: events in (From, To] may be gone.
type GapData struct {
	From   string      `json:"from"`
	To     string      `json:"to"`
	Reason push.Reason `json:"reason"`
	Topics []string    `json:"topics"`
}

// CloseData is the data of push.close.
type CloseData struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
	Retry  int64  `json:"retry,omitempty"` // ms
}

// NewGapData returns the data of a gap.
func NewGapData(g *push.Gap, topics []string) GapData {
	return GapData{g.From.String(), g.To.String(), g.Reason, topics}
}

// NewCloseData returns the data of a stream's end.
func NewCloseData(e *push.CloseError) CloseData {
	return CloseData{e.Code, e.Reason, e.Retry.Milliseconds()}
}

// AppendControl appends a control event as an envelope.
func AppendControl(dst []byte, id push.ID, name string, data any) []byte {
	dst = append(dst, `{"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, `","event":`...)
	dst = AppendString(dst, name)
	dst = append(dst, `,"data":`...)
	return append(AppendData(dst, data), '}')
}

// AppendData appends data, which must encode to JSON; nil is {}.
func AppendData(dst []byte, data any) []byte {
	if data == nil {
		return append(dst, "{}"...)
	}
	b, err := json.Marshal(data)
	if err != nil {
		panic("wire: data of a control event: " + err.Error())
	}
	return append(dst, b...)
}

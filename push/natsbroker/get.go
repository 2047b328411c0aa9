package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// getRequest asks a stream for messages: the one with a sequence, the newest of
// a subject, or those of a subject from a sequence on.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`     // only with getBatch
	MaxBytes int    `json:"max_bytes,omitempty"` // only with getBatch
}

// get asks the stream's leader for one message. A follower might lag; so what
// decides over a gap or an epoch is read here.
func (b *Broker) get(ctx context.Context, r getRequest) (*stored, error) {
	return b.getFrom(ctx, b.cfg.Stream, r)
}

func (b *Broker) getFrom(ctx context.Context, stream string, r getRequest) (*stored, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	answer, err := b.nc.RequestWithContext(ctx, b.api+"STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &resp); err != nil {
		return nil, err
	}
	switch {
	case resp.Error == nil:
	case resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case resp.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, jetstream.ErrStreamNotFound
	default:
		return nil, resp.Error
	}
	m := resp.Message
	header, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil && len(m.Header) > 0 {
		return nil, err
	}
	return &stored{subject: m.Subject, seq: m.Seq, time: m.Time, header: header, data: m.Data}, nil
}

// getBatch asks any replica of a stream for messages of one subject in order,
// and returns how many more it has.
func (b *Broker) getBatch(ctx context.Context, stream string, r getRequest) (list []*stored, more uint64, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, 0, err
	}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.nc.PublishRequest(b.api+"DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, 0, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, 0, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			s, err := fromDirect(m)
			if err != nil {
				return nil, 0, err
			}
			list = append(list, s)
		case "204": // the end of the batch
			more, err = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			return list, more, err
		case "404":
			return list, 0, nil
		case "503":
			return nil, 0, nats.ErrNoResponders
		default:
			return nil, 0, fmt.Errorf("direct get from stream %q: %s %s", stream, status, m.Header.Get("Description"))
		}
	}
}

func fromDirect(m *nats.Msg) (*stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("direct get: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("direct get: %w", err)
	}
	return &stored{subject: m.Header.Get(jetstream.SubjectHeader), seq: seq, time: at, header: m.Header, data: m.Data}, nil
}

// deleted reports whether a stream is not there. Its subjects have no responders
// then, and that is all that a direct get says.
func deleted(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// deletedAnswer reads what the server says to the deletion of a message.
func deletedAnswer(data []byte) (bool, error) {
	var resp struct {
		Success bool                `json:"success"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &resp); err != nil {
		return false, err
	}
	switch {
	case resp.Success:
		return true, nil
	case resp.Error == nil:
		return false, errors.New("the server neither deleted a message nor said why")
	case resp.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return false, jetstream.ErrStreamNotFound
	case resp.Error.Code == 404 || strings.Contains(resp.Error.Description, "no message found"):
		return false, nil
	}
	return false, resp.Error
}

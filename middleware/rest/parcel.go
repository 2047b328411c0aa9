package rest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// A parcel goes from one node to another through the store, in as many parts as
// it needs. It is taken once, or thrown away after parcelLife.
const (
	parcelLife   = 10 * time.Second
	questionKeys = "relay/q/"
	answerKeys   = "relay/a/"
)

var errNoParcel = errors.New("rest: a parcel of another node is not in the store any more")

func (n *node) putParcel(ctx context.Context, key string, v any) (parts int, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(data, push.MaxStoreValue) {
		if err := n.h.hub.Store().Set(ctx, partKey(key, parts), part, parcelLife); err != nil {
			return 0, err
		}
		parts++
	}
	return parts, nil
}

func (n *node) takeParcel(ctx context.Context, key string, parts int, v any) error {
	var data []byte
	for i := range parts {
		part, ok, err := n.h.hub.Store().Take(ctx, partKey(key, i))
		if err == nil && !ok {
			err = errNoParcel
		}
		if err != nil {
			return err
		}
		data = append(data, part...)
	}
	return json.Unmarshal(data, v)
}

func partKey(key string, i int) string { return key + "/" + strconv.Itoa(i) }

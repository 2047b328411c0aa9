package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// maxBatch is the most messages that one request reads.
const maxBatch = 1024

// read appends to found about want events from a sequence on, and returns the
// sequence from which on to read further, beyond end if there is nothing more.
func (r *reading) read(ctx context.Context, from uint64, want int) (next uint64, err error) {
	if from > r.end.Seq || len(r.filters) == 0 {
		return r.end.Seq + 1, nil
	}
	lists := make([][]*stored, len(r.filters))
	ends := make([]uint64, len(r.filters)) // each list has all up to there
	err = parallel(ctx, len(r.filters), func(ctx context.Context, i int) (err error) {
		lists[i], ends[i], err = r.readOne(ctx, r.filters[i], from, min(max(want, 1), maxBatch))
		return err
	})
	if err != nil {
		return 0, err
	}
	upto := min(slices.Min(ends), r.end.Seq)
	var all []*stored
	for _, l := range lists {
		all = append(all, l...)
	}
	slices.SortFunc(all, func(a, b *stored) int { return cmp.Compare(a.seq, b.seq) })
	all = slices.CompactFunc(all, func(a, b *stored) bool { return a.seq == b.seq }) // filters may overlap
	for _, m := range all {
		if m.seq > upto {
			break
		}
		if e, ok := r.event(m, r.epoch); ok && r.match(e.Topic) {
			r.found = append(r.found, e)
		}
	}
	return upto + 1, nil
}

// readOne reads a batch of one filter, and returns up to where there is nothing
// else.
func (r *reading) readOne(ctx context.Context, filter string, from uint64, want int) ([]*stored, uint64, error) {
	list, more, err := r.getBatch(ctx, r.cfg.Stream, getRequest{Seq: from, NextFor: filter, Batch: want, MaxBytes: maxPageBytes})
	if err != nil {
		return nil, 0, err
	}
	last := from - 1
	if len(list) > 0 {
		last = list[len(list)-1].seq
	}
	if more > 0 && len(list) > 0 || last >= r.end.Seq {
		return list, last, nil
	}
	if r.replicas <= 1 {
		return list, r.end.Seq, nil
	}
	// The replica has no more. It may lag; the leader knows.
	m, err := r.get(ctx, getRequest{Seq: last + 1, NextFor: filter})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return list, r.end.Seq, nil
	case err != nil:
		return nil, 0, err
	case m.seq > r.end.Seq:
		return list, r.end.Seq, nil
	}
	return append(list, m), m.seq, nil
}

// startOfNewest returns a sequence from which on about want events match, not
// fewer unless it is the first one after After.
func (r *reading) startOfNewest(ctx context.Context, want uint64) (uint64, error) {
	lowest, end := r.q.After.Seq+1, r.end.Seq
	if end < lowest {
		return lowest, nil
	}
	beyond, err := r.countFrom(ctx, end+1)
	if err != nil {
		return 0, err
	}
	few := end + 1 // fewer than want from here on
	for span := want; ; span *= 4 {
		from := lowest
		if end-lowest >= span {
			from = end + 1 - span
		}
		n, err := r.countFrom(ctx, from)
		if err != nil {
			return 0, err
		}
		if n -= min(beyond, n); n >= want || from == lowest {
			return r.narrow(ctx, from, few, n, want, beyond)
		}
		few = from
	}
}

// narrow moves from forward as long as it finds that n, which is how many match
// from there on, is much more than want.
func (r *reading) narrow(ctx context.Context, from, few, n, want, beyond uint64) (uint64, error) {
	for n > 2*want+16 && few-from > 1 {
		mid := from + (few-from)/2
		m, err := r.countFrom(ctx, mid)
		if err != nil {
			return 0, err
		}
		if m -= min(beyond, m); m < want {
			few = mid
			continue
		}
		from, n = mid, m
	}
	return from, nil
}

// countFrom counts the messages that match from a sequence on. Where filters
// overlap it counts too many, and on a replica that lags too few.
func (r *reading) countFrom(ctx context.Context, from uint64) (uint64, error) {
	counts := make([]uint64, len(r.filters))
	err := parallel(ctx, len(r.filters), func(ctx context.Context, i int) error {
		list, more, err := r.getBatch(ctx, r.cfg.Stream, getRequest{Seq: from, NextFor: r.filters[i], Batch: 1})
		counts[i] = uint64(len(list)) + more
		return err
	})
	var n uint64
	for _, c := range counts {
		n += c
	}
	return n, err
}

// parallel calls f with 0 to n-1, a few at a time, and returns the first error.
func parallel(ctx context.Context, n int, f func(context.Context, int) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const atOnce = 16
	turns := make(chan int)
	var all sync.WaitGroup
	for range min(n, atOnce) {
		all.Go(func() {
			for i := range turns {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	all.Wait()
	return context.Cause(ctx)
}

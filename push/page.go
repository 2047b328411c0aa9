package push

import "slices"

// page reads a page of history from the log, and returns with it the newest
// sequence that may have been removed of what matches. The caller holds mu and
// has verified q.After.
func (l *log) page(q Query) (p Page, hole uint64) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	end := l.head
	switch {
	case q.Before.IsZero():
	case q.Before.Epoch != l.head.Epoch:
		end = l.id(0)
	case q.Before.Seq <= l.head.Seq:
		end = l.id(max(q.Before.Seq, 1) - 1)
	}
	lists, hole := l.matching(q.Topics, q.After.Seq, end.Seq)
	var cut bool
	if q.Latest {
		p.Events, cut = take(mergedBack(lists), limit)
		slices.Reverse(p.Events)
		p.Upto = end
	} else if p.Events, cut = take(merged(lists), limit); cut {
		p.Upto = p.Events[len(p.Events)-1].ID
	} else {
		p.Upto = end
	}
	if p.Upto.Seq < q.After.Seq { // Before lies before After
		p.Upto = q.After
	}
	from := q.After
	if q.After.IsZero() || q.Latest && cut { // it is asked for from its first event on
		if len(p.Events) == 0 {
			return p, hole
		}
		from = p.Events[0].ID
	}
	if hole > from.Seq {
		p.Gap = &Gap{From: from, To: l.id(hole), Reason: ReasonTrimmed}
	}
	return p, hole
}

// take returns the first limit events of seq that belong to history, and
// whether there are more.
func take(seq func(func(*Message) bool), limit int) (events []Event, cut bool) {
	bytes := 0
	for m := range seq {
		if m.gone || m.ephemeral {
			continue
		}
		if len(events) == limit || bytes > maxBatchBytes {
			return events, true
		}
		events = append(events, m.Event)
		bytes += int(m.size)
	}
	return events, false
}

// nthNewest returns the sequence of the newest event but n-1 in the history of
// topics, of the oldest one if there are fewer, and 0 if there is none.
func (l *log) nthNewest(topics []string, n int) (seq uint64) {
	lists, _ := l.matching(topics, 0, l.head.Seq)
	for m := range mergedBack(lists) {
		if m.gone || m.ephemeral {
			continue
		}
		seq = m.ID.Seq
		if n--; n == 0 {
			break
		}
	}
	return seq
}

// matching returns the lists whose merger is what matches in (after, end], and
// the newest sequence that may have been removed of it.
func (l *log) matching(topics []string, after, end uint64) (lists [][]*Message, hole uint64) {
	for _, name := range topics {
		var list []*Message
		switch t, f := l.topics[name], l.patterns[name]; {
		case t != nil:
			list, hole = t.ring.after(after), max(hole, t.hole(l.floor, 0))
		case f != nil && f.from <= after:
			list, hole = f.ring.after(after), max(hole, f.hole(l.floor, 0))
		case IsPattern(name):
			var s uint64
			list, s = l.gather(name, after)
			hole = max(hole, s, l.floor)
		case !l.rule(name).ephemeral:
			hole = max(hole, l.floor)
		}
		for len(list) > 0 && list[len(list)-1].ID.Seq > end {
			list = list[:len(list)-1]
		}
		if len(list) > 0 {
			lists = append(lists, list)
		}
	}
	return lists, hole
}

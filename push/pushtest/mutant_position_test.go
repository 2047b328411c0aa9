package pushtest

import (
	"context"
	"slices"

	"github.com/dualpush-go/dualpush/push"
)

var positionMutants = []mutant{
	{breaks: "Position/increases", how: "gives two events one sequence", broker: func(b *broken) {
		half := func(id push.ID) push.ID { return push.ID{Epoch: id.Epoch, Seq: (id.Seq + 1) / 2} }
		next := b.publish
		b.publish = func(ctx context.Context, events []push.Event) ([]push.ID, error) {
			ids, err := next(ctx, events)
			for i := range ids {
				ids[i] = half(ids[i])
			}
			return ids, err
		}
		b.shows(func(e *push.Event) { e.ID = half(e.ID) })
	}},
	{breaks: "Position/other_epoch", how: "forgets the epoch", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID {
			if !id.IsZero() {
				id.Epoch = b.at().Epoch
			}
			return id
		})
	}},
	{breaks: "Position/beyond_head", how: "takes what lies beyond the head for the head", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID {
			if head := b.at(); id.Epoch == head.Epoch && id.Seq > head.Seq {
				return head
			}
			return id
		})
	}},
	{breaks: "Position/other_check", how: "ignores the check", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID { return push.ID{Epoch: id.Epoch, Seq: id.Seq} })
	}},
	{breaks: "Position/unknown_check", how: "takes an unknown check for another", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID {
			if id.Seq > 0 && id.Check == 0 {
				id.Check = 1
			}
			return id
		})
	}},
	{breaks: "Position/gone", how: "takes a position whose event is gone for another epoch", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID {
			named := func(e push.Event) bool { return e.ID.Seq == id.Seq }
			if id.Seq > 0 && !slices.ContainsFunc(b.kept("**"), named) {
				id.Epoch = another(id.Epoch)
			}
			return id
		})
	}},
	{breaks: "Position/zero", how: "makes a gap after the zero ID", broker: func(b *broken) {
		b.answers(func(q push.Query, p *push.Page) {
			if q.After.IsZero() && p.Gap == nil {
				p.Gap = &push.Gap{To: b.at(), Reason: push.ReasonTrimmed}
			}
		})
	}},
	{breaks: "Position/zero", how: "takes the zero ID for the beginning", broker: beginsAtZero},
	{breaks: "Position/before_first", how: "takes the head of the empty log for the zero ID", broker: func(b *broken) {
		b.takes(func(id push.ID) push.ID {
			if id.Seq == 0 {
				return push.ID{}
			}
			return id
		})
	}},
	{breaks: "Position/before_first", how: "has no epoch while it is empty", broker: headless},
}

// beginsAtZero takes the zero ID for the head that the empty log had.
func beginsAtZero(b *broken) {
	b.takes(func(id push.ID) push.ID {
		if id.IsZero() {
			return push.ID{Epoch: b.at().Epoch}
		}
		return id
	})
}

// headless has no epoch before its first event.
func headless(b *broken) {
	b.head = func(ctx context.Context) (push.ID, error) {
		id, err := b.Broker.Head(ctx)
		if id.Seq == 0 {
			id.Epoch = 0
		}
		return id, err
	}
}

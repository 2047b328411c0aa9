package push_test

import (
	"testing"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest"
)

func TestMemoryConformance(t *testing.T) {
	pushtest.Run(t, pushtest.Harness{
		Synctest: true,
		New: func(_ testing.TB, rules ...push.Rule) (pushtest.Instance, error) {
			b := push.NewMemory(push.Rules(rules...))
			return pushtest.Instance{Broker: b, Purge: b.Purge}, nil
		},
	})
}

package rest_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

func TestBucketsForgetNothingThatCounts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		perSecond, burst := rapid.Float64Range(0.1, 10).Draw(rt, "rate"), rapid.IntRange(1, 5).Draw(rt, "burst")
		type step struct {
			key   string
			pause time.Duration
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"), time.Duration(rapid.IntRange(0, 3000).Draw(rt, "pause")) * time.Millisecond}
		}), 1, 60).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			b, model := rest.NewBuckets(perSecond, burst), map[string]*rate.Limiter{}
			for i, s := range steps {
				time.Sleep(s.pause)
				if model[s.key] == nil {
					model[s.key] = rate.NewLimiter(rate.Limit(perSecond), burst)
				}
				if got, want := b.Take(s.key), model[s.key].Allow(); got != want {
					t.Fatalf("step %d: %v, want %v", i, got, want)
				}
			}
		})
	})
}

func TestAddressesWithoutEndDoNotFillTheMemory(t *testing.T) {
	b := rest.NewBuckets(1, 10)
	active := 0
	for i := range 300_000 {
		b.Take(strconv.Itoa(i))
		if i%1000 == 0 && b.Take("active") {
			active++
		}
		if n := b.Len(); n > 2*rest.MaxBuckets {
			t.Fatalf("%d buckets after %d addresses", n, i)
		}
	}
	if active > 60 {
		t.Errorf("who was active all the time could take %d tokens, of 10 and one a second: its bucket was forgotten", active)
	}
}

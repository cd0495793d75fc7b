package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/outbound"
)

func newCache() *outbound.Cache[string] {
	return outbound.NewCache[string](outbound.CacheConfig{Fresh: time.Hour, Keep: 24 * time.Hour, Cooldown: time.Minute,
		Most: 4, Patience: 10 * time.Second})
}

func TestCacheFetchesOnceForAllWhoWaitWhoeverGoesAway(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	c, release := newCache(), make(chan struct{})
	var calls atomic.Int32
	fetch := func(ctx context.Context) (string, error) {
		calls.Add(1)
		<-release
		return "value", ctx.Err()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(gone, "u", now, nil, fetch); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if v, err := c.Get(t.Context(), "u", now, nil, fetch); err != nil || v != "value" {
				t.Errorf("%q %v", v, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d fetches", calls.Load())
	}
}

func TestCacheForgetsWhatWasNotUsedForLongest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	c := newCache()
	calls := 0
	get := func(key string) {
		t.Helper()
		if _, err := c.Get(t.Context(), key, now, nil, func(context.Context) (string,
			error) {
			calls++
			return key, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		get(fmt.Sprint(i))
	}
	get("0")
	get("new")
	if get("0"); calls != 5 {
		t.Errorf("%d fetches: the one that was used is gone", calls)
	}
	if get("1"); calls != 6 {
		t.Errorf("%d fetches: the one that was not used is still there", calls)
	}
}

func TestCacheLeavesAnAddressAloneThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	c := newCache()
	calls, broken := 0, errors.New("broken")
	get := func(err error, lacking func(string) bool) (string, error) {
		return c.Get(t.Context(), "u", now, lacking, func(context.Context) (string,
			error) {
			calls++
			return fmt.Sprint(calls), err
		})
	}
	if _, err := get(broken, nil); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := get(nil, nil); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("within the cooldown: %v, %d looks", err, calls)
	}
	now = now.Add(time.Minute)
	if v, err := get(nil, nil); err != nil || v != "2" {
		t.Errorf("after the cooldown: %q %v", v, err)
	}
	always := func(string) bool { return true }
	if v, err := get(nil, always); err != nil || v != "2" || calls != 2 {
		t.Errorf("what lacks something is looked for again within the cooldown: %q %v", v, err)
	}
	now = now.Add(time.Minute)
	if v, err := get(nil, always); err != nil || v != "3" {
		t.Errorf("what lacks something is not looked for again: %q %v", v, err)
	}
	now = now.Add(2 * time.Hour)
	if v, err := get(broken, nil); err != nil || v != "3" {
		t.Errorf("the last good value does not go on: %q %v", v, err)
	}
	now = now.Add(22 * time.Hour) // a day after it came
	if v, err := get(broken, nil); !errors.Is(err, broken) || v != "" {
		t.Errorf("the last good value goes on for ever: %q %v", v, err)
	}
	if v, err := get(broken, nil); !errors.Is(err, broken) || v != "" {
		t.Errorf("and within the cooldown: %q %v", v, err)
	}
	now = now.Add(time.Minute)
	if v, err := get(nil, nil); err != nil || v != fmt.Sprint(calls) {
		t.Errorf("an address that answers again: %q %v", v, err)
	}
}

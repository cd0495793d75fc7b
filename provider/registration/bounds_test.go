package registration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	picturePNG = "\x89PNG\r\n\x1a\n and so on"
	pictureGIF = "GIF89a and so on"
)

func TestLimitsAreBoundedAndCountIPv6ByNetwork(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := newRegistrationLimits(1)
	if l.count("2001:db8::1", now) != 0 || l.count("2001:db8::2", now) == 0 || l.count("2001:db8:0:1::1", now) != 0 {
		t.Error("a /64 has more than one window")
	}
	for i := range 2 * maxWindows {
		l.count(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), now)
	}
	if n := len(l.windows); n > maxWindows+1 {
		t.Errorf("%d windows", n)
	}
	if l.count("192.0.2.1", now) == 0 {
		t.Error("whoever has many addresses has no limit")
	}
	if l.count("192.0.2.1", now.Add(time.Hour)) != 0 {
		t.Error("windows do not end")
	}
	if l := newRegistrationLimits(0); l.count("192.0.2.1", now) != 0 || len(l.windows) != 0 {
		t.Error("0 is no limit")
	}
}

func TestLogoCache(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	t.Run("one fetch for everybody who waits, whoever goes away", func(t *testing.T) {
		t.Parallel()
		c, release := newLogoCache(), make(chan struct{})
		var calls atomic.Int32
		fetch := func(ctx context.Context, _ string, _ int64, _ ...string) ([]byte, error) {
			calls.Add(1)
			<-release
			return []byte(picturePNG), ctx.Err()
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.get(gone, "u", now, fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if picture, mediaType, err := c.get(t.Context(), "u", now, fetch); err != nil || string(picture) != picturePNG || mediaType != "image/png" {
					t.Errorf("%q %v", mediaType, err)
				}
			})
		}
		close(release)
		wg.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d fetches", calls.Load())
		}
	})
	t.Run("what was not used for longest goes", func(t *testing.T) {
		t.Parallel()
		c := newLogoCache()
		var calls atomic.Int32
		fetch := func(context.Context, string, int64, ...string) ([]byte, error) {
			calls.Add(1)
			return []byte(pictureGIF), nil
		}
		get := func(uri string) {
			if _, _, err := c.get(t.Context(), uri, now, fetch); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxLogos {
			get(fmt.Sprint(i))
		}
		get("0")
		get("new")
		if len(c.entries) != maxLogos || c.recent.Len() != maxLogos || calls.Load() != maxLogos+1 {
			t.Errorf("%d entries, %d fetches", len(c.entries), calls.Load())
		}
		get("0")
		if calls.Load() != maxLogos+1 {
			t.Error("the one that was used is gone")
		}
		get("1")
		if calls.Load() != maxLogos+2 {
			t.Error("the one that was not used is still there")
		}
	})
}

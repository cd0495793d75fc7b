package web_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/provider/web"
)

func TestLimitCountsByKeyAndWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := web.NewLimit(2, time.Hour)
	for i, want := range []time.Duration{0, 0, time.Hour, time.Hour} {
		if got := l.Count("a", now); got != want {
			t.Errorf("event %d waits %s, want %s", i, got, want)
		}
	}
	if l.Wait("b", now) != 0 || l.Wait("a", now.Add(10*time.Minute)) != 50*time.Minute ||
		l.Wait("a", now.Add(time.Hour)) != 0 {
		t.Error("another key, and the same one later, are counted wrongly")
	}
	l.Reset()
	if l.Wait("a", now) != 0 {
		t.Error("Reset forgets nothing")
	}
	if none := web.NewLimit(0, time.Hour); none.Count("a", now) != 0 || none.Count("a", now) != 0 {
		t.Error("0 is a limit")
	}
}

func TestLimitIsBoundedAndManyKeysShareOneWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := web.NewLimit(1, time.Hour)
	for i := range 20_000 {
		l.Count(fmt.Sprint(i), now)
	}
	if l.Count("new", now) == 0 {
		t.Error("an attacker with many keys has no limit")
	}
	if l.Count("new", now.Add(time.Hour)) != 0 {
		t.Error("windows do not end")
	}
}

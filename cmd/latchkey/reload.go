package main

import (
	"context"
	"os"
	"sync/atomic"
)

// reload is what SIGHUP means: a server reads again what it can, any other command ends.
type reload struct {
	signals <-chan os.Signal
	taken   atomic.Bool
}

type reloadKey struct{}

// withReload carries the signals to serve. While nobody takes them, each calls end: a command at a
// terminal that is closed should not stay.
func withReload(ctx context.Context, signals <-chan os.Signal, end func()) context.Context {
	r := &reload{}
	ctx, cancel := context.WithCancel(ctx)
	passed := make(chan os.Signal, 1)
	r.signals = passed
	go func() {
		for s := range signals {
			if !r.taken.Load() {
				cancel()
				end()
				return
			}
			select {
			case passed <- s:
			default: // one is waiting
			}
		}
	}()
	return context.WithValue(ctx, reloadKey{}, r)
}

// reloads are the signals that ask a server to read again what it can; nil if there are none.
func reloads(ctx context.Context) <-chan os.Signal {
	r, ok := ctx.Value(reloadKey{}).(*reload)
	if !ok {
		return nil
	}
	r.taken.Store(true)
	return r.signals
}

package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"latchkey/provider/storage"
)

// besideConnections is how many clients ask for tokens while something changes many records.
const besideConnections = 4

// besidePeople bounds how many people are applied.
const besidePeople = 10_000

// besideLongest bounds how long it is watched.
const besideLongest = 30 * time.Minute

// whileManyChange shows how long requests wait while many records change at once: a cleanup removes
// what has expired, and commands beside the server delete an application with as many grants as
// there are rows and apply a file of people.
func (t *site) whileManyChange(ctx context.Context, o options, rows int, figure func(string, float64, string,
	float64)) error {
	report := func(when string, m *measured) {
		figure("refresh"+when+", p50", float64(m.latency.quantile(.5))/1e6, "ms", 0)
		figure("refresh"+when+", p95", float64(m.latency.quantile(.95))/1e6, "ms", 0)
		figure("refresh"+when+", longest", float64(m.latency.max)/1e6, "ms", 0)
	}
	quiet, err := t.refresh(variants[0], besideConnections)
	if err != nil {
		return err
	}
	m, _, err := quiet.run(ctx, t.addr, t.pid(), seconds(2*o.seconds))
	if err != nil {
		return err
	}
	report(", quiet", m)
	if err := t.stop(); err != nil {
		return err
	}
	if err := t.seed(ctx, rows, true); err != nil {
		return err
	}
	if err := t.manyGrants(ctx, rows); err != nil {
		return err
	}
	if _, err := t.start(ctx); err != nil {
		return err
	}
	for _, c := range []struct {
		what string
		do   func(context.Context) error
	}{
		{fmt.Sprintf("%d expired rows are removed", 2*rows), t.untilCleanedUp},
		{fmt.Sprintf("an application with %d grants is deleted", rows), func(ctx context.Context) error {
			return t.run(ctx, "", "client", "delete", crowded, "--yes")
		}},
		{fmt.Sprintf("%d people are applied", min(rows, besidePeople)), func(ctx context.Context) error {
			var file strings.Builder
			file.WriteString("people:\n")
			for i := range min(rows, besidePeople) {
				fmt.Fprintf(&file, "  - {username: applied%d, claims: {name: Person %d}}\n", i, i)
			}
			return t.run(ctx, file.String(), "apply", "-")
		}},
	} {
		m, took, err := t.beside(ctx, c.do)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		report(" while "+c.what, m)
		figure(c.what, took.Seconds(), "seconds", 0)
	}
	return nil
}

// beside refreshes tokens until do returns.
func (t *site) beside(ctx context.Context, do func(context.Context) error) (*measured, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, besideLongest)
	defer cancel()
	j, err := t.refresh(variants[0], besideConnections)
	if err != nil {
		return nil, 0, err
	}
	var ended atomic.Bool
	for i, w := range j.workers {
		j.workers[i] = func(c *conn) error {
			if ended.Load() {
				return errExhausted
			}
			return w(c)
		}
	}
	j.limited = true // no time to warm up: it begins now
	done, begun := make(chan error, 1), time.Now()
	var took time.Duration
	go func() {
		err := do(ctx)
		took = time.Since(begun)
		ended.Store(true)
		done <- err
	}()
	m, _, err := j.run(ctx, t.addr, t.pid(), besideLongest)
	if err != nil {
		return nil, 0, err
	}
	err = <-done
	return m, took, err
}

// untilCleanedUp returns when nothing is left of what seed has stored as expired.
func (t *site) untilCleanedUp(ctx context.Context) error {
	store, err := t.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	for {
		left, err := store.LapsedSessions(ctx, time.Now(), 1)
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// crowded is an application that has many grants.
const crowded = "crowded"

func (t *site) manyGrants(ctx context.Context, rows int) error {
	client := fmt.Sprintf("clients:\n  - {client_id: %s, client_name: Crowded, type: web, redirect_uris: [%q], client_secret: %s}\n",
		crowded, callback, secret)
	if err := t.run(ctx, client, "apply", "-"); err != nil {
		return err
	}
	return t.seedWith(ctx, rows, func(ctx context.Context, store *storage.Store, i int) error {
		return store.CreateGrant(ctx, seededGrant(time.Now(), fmt.Sprintf("crowd-%d", i), crowded, ""))
	})
}

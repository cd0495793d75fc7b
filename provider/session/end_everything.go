package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"latchkey/provider/storage"
)

// How many sessions are read at a time, and how many of them are worked on at once: writers of one
// moment share a transaction.
const (
	everyPage     = 500
	everyParallel = 64
)

// every calls do for each session of the store that nobody has ended, several at a time.
func (ss *Sessions) every(ctx context.Context, do func(context.Context, storage.Session) error) error {
	for after := ""; ; {
		page, err := ss.Store.OpenSessions(ctx, after, everyPage)
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(everyParallel)
		for _, s := range page {
			group.Go(func() error { return do(within, s) })
			after = s.ID
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if len(page) < everyPage {
			return nil
		}
	}
}

// EndEverything ends every session, as End does, and revokes every grant, offline access included.
// It returns how many there were of each. Clients are told by DeliverLogouts, of whichever instance
// runs it. A fault of the store is returned; calling again goes on where it stopped.
func (ss *Sessions) EndEverything(ctx context.Context) (ended, revoked int, err error) {
	now := ss.Web.Now()
	// Grants first: End has none to revoke then, and nothing that was granted is good any more
	// should this be interrupted. Sessions keep themselves which clients they reached.
	if revoked, err = ss.Store.RevokeAllGrants(ctx, now); err != nil {
		return 0, 0, fmt.Errorf("revoke grants: %w", err)
	}
	var count atomic.Int64
	err = ss.every(ctx, func(ctx context.Context, s storage.Session) error {
		count.Add(1)
		_, err := ss.End(ctx, s)
		return err
	})
	return int(count.Load()), revoked, err
}

// TakeOver prepares ss to take the place of another store of the same installation, of which it is
// an older copy. A session that began after the copy was made is unknown to ss and so is over: its
// clients are told. A client that a session reached after that is told when the session ends. It
// returns how many sessions are over.
func (ss *Sessions) TakeOver(ctx context.Context, replaced *Sessions) (over int, err error) {
	var count atomic.Int64
	err = replaced.every(ctx, func(ctx context.Context, s storage.Session) error {
		ids, err := replaced.ReachedIDs(ctx, s.ID)
		if err != nil {
			return err
		}
		known, err := ss.Store.Session(ctx, s.ID)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			count.Add(1)
			return ss.announce(ctx, replaced, s)
		case err != nil:
			return fmt.Errorf("load session: %w", err)
		}
		for _, id := range ids {
			if slices.Contains(known.Clients, id) {
				continue
			}
			if _, err := ss.Reach(ctx, known, id); err != nil {
				return err
			}
		}
		return nil
	})
	return int(count.Load()), err
}

// announce stores in ss what the clients of a session of replaced are to be told. Their sub is the
// one that replaced gave them.
func (ss *Sessions) announce(ctx context.Context, replaced *Sessions, s storage.Session) error {
	reached, err := replaced.Reached(ctx, s.ID)
	if err != nil {
		return err
	}
	_, err = ss.storeDeliveries(ctx, replaced.deliveriesOf(s, reached, ss.Web.Now()))
	return err
}

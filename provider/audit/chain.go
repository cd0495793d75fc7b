package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"latchkey/provider/storage"
)

// Chain is what the chain over the log needs of a storage.Store.
type Chain interface {
	CreateEventSeal(ctx context.Context, seal storage.EventSeal) error
	EventSeals(ctx context.Context, after string, limit int) ([]storage.EventSeal, error)
	LastEventSeal(ctx context.Context) (storage.EventSeal, error)
	EventsBetween(ctx context.Context, after, upTo string, before time.Time, limit int) ([]storage.Event, error)
}

const (
	// sealAfter is how old an event is when it is sealed. By then it is settled, and so are those
	// of other instances whose clocks differ a little.
	sealAfter = 5 * time.Minute
	// SealEvery is how often a server should call Seal.
	SealEvery = 5 * time.Minute
	// sealed is how many events one seal covers at most.
	sealed = 500
)

// hashEvents is the hash of a seal: over the hash of the one before it, and over every event as
// encoding/json writes it, each with its length.
func hashEvents(previous string, events []storage.Event) (string, error) {
	h := sha256.New()
	add := func(text []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		h.Write(length[:])
		h.Write(text)
	}
	add([]byte(previous))
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			return "", fmt.Errorf("write event %s: %w", e.ID, err)
		}
		add(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Seal adds the events that are old enough to the chain, and returns how many. Several instances
// may call it at once.
func (l *Log) Seal(ctx context.Context, chain Chain) (n int, err error) {
	for {
		last, err := chain.LastEventSeal(ctx)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return n, fmt.Errorf("load the last seal: %w", err)
		}
		events, err := chain.EventsBetween(ctx, last.To, "", l.Now().Add(-sealAfter), sealed)
		if err != nil || len(events) == 0 {
			return n, err
		}
		number := 1
		if last.ID != "" {
			if number, err = strconv.Atoi(last.ID); err != nil {
				return n, fmt.Errorf("number of a seal: %w", err)
			}
			number++
		}
		seal := storage.EventSeal{ID: storage.EventSealID(number), Previous: last.Hash, From: events[0].ID,
			To: events[len(events)-1].ID, Count: len(events),
			SealedAt: l.Now().UTC().Truncate(time.Millisecond), Version: 1}
		if seal.Hash, err = hashEvents(seal.Previous, events); err != nil {
			return n, err
		}
		switch err := chain.CreateEventSeal(ctx, seal); {
		case err == nil:
			n += seal.Count
		case !errors.Is(err, storage.ErrConflict): // else another instance was faster
			return n, fmt.Errorf("seal events: %w", err)
		}
	}
}

// Run seals until ctx ends.
func (l *Log) Run(ctx context.Context, chain Chain) {
	tick := time.NewTicker(SealEvery)
	defer tick.Stop()
	for {
		if _, err := l.Seal(ctx, chain); err != nil && ctx.Err() == nil && l.Logger != nil {
			l.Logger.ErrorContext(ctx, "the audit log was not sealed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Verdict is what came of a look at the whole chain.
type Verdict struct {
	Seals   int      `json:"seals"`
	Events  int      `json:"events"`  // that are as they were sealed
	Expired int      `json:"expired"` // seals whose events are too old to be kept
	Open    int      `json:"open"`    // events that are not sealed yet
	Head    string   `json:"head"`    // the hash of the last seal
	Seen    bool     `json:"seen"`    // expect is the hash of one of the seals
	Faults  []string `json:"faults"`  // what is not as it was
}

// maxFaults bounds what is told of a log in which everything is wrong.
const maxFaults = 100

// Verify looks whether the log is as it was sealed. expect, if not "", is the hash of a seal that
// somebody noted elsewhere: a chain that was made anew does not have it.
func (l *Log) Verify(ctx context.Context, chain Chain, expect string) (v Verdict, err error) {
	v.Faults = []string{}
	fault := func(format string, args ...any) {
		if len(v.Faults) < maxFaults {
			v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
		}
	}
	keep := l.Keep
	if keep <= 0 {
		keep = DefaultKeep
	}
	oldest := storage.NewEventID(l.Now().Add(-keep))[:14] // what is older may be gone, or not yet
	last, to := storage.EventSeal{}, ""
	for {
		seals, err := chain.EventSeals(ctx, last.ID, sealed)
		if err != nil {
			return v, fmt.Errorf("list seals: %w", err)
		}
		if len(seals) == 0 {
			break
		}
		for _, s := range seals {
			v.Seals++
			if want := storage.EventSealID(v.Seals); s.ID != want {
				fault("seal %s is missing", want)
				v.Seals, _ = strconv.Atoi(s.ID)
			}
			if s.Previous != last.Hash {
				fault("seal %s does not follow the one before it", s.ID)
			}
			v.Seen = v.Seen || expect != "" && s.Hash == expect
			events, err := chain.EventsBetween(ctx, to, s.To, time.Time{}, 0)
			if err != nil {
				return v, fmt.Errorf("list events: %w", err)
			}
			hash, err := hashEvents(s.Previous, events)
			switch {
			case err != nil:
				return v, err
			case hash == s.Hash:
				v.Events += len(events)
			case s.From < oldest:
				v.Expired++
			default:
				fault("the %d events from %s to %s are not the %d that seal %s covers, or were changed", len(events),
					s.From, s.To, s.Count, s.ID)
			}
			last, to = s, s.To
		}
	}
	v.Head = last.Hash
	if expect != "" && !v.Seen {
		fault("no seal has the hash %s: the chain is another one, or was cut off", expect)
	}
	for {
		events, err := chain.EventsBetween(ctx, to, "", l.Now(), sealed)
		if err != nil {
			return v, fmt.Errorf("list events: %w", err)
		}
		if len(events) == 0 {
			return v, nil
		}
		v.Open += len(events)
		to = events[len(events)-1].ID
	}
}

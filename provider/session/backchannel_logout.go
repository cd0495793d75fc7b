package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

const (
	logoutAttempt = 5 * time.Second // one application may take so long to answer
	// nobody else tries the same delivery for so long; more than an attempt and its bookkeeping
	logoutLease       = 30 * time.Second
	logoutParallel    = 16              // attempts at a time, per instance
	logoutGiveUp      = 24 * time.Hour  // after which an application is not tried any more
	logoutBackoffMax  = time.Hour       // between two attempts
	logoutRefusalsMax = 5               // attempts, when the application answers that it will not
	logoutTokenTTL    = 2 * time.Minute // Back-Channel Logout §2.4: preferably at most two minutes
	lapsedPoll        = time.Minute     // how often sessions that ran out are looked for
	// how often an idle instance looks for what became due, or was left by another
	logoutPoll = 2 * time.Second
	// how long a person waits for their applications before the page goes on without them
	logoutPatience = 2 * time.Second
	logoutLook     = 200 * time.Millisecond // how often the waiting page looks for what another instance delivered
)

// backchannelLogoutEvent is the one member of a logout token's events claim
// (Back-Channel Logout §2.4).
const backchannelLogoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutSignals tells the deliveries' loop that there is work, and whoever waits for an outcome
// that there is one.
type logoutSignals struct {
	work     chan struct{}
	running  atomic.Int32 // loops in this process
	patience time.Duration

	mu       sync.Mutex
	progress chan struct{} // closed and replaced at every outcome
}

func newLogoutSignals() *logoutSignals {
	return &logoutSignals{work: make(chan struct{}, 1), patience: logoutPatience, progress: make(chan struct{})}
}

func (s *logoutSignals) wake() {
	select {
	case s.work <- struct{}{}:
	default: // it is awake already
	}
}

func (s *logoutSignals) outcome() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.progress)
	s.progress = make(chan struct{})
}

func (s *logoutSignals) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// scheduleLogout stores one delivery for every application that wants to hear by the back channel
// of the end of the session, and says whether there was one already. The identifier of a delivery
// follows from session and client, so that a session that is ended twice at once is announced once.
func (ss *Sessions) scheduleLogout(ctx context.Context, session storage.Session, reached []clients.Client,
	now time.Time) (had bool, err error) {
	return ss.storeDeliveries(ctx, ss.deliveriesOf(session, reached, now))
}

// deliveriesOf makes what scheduleLogout stores.
func (ss *Sessions) deliveriesOf(session storage.Session, reached []clients.Client,
	now time.Time) (due []storage.LogoutDelivery) {
	for _, c := range reached {
		if c.BackchannelLogoutURI == "" {
			continue
		}
		due = append(due, storage.LogoutDelivery{
			ID: session.ID + "." + storage.Hash(c.ID)[:22], LogoutID: session.ID, ClientID: c.ID, SessionID: session.ID,
			Subject: ss.Grants.Subject(c, session.UserID), NextAt: now, ExpiresAt: now.Add(logoutGiveUp),
			CreatedAt: now,
		})
	}
	return due
}

func (ss *Sessions) storeDeliveries(ctx context.Context, due []storage.LogoutDelivery) (had bool, err error) {
	// All at once, so that the store can write them together.
	var group errgroup.Group
	group.SetLimit(2 * logoutParallel)
	var already atomic.Bool
	for _, d := range due {
		group.Go(func() error {
			err := ss.Store.CreateLogoutDelivery(ctx, d)
			if errors.Is(err, storage.ErrConflict) {
				already.Store(true)
				return nil
			}
			if err != nil {
				return fmt.Errorf("store logout delivery: %w", err)
			}
			return nil
		})
	}
	err = group.Wait()
	return already.Load(), err
}

// makeDeliveriesDue makes the deliveries due at once that an earlier attempt to end the session
// left behind.
func (ss *Sessions) makeDeliveriesDue(ctx context.Context, logoutID string, now time.Time) error {
	deliveries, err := ss.Store.LogoutDeliveries(ctx, logoutID)
	if err != nil {
		return fmt.Errorf("list logout deliveries: %w", err)
	}
	for _, d := range deliveries {
		if d.DeliveredAt.IsZero() && d.NextAt.After(now) {
			d.NextAt, d.LastError = now, ""
			if err := ss.Store.UpdateLogoutDelivery(ctx, d); err != nil {
				return fmt.Errorf("update logout delivery: %w", err)
			}
		}
	}
	return nil
}

// DeliverLogouts tells applications by the back channel of sessions that have ended
// (Back-Channel Logout §2.5), until ctx is done; then it lets the attempts that are under way
// finish, which takes seconds, and returns. Every instance of a server runs it once: an application
// is told by one of them, and what one left behind another takes up.
func (ss *Sessions) DeliverLogouts(ctx context.Context) {
	ss.signals.running.Add(1)
	defer ss.signals.running.Add(-1)
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(logoutPoll)
	defer tick.Stop()
	places := make(chan struct{}, logoutParallel)
	wg.Go(func() { ss.endLapsedUntil(ctx) })
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case places <- struct{}{}:
		}
		d, err := ss.leaseLogout(ctx)
		if err == nil {
			wg.Go(func() {
				defer func() { <-places }()
				ss.deliver(context.WithoutCancel(ctx), d)
			})
			continue
		}
		<-places
		if !errors.Is(err, storage.ErrNotFound) && ctx.Err() == nil {
			ss.Logger.LogAttrs(ctx, slog.LevelError, "lease logout delivery", slog.String("reason", err.Error()))
		}
		select {
		case <-ctx.Done():
		case <-ss.signals.work:
		case <-tick.C:
		}
	}
}

// endLapsedUntil ends sessions that ran out, from time to time, until ctx is done.
func (ss *Sessions) endLapsedUntil(ctx context.Context) {
	tick := time.NewTicker(lapsedPoll)
	defer tick.Stop()
	for {
		err := ss.Store.CheckClock(ctx, ss.Web.Now())
		if err == nil {
			_, err = ss.EndLapsed(ctx)
		}
		if err != nil && ctx.Err() == nil {
			ss.Logger.LogAttrs(ctx, slog.LevelError, "end sessions that ran out", slog.String("reason", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Progress returns a channel that is closed at the next outcome of a delivery in this process.
func (ss *Sessions) Progress() <-chan struct{} { return ss.signals.next() }

// DeliverDue makes one attempt at each delivery that is due now, one after the other, and returns
// how many there were.
func (ss *Sessions) DeliverDue(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		d, err := ss.leaseLogout(ctx)
		if errors.Is(err, storage.ErrNotFound) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("lease logout delivery: %w", err)
		}
		ss.deliver(ctx, d)
	}
}

// leaseLogout takes one delivery that is due, for this instance alone.
func (ss *Sessions) leaseLogout(ctx context.Context) (storage.LogoutDelivery, error) {
	now := ss.Web.Now()
	return ss.Store.LeaseLogoutDelivery(ctx, now, now.Add(logoutLease))
}

// deliver makes one attempt and stores its outcome.
func (ss *Sessions) deliver(ctx context.Context, d storage.LogoutDelivery) {
	status, err := ss.attemptLogout(ctx, d)
	now, again := ss.Web.Now(), true
	level, message := slog.LevelWarn, "logout token not delivered"
	switch {
	case err == nil:
		level, message, again = slog.LevelInfo, "logout token delivered", false
		d.DeliveredAt, d.LastError = now, ""
	case errors.Is(err, errNobodyToTell):
		again = false
	case errors.Is(err, errSessionGoesOn), errors.Is(err, outbound.ErrForbidden), refused(status):
		again = d.Attempts < logoutRefusalsMax
	}
	attrs := []slog.Attr{slog.String("client_id", d.ClientID), slog.String("sid", d.SessionID),
		slog.Int("attempt", d.Attempts)}
	outcome := web.Delivered
	if err != nil {
		d.LastError, d.NextAt = web.Clip(outbound.Cause(err).Error(), 500), d.ExpiresAt
		if again {
			d.NextAt = now.Add(logoutBackoff(d.Attempts))
		}
		outcome = web.Failing
		if GivenUp(d, now) {
			outcome = web.GivenUp
		}
		attrs = append(attrs, slog.String("reason", d.LastError), slog.Bool("given_up", outcome == web.GivenUp))
	}
	if !errors.Is(err, errNobodyToTell) {
		ss.Web.Metrics.LogoutDelivery(outcome)
	}
	ss.Logger.LogAttrs(ctx, level, message, attrs...)
	ctx, cancel := context.WithTimeout(ctx, logoutAttempt)
	defer cancel()
	if err := ss.Store.UpdateLogoutDelivery(ctx, d); err != nil {
		// The lease runs out, and then it is tried again: told twice is better than not at all.
		ss.Logger.LogAttrs(ctx, slog.LevelError, "store outcome of logout delivery", slog.String("reason", err.Error()))
	}
	ss.signals.outcome()
}

// GivenUp reports whether the delivery will not be tried any more although it has not arrived.
func GivenUp(d storage.LogoutDelivery, now time.Time) bool {
	return d.DeliveredAt.IsZero() && (!d.NextAt.Before(d.ExpiresAt) || !now.Before(d.ExpiresAt))
}

var (
	errSessionGoesOn = errors.New("the session has not ended")
	errNobodyToTell  = errors.New("the application is gone, or wants no logout tokens any more")
)

// attemptLogout posts a logout token to the application (Back-Channel Logout §2.5). The status is 0
// when there was no answer.
func (ss *Sessions) attemptLogout(ctx context.Context, d storage.LogoutDelivery) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, logoutAttempt)
	defer cancel()
	session, err := ss.Store.Session(ctx, d.SessionID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return 0, fmt.Errorf("load session: %w", err)
	}
	if err == nil && session.EndedAt.IsZero() {
		return 0, errSessionGoesOn
	}
	client, err := ss.Store.Client(ctx, d.ClientID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && client.BackchannelLogoutURI == "" {
		return 0, errNobodyToTell
	}
	if err != nil {
		return 0, fmt.Errorf("load client: %w", err)
	}
	token, err := ss.LogoutToken(ctx, client, d)
	if err != nil {
		return 0, fmt.Errorf("make logout token: %w", err)
	}
	status, err = ss.Outbound.PostForm(ctx, client.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("the application answered with status %d", status)
	}
	return status, err
}

// refused reports whether the application understood and will not (Back-Channel Logout §2.8),
// rather than cannot just now. It is asked a few times more, because what answers may be in the
// middle of being replaced.
func refused(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooEarly &&
		status != http.StatusTooManyRequests
}

// logoutBackoff is how long to wait after so many attempts: 2 s, 4 s, 8 s … 1 h.
func logoutBackoff(attempts int) time.Duration {
	return min(logoutBackoffMax, 2*time.Second<<min(max(attempts-1, 0), 20))
}

// LogoutToken makes the token that tells one application of the end of a session
// (Back-Channel Logout §2.4). It can be taken for nothing else: its type is its own, it has no
// nonce, and it lives for two minutes.
func (ss *Sessions) LogoutToken(ctx context.Context, client clients.Client, d storage.LogoutDelivery) (string, error) {
	now := ss.Web.Now()
	return ss.Grants.Sign(ctx, logoutTokenAlgorithm(client), "logout+jwt", map[string]any{
		"iss":    ss.Web.Issuer,
		"sub":    d.Subject,
		"aud":    client.ID,
		"iat":    now.Unix(),
		"exp":    now.Add(logoutTokenTTL).Unix(),
		"jti":    storage.ShortID(),
		"events": map[string]any{backchannelLogoutEvent: map[string]any{}},
		"sid":    d.SessionID,
	})
}

// logoutTokenAlgorithm is the one that the client's ID tokens are signed with; never none, whatever
// those do (Back-Channel Logout §2.4).
func logoutTokenAlgorithm(client clients.Client) string {
	alg := client.IDTokenSignedResponseAlg
	if alg == "" || alg == "none" || strings.HasPrefix(alg, "HS") {
		return "RS256"
	}
	return alg
}

// AwaitLogout waits until every application of a logout was tried once, but not longer than a
// person likes to wait.
func (ss *Sessions) AwaitLogout(ctx context.Context, logoutID string) {
	if ss.signals.running.Load() == 0 {
		return // another process delivers; the page says so
	}
	ctx, cancel := context.WithTimeout(ctx, ss.signals.patience)
	defer cancel()
	look := time.NewTicker(logoutLook)
	defer look.Stop()
	for {
		progress := ss.Progress() // before looking, so that no outcome falls in between
		deliveries, err := ss.Store.LogoutDeliveries(ctx, logoutID)
		if err != nil {
			return
		}
		pending := false
		for _, d := range deliveries {
			pending = pending || d.DeliveredAt.IsZero() && d.LastError == ""
		}
		if !pending {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-progress:
		case <-look.C:
		}
	}
}

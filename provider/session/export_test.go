package session

import (
	"context"
	"net/http"
	"time"

	"latchkey/provider/storage"
)

// What only the tests of this package see.

const (
	LogoutBackoffMax  = logoutBackoffMax
	LogoutGiveUp      = logoutGiveUp
	LogoutLease       = logoutLease
	LogoutParallel    = logoutParallel
	LogoutRefusalsMax = logoutRefusalsMax
)

var (
	LogoutBackoff      = logoutBackoff
	SaltedSessionState = saltedState
)

func (ss *Sessions) SetStateCookie(w http.ResponseWriter, state string, maxAge int) {
	ss.setStateCookie(w, state, maxAge)
}

func (ss *Sessions) LeaseLogout(ctx context.Context) (storage.LogoutDelivery, error) {
	return ss.leaseLogout(ctx)
}

func (ss *Sessions) SetPatience(d time.Duration) { ss.signals.patience = d }

func (ss *Sessions) Loops() int32 { return ss.signals.running.Load() }

func (ss *Sessions) Wake() { ss.signals.wake() }

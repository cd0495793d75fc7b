package session

import (
	"log/slog"
	"time"

	"latchkey/provider/grants"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Lifetimes say how long sessions last. The caller sets all.
type Lifetimes struct {
	SessionIdle     time.Duration // without a request
	SessionAbsolute time.Duration
	RememberedIdle  time.Duration // of a session that the user wanted remembered
	RememberedMax   time.Duration
}

// Config is what Sessions needs. All fields must be set.
type Config struct {
	Web      *web.Site
	Store    *storage.Store
	Grants   *grants.Grants
	Outbound *outbound.Client
	Logger   *slog.Logger
	Lifetimes
}

// Sessions begins, renews and ends the sessions of browsers, and tells clients of their end.
type Sessions struct {
	Config
	signals *logoutSignals
}

// New makes Sessions.
func New(cfg Config) *Sessions { return &Sessions{Config: cfg, signals: newLogoutSignals()} }

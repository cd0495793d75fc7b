package main

import (
	"context"
	"log/slog"
	"slices"
)

// refusals passes on what a person in front of the demonstration wants to read: warnings, and
// requests that were refused, with the reason that the pages leave out.
type refusals struct{ slog.Handler }

// expected are answers to an application that asked with prompt=none (OIDC Core §3.1.2.6): each
// first visit is one.
var expected = []string{"login_required", "interaction_required", "consent_required", "account_selection_required"}

// Handle implements slog.Handler.
func (h refusals) Handle(ctx context.Context, r slog.Record) error {
	refused, wanted := r.Level >= slog.LevelWarn, true
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "reason", "cause":
			refused = true
		case "error":
			refused, wanted = true, !slices.Contains(expected, a.Value.String())
		}
		return wanted
	})
	if !refused || !wanted {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h refusals) WithAttrs(attrs []slog.Attr) slog.Handler {
	return refusals{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h refusals) WithGroup(name string) slog.Handler { return refusals{h.Handler.WithGroup(name)} }

// shorter leaves out of a line what says nothing on one's own machine.
func shorter(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && slices.Contains([]string{slog.TimeKey, slog.LevelKey, "duration", "address"}, a.Key) {
		return slog.Attr{}
	}
	return a
}

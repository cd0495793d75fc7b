package signin_test

import (
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// told lists the events of the audit log as lines, oldest first.
func told(t *testing.T, w *providertest.World) (lines []string) {
	t.Helper()
	w.Config.Audit.Wait()
	events, err := w.Store.Events(t.Context(), storage.EventFilter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		line := e.Actor.Kind + ":" + e.Actor.Name + " " + e.Verb + " " + e.Outcome
		if e.Reason != "" {
			line += " " + e.Reason
		}
		lines = append([]string{line}, lines...)
		if e.Address != "127.0.0.1" || e.RequestID == "" {
			t.Errorf("without an address or a reference: %+v", e)
		}
		if strings.Contains(string(e.After), providertest.TestPassword) || strings.Contains(e.Actor.Name, "hunter2") {
			t.Errorf("a secret: %+v", e)
		}
	}
	return lines
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSignInConsentAndSignOutAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a", providertest.AsksConsent)
	b := w.Browser()
	b.Code(c, "alice", "scope", "openid email")
	b.Code(c, "alice", "scope", "openid email") // signed in and allowed: nothing new to tell
	p := b.Open("/logout")
	b.Follow(b.Submit(p, "logout-confirm", url.Values{}))
	expect(t, told(t, w), "user:alice session.begin done", "user:alice consent.grant done",
		"user:alice session.end done")
	events, err := w.Store.Events(t.Context(), storage.EventFilter{Object: c.ID}, "", 10)
	if err != nil || len(events) != 1 || !strings.Contains(string(events[0].After), `"scope":["openid","email"]`) ||
		events[0].SessionID == "" {
		t.Errorf("%+v %v", events, err)
	}
}

func TestFailedSignInsAreInTheAuditLogWithTheirReason(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("bob")
	bob, err := w.Store.UserByUsername(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	bob.Disabled = true
	if err := w.Store.UpdateUser(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	b := w.Browser()
	try := func(username, password string) {
		t.Helper()
		b.Submit(b.Open("/account"), "login-submit", url.Values{"username": {username}, "password": {password}})
		w.Config.Audit.Wait()
	}
	try("alice", "wrong")
	try("bob", providertest.TestPassword)
	try("hunter2 is what somebody typed", "alice")
	expect(t, told(t, w), "user:alice session.begin refused wrong_password", "user:bob session.begin refused disabled",
		"user: session.begin refused unknown")
	for range 9 {
		try("alice", "wrong")
	}
	lines := told(t, w)
	expect(t, lines[len(lines)-2:], "user:alice session.begin refused wrong_password",
		"system:latchkey user.lock_out done")
	for range 5 {
		try("alice", providertest.TestPassword)
	}
	lines = told(t, w)
	locked := strings.Count(strings.Join(lines, "\n"), "user:alice session.begin refused locked")
	if outs := strings.Count(strings.Join(lines, "\n"), "lock_out"); locked != 5 || outs != 1 {
		t.Errorf("%d refused while locked, %d lock-outs", locked, outs)
	}
	// A flood of names that nobody has leaves few events.
	before := len(lines)
	for range 40 {
		try("nobody", "x")
	}
	if n := len(told(t, w)) - before; n > 12 {
		t.Errorf("40 attempts at unknown accounts left %d events", n)
	}
}

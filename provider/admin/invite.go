package admin

import (
	"context"
	"time"

	"latchkey/provider/storage"
)

// VerbUserInvite is to let a user choose a first password.
const VerbUserInvite = "user.invite"

// invitationTries is how long the mail of an invitation is tried to be sent.
const invitationTries = 3 * 24 * time.Hour

// Invite queues a mail with a link by which the user chooses a password. Faults if the user has no
// e-mail address. The mail leaves once a server with mail runs.
func (a *Admin) Invite(ctx context.Context, actor Actor, id string) (storage.User, error) {
	u, err := a.userFor(ctx, actor, VerbUserInvite, id)
	if err != nil {
		return u, err
	}
	if u.Claims.Email == "" {
		return u, Faults{{Field: "email", Reason: Missing, Text: "is needed for an invitation, and the user has none"}}
	}
	if u.Disabled {
		return u, Faults{{Field: "disabled", Reason: Invalid, Text: "users cannot be invited; enable the user first"}}
	}
	now := a.timestamp()
	return u, a.change(ctx, actor, VerbUserInvite, userObject(u), nil, nil, func() error {
		return a.Store.CreateMail(ctx, storage.Mail{ID: storage.NewID(now), Kind: storage.MailInvite, UserID: u.ID,
			CreatedAt: now, NextAt: now, ExpiresAt: now.Add(invitationTries)})
	})
}

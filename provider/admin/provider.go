package admin

import (
	"context"

	"latchkey/provider/storage"
)

// Verbs about the provider itself.
const (
	VerbMailRead   = "mail.read"
	VerbHealthRead = "health.read"
)

// Mails returns the mail queue and what became of mails, from the oldest on, beginning after the
// one with the given ID, at most limit.
func (a *Admin) Mails(ctx context.Context, actor Actor, after string, limit int) ([]storage.Mail, error) {
	if err := a.permit(ctx, actor, VerbMailRead, of("mail", "")); err != nil {
		return nil, err
	}
	return a.Store.Mails(ctx, after, limit)
}

// MayReadHealth returns nil if the actor may read the state of the provider, else ErrForbidden.
func (a *Admin) MayReadHealth(ctx context.Context, actor Actor) error {
	return a.permit(ctx, actor, VerbHealthRead, of("provider", ""))
}

// RolesFor lists the roles that permit a verb, of some object at least, the mightiest first.
func RolesFor(verb string) []string {
	var out []string
	for _, role := range storage.Roles {
		if may(holder{Actor: Actor{Kind: storage.ActorUser}, role: role}, verb, object{}) == nil {
			out = append(out, role)
		}
	}
	return out
}

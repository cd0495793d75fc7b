package people

import (
	"context"
	"errors"
	"fmt"

	"latchkey/provider/storage"
)

// FactorPolicy says who needs a second factor, whether or not they have set one up. What a client
// requires is said by the client.
type FactorPolicy struct {
	Groups interface {
		Group(ctx context.Context, name string) (storage.Group, error)
	}
	Everybody      bool
	Administrators bool // who has a role
}

// Why a user needs a second factor; ForGroup is followed by the name of the group.
const (
	ForEverybody      = "everybody needs a second factor"
	ForAdministrators = "administrators need a second factor"
	ForGroup          = "a second factor is needed in group "
)

// Requires says why the user needs a second factor, "" if they may do without. The error is a fault
// of the store.
func (p FactorPolicy) Requires(ctx context.Context, u storage.User) (why string, err error) {
	switch {
	case p.Everybody:
		return ForEverybody, nil
	case p.Administrators && u.Role != "":
		return ForAdministrators, nil
	}
	for _, name := range u.Groups {
		g, err := p.Groups.Group(ctx, name)
		switch {
		case errors.Is(err, storage.ErrNotFound): // it is being deleted
		case err != nil:
			return "", fmt.Errorf("load group: %w", err)
		case g.RequireSecondFactor:
			return ForGroup + name, nil
		}
	}
	return "", nil
}

// Proved reports whether a session, or a token, with the acr value is enough for this user, whatever
// a client wants: whoever has a second factor, or needs one, has to use it. The error is a fault of
// the store.
func (p FactorPolicy) Proved(ctx context.Context, acr string, u storage.User) (bool, error) {
	if Reaches(acr, ACRMultiFactor) {
		return true, nil
	}
	why, err := p.Requires(ctx, u)
	return err == nil && why == "" && Proved(acr, u), err
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// ChangeMasterKey puts another master key in place of the present one; see keys.Sealer.Rekey. It
// returns false, and leaves no event, if it is in place already. Reseal is to be called next.
func (a *Admin) ChangeMasterKey(ctx context.Context, actor Actor, master []byte) (changed bool, err error) {
	before := map[string]string{"master_key": a.Sealer.MasterKeyID()}
	after := map[string]string{"master_key": keys.MasterKeyID(master)}
	err = a.change(ctx, actor, VerbMasterKeyChange, of("master_key", ""), before, after, func() error {
		changed, err = a.Sealer.Rekey(ctx, master)
		return err
	})
	return changed, err
}

const (
	resealPage  = 200 // records that Reseal reads at once
	resealTries = 10  // of a record that others change at the same time
)

// Reseal seals every value in the records by the current sealing key, after a change of the master
// key (see keys.Sealer.Rekey). It returns how many values it sealed. It is safe beside changes of
// the same records, beside another Reseal, and to be broken off at any moment: each value is
// replaced by one conditional write, and opens before it as after it. A value that does not open
// stays as it is and is logged.
func (a *Admin) Reseal(ctx context.Context) (sealed int, err error) {
	begun := a.Now()
	for after := ""; ; {
		page, err := a.Store.Clients(ctx, after, resealPage)
		if err != nil {
			return sealed, fmt.Errorf("list clients: %w", err)
		}
		for _, c := range page {
			changed, err := a.resealClient(ctx, c)
			if err != nil {
				return sealed, err
			}
			if changed {
				sealed++
			}
			after = c.ID
		}
		if len(page) < resealPage {
			break
		}
	}
	for after := ""; ; {
		page, err := a.Store.Users(ctx, after, resealPage)
		if err != nil {
			return sealed, fmt.Errorf("list users: %w", err)
		}
		for _, u := range page {
			n, err := a.resealUser(ctx, u)
			if err != nil {
				return sealed, err
			}
			sealed, after = sealed+n, u.Username
		}
		if len(page) < resealPage {
			return sealed, a.Sealer.ResealDone(ctx, begun)
		}
	}
}

// resealUser seals the secrets of the user's authenticator applications by the current key, on
// whatever the user's record is by now.
func (a *Admin) resealUser(ctx context.Context, u storage.User) (sealed int, err error) {
	for range resealTries {
		sealed, u.Factors.TOTP = 0, slices.Clone(u.Factors.TOTP)
		for i, t := range u.Factors.TOTP {
			again, changed, err := a.Sealer.Reseal(t.Secret, storage.TOTPData(u.ID, t.ID))
			if err != nil {
				if a.Logger != nil {
					a.Logger.WarnContext(ctx, "the secret of an authenticator application does not open, and stays as it is", "sub", u.ID, "error", err)
				}
				continue
			}
			if changed {
				u.Factors.TOTP[i].Secret, sealed = slices.Clone(again), sealed+1
			}
		}
		if sealed == 0 {
			return 0, nil
		}
		switch err = a.Store.UpdateUser(ctx, u); {
		case err == nil:
			return sealed, nil
		case errors.Is(err, storage.ErrNotFound): // deleted meanwhile
			return 0, nil
		case !errors.Is(err, storage.ErrConflict):
			return 0, fmt.Errorf("store user %s: %w", u.ID, err)
		}
		if u, err = a.Store.User(ctx, u.ID); errors.Is(err, storage.ErrNotFound) {
			return 0, nil
		} else if err != nil {
			return 0, fmt.Errorf("load user %s: %w", u.ID, err)
		}
	}
	return 0, fmt.Errorf("user %s changed again and again", u.ID)
}

// resealClient seals the client's secret by the current key, on whatever the client's record is by
// now.
func (a *Admin) resealClient(ctx context.Context, c clients.Client) (bool, error) {
	for range resealTries {
		if len(c.SealedSecret) == 0 {
			return false, nil
		}
		again, changed, err := a.Sealer.Reseal(c.SealedSecret, clients.SealedSecretData(c.ID))
		if err != nil {
			if a.Logger != nil {
				a.Logger.WarnContext(ctx, "a client secret does not open, and stays as it is", "client_id", c.ID,
					"error", err)
			}
			return false, nil // one damaged value must not keep the others from being sealed
		}
		if !changed {
			return false, nil
		}
		c.SealedSecret = slices.Clone(again)
		switch err = a.Store.UpdateClient(ctx, c); {
		case err == nil:
			return true, nil
		case errors.Is(err, storage.ErrNotFound): // deleted meanwhile
			return false, nil
		case !errors.Is(err, storage.ErrConflict):
			return false, fmt.Errorf("store client %q: %w", c.ID, err)
		}
		if c, err = a.Store.Client(ctx, c.ID); errors.Is(err, storage.ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("load client %q: %w", c.ID, err)
		}
	}
	return false, fmt.Errorf("client %q changed again and again", c.ID)
}

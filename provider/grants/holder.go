package grants

import (
	"context"
	"errors"
	"fmt"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// holder is whom an access token was issued to and for.
type holder struct {
	Client clients.Client
	Grant  storage.Grant // zero when no person is involved
	User   storage.User  // zero when no person is involved
}

// TokenHolder decides whether what an access token was issued for still stands: userinfo and
// introspection ask the same question as the token endpoint does, see Standing. The error is
// ErrNoToken, or a fault of the store.
func (gs *Grants) TokenHolder(ctx context.Context, t AccessToken) (h holder, err error) {
	err = gs.Store.View(ctx, func(from storage.Records) error {
		h, err = gs.tokenHolder(ctx, from, t)
		return err
	})
	return h, err
}

func (gs *Grants) tokenHolder(ctx context.Context, from storage.Records, t AccessToken) (holder, error) {
	client, err := from.Client(ctx, t.ClientID)
	if errors.Is(err, storage.ErrNotFound) {
		return holder{}, fmt.Errorf("%w: its client is gone", ErrNoToken)
	}
	if err != nil {
		return holder{}, fmt.Errorf("load client: %w", err)
	}
	if t.GrantID == "" {
		if d := access.DecideClient(client); !d.Allowed {
			return holder{}, fmt.Errorf("%w: %s", ErrNoToken, d.Reason)
		}
		return holder{Client: client}, nil
	}
	grant, err := from.Grant(ctx, t.GrantID)
	if errors.Is(err, storage.ErrNotFound) {
		return holder{}, fmt.Errorf("%w: its grant is gone", ErrNoToken)
	}
	if err != nil {
		return holder{}, fmt.Errorf("load grant: %w", err)
	}
	user, err := gs.Standing(ctx, from, client, grant)
	var refused *oauth.Error
	if errors.As(err, &refused) {
		return holder{}, fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	if err != nil {
		return holder{}, err
	}
	return holder{client, grant, user}, nil
}

package admin

import (
	"context"
	"errors"

	"latchkey/provider/storage"
)

// FailedRequest returns the refused request with this code, the reference that the person saw. One
// of a client that the actor may not read is as unknown as one that never was. ErrNotFound if there
// is none.
func (a *Admin) FailedRequest(ctx context.Context, actor Actor, code string) (storage.FailedRequest, error) {
	if err := a.permit(ctx, actor, VerbClientRead, of("client", "")); err != nil {
		return storage.FailedRequest{}, err
	}
	f, err := a.Store.FailedRequest(ctx, code)
	gone := &ObjectError{Err: ErrNotFound, Kind: "failed_request", Name: code}
	if errors.Is(err, storage.ErrNotFound) {
		return f, gone
	}
	if err != nil {
		return f, err
	}
	client, err := a.Store.Client(ctx, f.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return f, err
	}
	h, err := a.holder(ctx, actor)
	if err != nil {
		return f, err
	}
	if may(h, VerbClientRead, clientObject(client)) != nil {
		return storage.FailedRequest{}, gone
	}
	return f, nil
}

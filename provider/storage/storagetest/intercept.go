package storagetest

import (
	"context"
	"time"

	"latchkey/provider/storage"
)

// Call is one call of a store's engine, before it is made.
type Call struct {
	Do    string // get, list, values, view, update, remove, sweep, count, purge or ping
	Table string // "" for view, purge and ping
	ID    string // of the record, where there is one
}

// Intercept returns a store on the database of s that asks before each call of the engine. An error
// of ask is what the engine answers: storage.ErrUnavailable and what wraps it for a fault, which
// the engine has not been called for then. What ask does otherwise happens just before the call.
func Intercept(s *storage.Store, ask func(context.Context, Call) error) *storage.Store {
	return s.Wrap(func(e storage.Engine) storage.Engine {
		return &intercepted{interceptedReader{e, ask}, e}
	})
}

type interceptedReader struct {
	reader storage.Reader
	ask    func(context.Context, Call) error
}

func (r interceptedReader) Get(ctx context.Context, t *storage.Table, id string) (storage.Row, error) {
	if err := r.ask(ctx, Call{"get", t.Name, id}); err != nil {
		return storage.Row{}, err
	}
	return r.reader.Get(ctx, t, id)
}

func (r interceptedReader) List(ctx context.Context, t *storage.Table, q storage.Query, each func(storage.Row) (bool,
	error)) error {
	if err := r.ask(ctx, Call{"list", t.Name, ""}); err != nil {
		return err
	}
	return r.reader.List(ctx, t, q, each)
}

func (r interceptedReader) Values(ctx context.Context, t *storage.Table, field string,
	where ...storage.Match) ([]string, error) {
	if err := r.ask(ctx, Call{"values", t.Name, ""}); err != nil {
		return nil, err
	}
	return r.reader.Values(ctx, t, field, where...)
}

type intercepted struct {
	interceptedReader
	engine storage.Engine
}

func (e *intercepted) View(ctx context.Context, read func(storage.Reader) error) error {
	if err := e.ask(ctx, Call{"view", "", ""}); err != nil {
		return err
	}
	return e.engine.View(ctx, func(r storage.Reader) error { return read(interceptedReader{r, e.ask}) })
}

func (e *intercepted) Update(ctx context.Context, t *storage.Table, id string, c storage.Change) (storage.Row, error) {
	if err := e.ask(ctx, Call{"update", t.Name, id}); err != nil {
		return storage.Row{}, err
	}
	return e.engine.Update(ctx, t, id, c)
}

func (e *intercepted) Remove(ctx context.Context, t *storage.Table, where ...storage.Match) (int, error) {
	if err := e.ask(ctx, Call{"remove", t.Name, idOf(where)}); err != nil {
		return 0, err
	}
	return e.engine.Remove(ctx, t, where...)
}

func (e *intercepted) Sweep(ctx context.Context, t *storage.Table, s storage.Stamp, where ...storage.Match) (int,
	error) {
	if err := e.ask(ctx, Call{"sweep", t.Name, idOf(where)}); err != nil {
		return 0, err
	}
	return e.engine.Sweep(ctx, t, s, where...)
}

// idOf is the ID that the conditions name, "" if they name none.
func idOf(where []storage.Match) string {
	for _, m := range where {
		if id, ok := m.Value.(string); ok && m.Field == storage.FieldID {
			return id
		}
	}
	return ""
}

func (e *intercepted) Count(ctx context.Context, key string, now time.Time, window time.Duration) (int, time.Time,
	error) {
	if err := e.ask(ctx, Call{"count", "attempts", key}); err != nil {
		return 0, time.Time{}, err
	}
	return e.engine.Count(ctx, key, now, window)
}

func (e *intercepted) Purge(ctx context.Context, now time.Time) (int, error) {
	if err := e.ask(ctx, Call{"purge", "", ""}); err != nil {
		return 0, err
	}
	return e.engine.Purge(ctx, now)
}

func (e *intercepted) Ping(ctx context.Context) error {
	if err := e.ask(ctx, Call{"ping", "", ""}); err != nil {
		return err
	}
	return e.engine.Ping(ctx)
}

func (e *intercepted) Close() error { return e.engine.Close() }

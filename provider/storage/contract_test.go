package storage_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// The contract: every sentence of the Store interface, on every implementation.

// callers is how many call at once where one of them may succeed.
const callers = 64

// noon is the clock of these tests. It is today, because a database that collects garbage by itself
// knows no other clock.
var noon = time.Now().UTC().Truncate(time.Hour)

// clock is noon and some time. The microseconds are there to be cut off.
func clock(d time.Duration) time.Time { return noon.Add(d + 7*time.Microsecond) }

func contract(t *testing.T, run func(t *testing.T, s *storage.Store)) {
	t.Helper()
	t.Parallel()
	storagetest.Each(t, run)
}

// patient is a context for a machine that is busy with other things: these tests are about who
// wins, not how soon.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// race runs call from many goroutines at once and returns how many succeeded. Every other one must
// have got refusal.
func race(t *testing.T, refusal error, call func(i int) error) (won int) {
	t.Helper()
	errs := make([]error, callers)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range errs {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, refusal):
			t.Errorf("got error %v, want %v", err, refusal)
		}
	}
	return won
}

func oneWins(t *testing.T, refusal error, call func(i int) error) {
	t.Helper()
	if won := race(t, refusal, call); won != 1 {
		t.Errorf("%d of %d concurrent calls succeeded, want 1", won, callers)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// equal compares records. A Version of 0 in want stands for any.
func equal(t *testing.T, got, want any) {
	t.Helper()
	g, w := reflect.ValueOf(normal(got)), reflect.ValueOf(normal(want))
	if g.Type() == w.Type() && !reflect.DeepEqual(anyVersion(g, w).Interface(), w.Interface()) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	} else if g.Type() != w.Type() {
		t.Errorf("got a %T, want a %T", got, want)
	}
}

// anyVersion is a copy of got without the versions that want does not name.
func anyVersion(got, want reflect.Value) reflect.Value {
	out := reflect.New(got.Type()).Elem()
	out.Set(got)
	switch got.Kind() {
	case reflect.Struct:
		if v := out.FieldByName("Version"); v.IsValid() && v.CanSet() && want.FieldByName("Version").IsZero() {
			v.SetZero()
		}
	case reflect.Slice:
		if got.Len() == 0 || got.Len() != want.Len() {
			return out
		}
		out.Set(reflect.MakeSlice(got.Type(), got.Len(), got.Len()))
		for i := range got.Len() {
			out.Index(i).Set(anyVersion(got.Index(i), want.Index(i)))
		}
	}
	return out
}

// normal is a copy in which empty slices and maps are nil, which a Store does not tell apart.
func normal(v any) any {
	out := reflect.New(reflect.TypeOf(v)).Elem()
	var walk func(to, from reflect.Value)
	walk = func(to, from reflect.Value) {
		switch from.Kind() {
		case reflect.Struct:
			if from.Type() == reflect.TypeFor[time.Time]() {
				to.Set(from)
				return
			}
			for i := range from.NumField() {
				walk(to.Field(i), from.Field(i))
			}
		case reflect.Slice:
			if from.Len() > 0 {
				to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
				for i := range from.Len() {
					walk(to.Index(i), from.Index(i))
				}
			}
		case reflect.Map:
			if from.Len() > 0 {
				to.Set(reflect.MakeMap(from.Type()))
				for _, k := range from.MapKeys() {
					e := reflect.New(from.Type().Elem()).Elem()
					walk(e, from.MapIndex(k))
					to.SetMapIndex(k, e)
				}
			}
		case reflect.Pointer:
			if !from.IsNil() {
				to.Set(reflect.New(from.Type().Elem()))
				walk(to.Elem(), from.Elem())
			}
		default:
			to.Set(from)
		}
	}
	walk(out, reflect.ValueOf(v))
	return out.Interface()
}

// full is a record with something in every field that is kept, so that a field that a store forgets
// is noticed.
func full[T any]() T {
	var out T
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(clock(time.Duration(n) * time.Minute)))
			return
		case json.RawMessage:
			v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{ "keys" : [{"n":%d}] }`, n))))
			return
		case []byte:
			v.Set(reflect.ValueOf([]byte{0, 1, 255, byte(n)}))
			return
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("value %d – ü", n))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(n) << 20)
		case reflect.Uint32:
			v.SetUint(uint64(n)<<16 | 1<<31) // more than an int32 holds
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0))
			fill(v.Index(1))
		case reflect.Map:
			e := reflect.New(v.Type().Elem()).Elem()
			fill(e)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("claim"), e)
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("bson") != "-" {
					fill(v.Field(i))
				}
			}
		default:
			panic("full: " + v.Kind().String())
		}
	}
	fill(reflect.ValueOf(&out).Elem())
	return out
}

// kept is v with its times as a Store keeps them: to the millisecond, in UTC.
func kept[T any](v T) T {
	out := normal(v)
	p := reflect.New(reflect.TypeOf(out))
	p.Elem().Set(reflect.ValueOf(out))
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if at, ok := v.Interface().(time.Time); ok {
			v.Set(reflect.ValueOf(at.UTC().Truncate(time.Millisecond)))
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		}
	}
	walk(p.Elem())
	return p.Elem().Interface().(T)
}

func TestRecordsComeBackAsTheyWereStored(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)

		u := full[storage.User]()
		must(t, s.CreateUser(ctx, u))
		u.Version = 1
		gotUser, err := s.User(ctx, u.ID)
		must(t, err)
		equal(t, gotUser, kept(u))
		must(t, s.CreateUser(ctx, storage.User{ID: "bare", Username: "bare"}))
		gotUser, err = s.User(ctx, "bare")
		must(t, err)
		equal(t, gotUser, storage.User{ID: "bare", Username: "bare", Version: 1})

		g := full[storage.Group]()
		must(t, s.CreateGroup(ctx, g))
		g.Version = 1
		gotGroup, err := s.Group(ctx, g.Name)
		must(t, err)
		equal(t, gotGroup, kept(g))

		c := full[clients.Client]()
		must(t, s.CreateClient(ctx, c))
		c.Version = 1
		gotClient, err := s.Client(ctx, c.ID)
		must(t, err)
		equal(t, gotClient, kept(c))
		must(t, s.CreateClient(ctx, clients.Client{ID: "bare"}))
		gotClient, err = s.Client(ctx, "bare")
		must(t, err)
		equal(t, gotClient, clients.Client{ID: "bare", Version: 1})

		session := full[storage.Session]()
		must(t, s.CreateSession(ctx, session))
		session.Version = 1
		gotSession, err := s.Session(ctx, session.ID)
		must(t, err)
		equal(t, gotSession, kept(session))

		i := full[storage.Interaction]()
		i.Finished = false // one that is finished is not found
		must(t, s.CreateInteraction(ctx, i))
		i.Version = 1
		gotInteraction, err := s.Interaction(ctx, i.ID)
		must(t, err)
		equal(t, gotInteraction, kept(i))

		consent := full[storage.Consent]()
		must(t, s.AddConsent(ctx, consent))
		consent.Version = 1
		gotConsent, err := s.Consent(ctx, consent.UserID, consent.ClientID)
		must(t, err)
		equal(t, gotConsent, kept(consent))

		grant := full[storage.Grant]()
		must(t, s.CreateGrant(ctx, grant))
		grant.Version = 1
		gotGrant, err := s.Grant(ctx, grant.ID)
		must(t, err)
		equal(t, gotGrant, kept(grant))
		must(t, s.CreateGrant(ctx, storage.Grant{ID: "bare"}))
		gotGrant, err = s.Grant(ctx, "bare")
		must(t, err)
		equal(t, gotGrant, storage.Grant{ID: "bare", Version: 1})

		token := full[storage.Token]()
		must(t, s.CreateToken(ctx, token))
		token.Version = 1
		gotToken, err := s.Token(ctx, token.Kind, token.Hash)
		must(t, err)
		equal(t, gotToken, kept(token))

		d := full[storage.LogoutDelivery]()
		must(t, s.CreateLogoutDelivery(ctx, d))
		d.Version = 1
		gotDeliveries, err := s.LogoutDeliveries(ctx, d.LogoutID)
		must(t, err)
		equal(t, gotDeliveries, []storage.LogoutDelivery{kept(d)})

		set := full[keys.KeySet]()
		set.Version = 1
		swapped, err := s.SwapKeySet(ctx, set)
		must(t, err)
		if !swapped {
			t.Error("the first key set was not stored")
		}
		gotSet, err := s.KeySet(ctx)
		must(t, err)
		equal(t, gotSet, kept(set))
	})
}

func TestReturnedRecordsAreTheCallersOwn(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u", Groups: []string{"staff"}}))
		u, err := s.User(ctx, "u")
		must(t, err)
		u.Groups[0] = "admins"
		u, err = s.User(ctx, "u")
		must(t, err)
		equal(t, u.Groups, []string{"staff"})
	})
}

func TestOneOfManyUpdatesAVersion(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
		must(t, s.CreateClient(ctx, clients.Client{ID: "c"}))
		must(t, s.CreateInteraction(ctx, storage.Interaction{ID: "i", ExpiresAt: clock(time.Hour)}))
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.UpdateUser(ctx, storage.User{ID: "u", Username: "u", PasswordHash: fmt.Sprint(i), Version: 1})
		})
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.UpdateClient(ctx, clients.Client{ID: "c", Type: fmt.Sprint(i), Version: 1})
		})
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.UpdateInteraction(ctx, storage.Interaction{ID: "i", ReturnTo: fmt.Sprint(i),
				ExpiresAt: clock(time.Hour), Version: 1})
		})
		u, err := s.User(ctx, "u")
		must(t, err)
		c, err := s.Client(ctx, "c")
		must(t, err)
		i, err := s.Interaction(ctx, "i")
		must(t, err)
		equal(t, []int64{u.Version, c.Version, i.Version}, []int64{2, 2, 2})
	})
}

func TestPurgeTakesNothingThatAnAnswerDependsOn(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
		must(t, s.CreateClient(ctx, clients.Client{ID: "c"}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "c"}))
		must(t, s.CreateSession(ctx, session("s")))
		must(t, s.CreateSession(ctx, session("ended")))
		_, err := s.EndSession(ctx, "ended", clock(0))
		must(t, err)
		must(t, s.CreateInteraction(ctx, storage.Interaction{ID: "i", ExpiresAt: clock(time.Hour)}))
		must(t, s.CreateGrant(ctx, withCode("g")))
		_, err = redeem(ctx, s, "g", "code of g", clock(0), clock(48*time.Hour), clock(48*time.Hour))
		must(t, err)
		must(t, s.CreateGrant(ctx, withRefresh("revoked", 1)))
		must(t, s.RevokeGrant(ctx, "revoked", clock(0)))
		must(t, s.CreateToken(ctx, storage.Token{Hash: "t", Kind: "k", ExpiresAt: clock(time.Hour)}))
		_, err = s.ConsumeToken(ctx, "k", "t", clock(0))
		must(t, err)
		must(t, s.Spend(ctx, "k", "id", clock(0), clock(2*time.Hour)))
		_, _, err = s.CountAttempt(ctx, "k", clock(0), 2*time.Hour)
		must(t, err)
		must(t, s.CreateLogoutDelivery(ctx, delivery("d")))
		_, err = s.SetOnce(ctx, "name", []byte("v"))
		must(t, err)

		purge := func(at time.Duration, want int) {
			t.Helper()
			n, err := s.Purge(ctx, clock(at))
			must(t, err)
			equal(t, n, want)
		}
		// A replay is recognised hours later.
		purge(time.Hour, 0)
		_, err = s.EndSession(ctx, "ended", clock(time.Hour))
		want(t, err, storage.ErrConsumed)
		_, err = redeem(ctx, s, "g", "code of g", clock(time.Hour), clock(2*time.Hour), clock(2*time.Hour))
		want(t, err, storage.ErrConsumed)
		_, err = s.ConsumeToken(ctx, "k", "t", clock(time.Hour))
		want(t, err, storage.ErrConsumed)
		want(t, s.Spend(ctx, "k", "id", clock(time.Hour), clock(2*time.Hour)), storage.ErrConsumed)
		n, _, err := s.CountAttempt(ctx, "k", clock(time.Hour), time.Hour)
		must(t, err)
		equal(t, n, 2)
		_, err = s.Interaction(ctx, "i")
		must(t, err)

		// The grant that is still good outlives the rest, and so does the session that nobody has
		// ended: a session, interaction, revoked grant, token, spent, attempt, delivery.
		purge(47*time.Hour, 7)
		_, err = s.Grant(ctx, "g")
		must(t, err)
		purge(47*time.Hour, 0)
		purge(100*time.Hour, 1)
		_, err = s.Grant(ctx, "g")
		want(t, err, storage.ErrNotFound)

		// What has no end stays.
		_, err = s.User(ctx, "u")
		must(t, err)
		_, err = s.Client(ctx, "c")
		must(t, err)
		_, err = s.Consent(ctx, "u", "c")
		must(t, err)
		_, err = s.Setting(ctx, "name")
		must(t, err)
	})
}

func TestPurgeTakesAnyNumber(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		const n = 1201
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < n; i += 16 {
					if err := s.Spend(patient(t), "k", fmt.Sprint(i), clock(0), clock(time.Minute)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got, err := s.Purge(patient(t), clock(100*time.Hour))
		must(t, err)
		equal(t, got, n)
	})
}

func TestAnEndedContextIsNoAnswer(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateGrant(patient(t), withCode("g")))
		ctx, cancel := context.WithCancel(patient(t))
		cancel()
		_, read := s.Grant(ctx, "g")
		_, write := redeem(ctx, s, "g", "code of g", clock(0), clock(0), clock(0))
		for _, err := range []error{read, write, s.Ping(ctx)} {
			if !errors.Is(err, context.Canceled) || !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v, want the context's error, as a fault of the store", err)
			}
			for _, answer := range []error{storage.ErrNotFound, storage.ErrConsumed, storage.ErrConflict} {
				if errors.Is(err, answer) {
					t.Errorf("the error %v claims to be an answer", err)
				}
			}
		}
		_, err := redeem(patient(t), s, "g", "code of g", clock(0), clock(0), clock(time.Hour))
		must(t, err)
	})
}

func TestAClosedStoreAnswersNothing(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.Ping(ctx))
		must(t, s.CreateGrant(ctx, withCode("g")))
		must(t, s.Close())
		_, read := s.Grant(ctx, "g")
		_, write := redeem(ctx, s, "g", "code of g", clock(0), clock(0), clock(0))
		for _, err := range []error{read, write, s.Ping(ctx)} {
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v from a closed store", err)
			}
		}
		must(t, s.Close())
	})
}

func TestHashHidesTheValue(t *testing.T) {
	t.Parallel()
	value := rand.Text()
	if h := storage.Hash(value); h != storage.Hash(value) || strings.Contains(h, value) || len(h) != 43 {
		t.Errorf("hash %q", h)
	}
	equal(t, storage.Hash("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0") // FIPS 180-2 B.1
}

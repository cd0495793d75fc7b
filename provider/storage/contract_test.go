package storage_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
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

// noon is the clock of these tests. It is today, because a database that collects garbage by itself knows no other clock.
var noon = time.Now().UTC().Truncate(time.Hour)

// clock is noon and some time. The microseconds are there to be cut off.
func clock(d time.Duration) time.Time { return noon.Add(d + 7*time.Microsecond) }

func contract(t *testing.T, run func(t *testing.T, s storage.Store)) {
	t.Helper()
	t.Parallel()
	storagetest.Each(t, run)
}

// patient is a context for a machine that is busy with other things: these tests are about who wins, not how soon.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// race runs call from many goroutines at once and returns how many succeeded. Every other one must have got refusal.
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

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(normal(got), normal(want)) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
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

// full is a record with something in every field that is kept, so that a field that a store forgets is noticed.
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
	contract(t, func(t *testing.T, s storage.Store) {
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
		must(t, s.PutGroup(ctx, g))
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
		gotSession, err := s.Session(ctx, session.ID)
		must(t, err)
		equal(t, gotSession, kept(session))

		i := full[storage.Interaction]()
		must(t, s.CreateInteraction(ctx, i))
		i.Version = 1
		gotInteraction, err := s.Interaction(ctx, i.ID)
		must(t, err)
		equal(t, gotInteraction, kept(i))

		consent := full[storage.Consent]()
		must(t, s.AddConsent(ctx, consent))
		gotConsent, err := s.Consent(ctx, consent.UserID, consent.ClientID)
		must(t, err)
		equal(t, gotConsent, kept(consent))

		grant := full[storage.Grant]()
		must(t, s.CreateGrant(ctx, grant))
		gotGrant, err := s.Grant(ctx, grant.ID)
		must(t, err)
		equal(t, gotGrant, kept(grant))
		must(t, s.CreateGrant(ctx, storage.Grant{ID: "bare"}))
		gotGrant, err = s.Grant(ctx, "bare")
		must(t, err)
		equal(t, gotGrant, storage.Grant{ID: "bare"})

		token := full[storage.Token]()
		must(t, s.CreateToken(ctx, token))
		gotToken, err := s.Token(ctx, token.Kind, token.Hash)
		must(t, err)
		equal(t, gotToken, kept(token))

		d := full[storage.LogoutDelivery]()
		must(t, s.CreateLogoutDelivery(ctx, d))
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
	contract(t, func(t *testing.T, s storage.Store) {
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

func TestUsers(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "1", Username: "ada"}))
		want(t, s.CreateUser(ctx, storage.User{ID: "1", Username: "other"}), storage.ErrConflict)
		want(t, s.CreateUser(ctx, storage.User{ID: "2", Username: "ada"}), storage.ErrConflict)
		_, err := s.User(ctx, "2")
		want(t, err, storage.ErrNotFound)
		must(t, s.CreateUser(ctx, storage.User{ID: "2", Username: "Ada"})) // exactly this username, not another spelling

		u, err := s.UserByUsername(ctx, "ada")
		must(t, err)
		equal(t, u.ID, "1")
		for _, name := range []string{"", "ad", "ada ", "ADA", "a%", "ada\x00"} {
			_, err = s.UserByUsername(ctx, name)
			want(t, err, storage.ErrNotFound)
		}

		// UpdateUser
		u.PasswordHash = "$argon2id$…"
		must(t, s.UpdateUser(ctx, u))
		stored, err := s.User(ctx, "1")
		must(t, err)
		if stored.Version != 2 || stored.PasswordHash != u.PasswordHash {
			t.Errorf("after the update: %+v", stored)
		}
		want(t, s.UpdateUser(ctx, u), storage.ErrConflict) // a version that was replaced
		stored.Username = "Ada"
		want(t, s.UpdateUser(ctx, stored), storage.ErrConflict) // somebody else's name
		stored.Username = "grace"
		must(t, s.UpdateUser(ctx, stored))
		_, err = s.UserByUsername(ctx, "ada")
		want(t, err, storage.ErrNotFound)
		u, err = s.UserByUsername(ctx, "grace")
		must(t, err)
		equal(t, u.Version, int64(3))
		want(t, s.UpdateUser(ctx, storage.User{ID: "nobody", Username: "nobody", Version: 1}), storage.ErrNotFound)

		// Users
		for i := range 5 {
			must(t, s.CreateUser(ctx, storage.User{ID: fmt.Sprint("n", i), Username: fmt.Sprint("name", i)}))
		}
		names := func(after string, limit int) (names []string) {
			users, err := s.Users(ctx, after, limit)
			must(t, err)
			for _, u := range users {
				names = append(names, u.Username)
			}
			return names
		}
		equal(t, names("", 3), []string{"Ada", "grace", "name0"})
		equal(t, names("name0", 3), []string{"name1", "name2", "name3"})
		equal(t, names("name3", 3), []string{"name4"})
		equal(t, names("name4", 3), []string(nil))
		equal(t, names("", 0), []string(nil))

		// DeleteUser
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "1", ClientID: "c", Scope: []string{"openid"}}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "2", ClientID: "c", Scope: []string{"openid"}}))
		must(t, s.DeleteUser(ctx, "1"))
		_, err = s.User(ctx, "1")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "1", "c")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "2", "c")
		must(t, err)
		want(t, s.DeleteUser(ctx, "1"), storage.ErrNotFound)
		must(t, s.CreateUser(ctx, storage.User{ID: "3", Username: "grace"})) // the name is free again
	})
}

func TestOneOfManyCreatesAUsername(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.CreateUser(patient(t), storage.User{ID: fmt.Sprint("id", i), Username: "ada"})
		})
		users, err := s.Users(patient(t), "", 10)
		must(t, err)
		equal(t, len(users), 1)
	})
}

func TestOneOfManyUpdatesAVersion(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
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
			return s.UpdateInteraction(ctx, storage.Interaction{ID: "i", ReturnTo: fmt.Sprint(i), ExpiresAt: clock(time.Hour), Version: 1})
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

func TestGroups(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		_, err := s.Group(ctx, "staff")
		want(t, err, storage.ErrNotFound)
		must(t, s.PutGroup(ctx, storage.Group{Name: "staff"}))
		must(t, s.PutGroup(ctx, storage.Group{Name: "admins", Roles: []string{"admin"}}))
		must(t, s.PutGroup(ctx, storage.Group{Name: "staff", Description: "replaced"}))
		all, err := s.Groups(ctx)
		must(t, err)
		equal(t, all, []storage.Group{{Name: "admins", Roles: []string{"admin"}}, {Name: "staff", Description: "replaced"}})
		must(t, s.DeleteGroup(ctx, "staff"))
		want(t, s.DeleteGroup(ctx, "staff"), storage.ErrNotFound)
		_, err = s.Group(ctx, "staff")
		want(t, err, storage.ErrNotFound)
		if won := race(t, nil, func(i int) error {
			return s.PutGroup(ctx, storage.Group{Name: "new", Description: fmt.Sprint(i)})
		}); won != callers {
			t.Errorf("%d of %d put the same group", won, callers)
		}
	})
}

func TestClients(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		c := clients.Client{ID: "a", CORSOrigins: []string{"https://a.example", "https://b.example"}}
		must(t, s.CreateClient(ctx, c))
		want(t, s.CreateClient(ctx, c), storage.ErrConflict)
		c.Version, c.Type = 1, clients.TypeSPA
		must(t, s.UpdateClient(ctx, c))
		want(t, s.UpdateClient(ctx, c), storage.ErrConflict)
		stored, err := s.Client(ctx, "a")
		must(t, err)
		c.Version = 2
		equal(t, stored, c)
		want(t, s.UpdateClient(ctx, clients.Client{ID: "none", Version: 1}), storage.ErrNotFound)
		_, err = s.Client(ctx, "none")
		want(t, err, storage.ErrNotFound)
		must(t, s.CreateClient(ctx, clients.Client{ID: "b", CORSOrigins: []string{"https://b.example"}}))
		must(t, s.CreateClient(ctx, clients.Client{ID: "c"}))
		list, err := s.Clients(ctx, "a", 1)
		must(t, err)
		equal(t, list, []clients.Client{{ID: "b", CORSOrigins: []string{"https://b.example"}, Version: 1}})
		list, err = s.Clients(ctx, "", 10)
		must(t, err)
		equal(t, len(list), 3)
		list, err = s.Clients(ctx, "", 0)
		must(t, err)
		equal(t, len(list), 0)

		// OriginAllowed
		allowed := func(origin string, want bool) {
			t.Helper()
			got, err := s.OriginAllowed(ctx, origin)
			must(t, err)
			equal(t, got, want)
		}
		allowed("https://a.example", true)
		allowed("https://b.example", true)
		allowed("https://c.example", false)
		allowed("", false)
		c.Disabled = true
		must(t, s.UpdateClient(ctx, c))
		allowed("https://a.example", false)
		allowed("https://b.example", true) // of the other client
		c.Version, c.Disabled, c.CORSOrigins = 3, false, []string{"https://c.example"}
		must(t, s.UpdateClient(ctx, c))
		allowed("https://a.example", false)
		allowed("https://c.example", true)

		// DeleteClient
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "a"}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b"}))
		for _, client := range []string{"a", "b"} {
			must(t, s.CreateGrant(ctx, storage.Grant{ID: "of " + client, UserID: "u", ClientID: client, Offline: true, ExpiresAt: clock(time.Hour)}))
		}
		must(t, s.DeleteClient(ctx, "a", clock(0)))
		_, err = s.Client(ctx, "a")
		want(t, err, storage.ErrNotFound)
		allowed("https://c.example", false)
		consents, err := s.ConsentsOfUser(ctx, "u")
		must(t, err)
		equal(t, consents, []storage.Consent{{UserID: "u", ClientID: "b"}})
		g, err := s.Grant(ctx, "of a")
		must(t, err)
		equal(t, g.RevokedAt, kept(clock(0)))
		g, err = s.Grant(ctx, "of b")
		must(t, err)
		equal(t, g.RevokedAt, time.Time{})
		want(t, s.DeleteClient(ctx, "a", clock(0)), storage.ErrNotFound)
	})
}

func session(id string) storage.Session {
	return storage.Session{ID: id, SecretHash: "secret of " + id, UserID: "u", AuthTime: clock(0), CreatedAt: clock(0),
		LastSeen: clock(0), IdleAt: clock(time.Hour), ExpiresAt: clock(10 * time.Hour)}
}

func TestSessions(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		first := session("1")
		must(t, s.CreateSession(ctx, first))
		want(t, s.CreateSession(ctx, first), storage.ErrConflict)
		_, err := s.Session(ctx, "none")
		want(t, err, storage.ErrNotFound)

		// RenewSession
		renewed := full[storage.Session]()
		renewed.ID, renewed.SecretHash = "1", "new secret"
		want(t, s.RenewSession(ctx, renewed, "some other secret"), storage.ErrConflict)
		must(t, s.RenewSession(ctx, renewed, first.SecretHash))
		got, err := s.Session(ctx, "1")
		must(t, err)
		expected := first
		expected.SecretHash, expected.AuthTime, expected.AMR, expected.ACR = renewed.SecretHash, renewed.AuthTime, renewed.AMR, renewed.ACR
		expected.Remember, expected.LastSeen, expected.IdleAt, expected.ExpiresAt = renewed.Remember, renewed.LastSeen, renewed.IdleAt, renewed.ExpiresAt
		equal(t, got, kept(expected))
		want(t, s.RenewSession(ctx, renewed, first.SecretHash), storage.ErrConflict)
		want(t, s.RenewSession(ctx, session("none"), "secret of none"), storage.ErrNotFound)
		plain := session("1")
		plain.SecretHash = "third secret"
		must(t, s.RenewSession(ctx, plain, "new secret"))
		got, err = s.Session(ctx, "1")
		must(t, err)
		if got.AMR != nil || got.ACR != "" || got.Remember {
			t.Errorf("values of an earlier sign-in are still there: %+v", got)
		}

		// TouchSession
		must(t, s.TouchSession(ctx, "1", clock(time.Minute), clock(2*time.Hour)))
		must(t, s.TouchSession(ctx, "1", clock(-time.Minute), clock(90*time.Minute)))
		got, err = s.Session(ctx, "1")
		must(t, err)
		equal(t, []time.Time{got.LastSeen, got.IdleAt}, []time.Time{kept(clock(time.Minute)), kept(clock(2 * time.Hour))})
		must(t, s.TouchSession(ctx, "none", clock(0), clock(0)))

		// EndSession
		ended, err := s.EndSession(ctx, "1", clock(3*time.Minute))
		must(t, err)
		equal(t, ended.EndedAt, kept(clock(3*time.Minute)))
		equal(t, ended.UserID, "u")
		again, err := s.EndSession(ctx, "1", clock(4*time.Minute))
		want(t, err, storage.ErrConsumed)
		equal(t, again, ended)
		_, err = s.EndSession(ctx, "none", clock(0))
		want(t, err, storage.ErrNotFound)
		must(t, s.TouchSession(ctx, "1", clock(time.Hour), clock(5*time.Hour)))
		want(t, s.RenewSession(ctx, session("1"), "third secret"), storage.ErrConflict)
		got, err = s.Session(ctx, "1") // ended ones too
		must(t, err)
		equal(t, got, ended)
	})
}

func TestSessionsOfUserAreThoseThatAreValid(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		for i, change := range []func(*storage.Session){
			func(s *storage.Session) {},
			func(s *storage.Session) { s.LastSeen = clock(time.Minute) },
			func(s *storage.Session) { s.IdleAt = clock(5 * time.Minute) },
			func(s *storage.Session) { s.ExpiresAt = clock(5 * time.Minute) },
			func(s *storage.Session) { s.EndedAt = clock(time.Minute) },
			func(s *storage.Session) { s.UserID = "other" },
		} {
			one := session(fmt.Sprint(i))
			change(&one)
			must(t, s.CreateSession(ctx, one))
		}
		at := func(now time.Time) (ids []string) {
			all, err := s.SessionsOfUser(ctx, "u", now)
			must(t, err)
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			return ids
		}
		equal(t, at(clock(5*time.Minute)), []string{"1", "0"}) // last seen first
		equal(t, len(at(clock(5*time.Minute-time.Millisecond))), 4)
		equal(t, len(at(clock(time.Hour))), 0)
	})
}

func TestOneOfManyEndsASession(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		must(t, s.CreateSession(patient(t), session("1")))
		oneWins(t, storage.ErrConsumed, func(i int) error {
			ended, err := s.EndSession(patient(t), "1", clock(time.Duration(i)*time.Second))
			if ended.ID != "1" || ended.EndedAt.IsZero() {
				t.Errorf("got %+v along with %v", ended, err)
			}
			return err
		})
	})
}

func TestOneOfManyRenewsASession(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		must(t, s.CreateSession(patient(t), session("1")))
		oneWins(t, storage.ErrConflict, func(i int) error {
			renewed := session("1")
			renewed.SecretHash = fmt.Sprint("secret ", i)
			return s.RenewSession(patient(t), renewed, "secret of 1")
		})
	})
}

func TestInteractions(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		i := storage.Interaction{ID: "i", ExpiresAt: clock(-time.Minute)}
		must(t, s.CreateInteraction(ctx, i)) // also an expired one: the caller looks at that
		want(t, s.CreateInteraction(ctx, i), storage.ErrConflict)
		i.Version, i.Selected = 1, true
		must(t, s.UpdateInteraction(ctx, i))
		want(t, s.UpdateInteraction(ctx, i), storage.ErrConflict)
		got, err := s.Interaction(ctx, "i")
		must(t, err)
		i.Version = 2
		equal(t, got, kept(i))
		oneWins(t, storage.ErrNotFound, func(int) error { return s.FinishInteraction(ctx, "i") })
		_, err = s.Interaction(ctx, "i")
		want(t, err, storage.ErrNotFound)
		want(t, s.UpdateInteraction(ctx, i), storage.ErrNotFound)
		want(t, s.FinishInteraction(ctx, "none"), storage.ErrNotFound)
		want(t, s.UpdateInteraction(ctx, storage.Interaction{ID: "none", Version: 1}), storage.ErrNotFound)
		_, err = s.Interaction(ctx, "none")
		want(t, err, storage.ErrNotFound)
	})
}

func TestConsents(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		_, err := s.Consent(ctx, "u", "b")
		want(t, err, storage.ErrNotFound)
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "email"},
			CreatedAt: clock(0), UpdatedAt: clock(0)}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "profile"}, Claims: []string{"name"},
			Resource: []string{"https://api.example"}, CreatedAt: clock(time.Minute), UpdatedAt: clock(time.Minute)}))
		got, err := s.Consent(ctx, "u", "b")
		must(t, err)
		equal(t, got, kept(storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "email", "profile"}, Claims: []string{"name"},
			Resource: []string{"https://api.example"}, CreatedAt: clock(0), UpdatedAt: clock(time.Minute)}))

		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "a"}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "other", ClientID: "a"}))
		all, err := s.ConsentsOfUser(ctx, "u")
		must(t, err)
		if len(all) != 2 || all[0].ClientID != "a" || all[1].ClientID != "b" {
			t.Errorf("consents of the user: %+v", all)
		}
		must(t, s.DeleteConsent(ctx, "u", "b"))
		must(t, s.DeleteConsent(ctx, "u", "b"))
		_, err = s.Consent(ctx, "u", "b")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "other", "a")
		must(t, err)
	})
}

func TestConcurrentConsentsAllSurvive(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		if won := race(t, nil, func(i int) error {
			return s.AddConsent(patient(t), storage.Consent{UserID: "u", ClientID: "c", Scope: []string{fmt.Sprint(i)}, CreatedAt: clock(0), UpdatedAt: clock(0)})
		}); won != callers {
			t.Errorf("%d of %d succeeded", won, callers)
		}
		c, err := s.Consent(patient(t), "u", "c")
		must(t, err)
		equal(t, len(c.Scope), callers)
	})
}

// withCode is a grant whose code is not used yet.
func withCode(id string) storage.Grant {
	return storage.Grant{ID: id, UserID: "u", ClientID: "c", SessionID: "s", Scope: []string{"openid"}, CreatedAt: clock(0), LastUsed: clock(0),
		ExpiresAt: clock(10 * time.Minute), CodeHash: "code of " + id, CodeExpiresAt: clock(time.Minute), RedirectURI: "https://c.example/cb"}
}

// withRefresh is a grant whose code was used, with a refresh token of that generation.
func withRefresh(id string, generation int64) storage.Grant {
	g := withCode(id)
	g.CodeUsedAt, g.ExpiresAt = clock(0), clock(24*time.Hour)
	g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = generation, clock(0), clock(time.Hour)
	return g
}

func TestGrants(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		g := withCode("g")
		must(t, s.CreateGrant(ctx, g))
		want(t, s.CreateGrant(ctx, g), storage.ErrConflict)
		_, err := s.Grant(ctx, "none")
		want(t, err, storage.ErrNotFound)

		must(t, s.RevokeGrant(ctx, "g", clock(time.Minute)))
		must(t, s.RevokeGrant(ctx, "g", clock(2*time.Minute)))
		got, err := s.Grant(ctx, "g")
		must(t, err)
		g.RevokedAt = clock(time.Minute)
		equal(t, got, kept(g))
		want(t, s.RevokeGrant(ctx, "none", clock(0)), storage.ErrNotFound)
	})
}

func TestRedeemCode(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		redeem := func(id, code string, at time.Duration) (storage.Grant, error) {
			return s.RedeemCode(ctx, id, code, clock(at), clock(time.Hour), clock(24*time.Hour))
		}
		unchanged := func(g storage.Grant) {
			t.Helper()
			got, err := s.Grant(ctx, g.ID)
			must(t, err)
			equal(t, got, kept(g))
		}
		nothing := func(g storage.Grant, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, g, storage.Grant{})
		}

		g := withCode("g")
		must(t, s.CreateGrant(ctx, g))
		nothing(redeem("g", "code of another", 0))
		nothing(redeem("g", "", 0))
		nothing(redeem("none", "code of g", 0))
		nothing(redeem("g", "code of g", time.Minute)) // just expired
		unchanged(g)

		got, err := redeem("g", "code of g", 30*time.Second)
		must(t, err)
		g.CodeUsedAt, g.LastUsed, g.ExpiresAt = clock(30*time.Second), clock(30*time.Second), clock(24*time.Hour)
		g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = 1, clock(30*time.Second), clock(time.Hour)
		equal(t, got, kept(g))
		unchanged(g)

		for _, at := range []time.Duration{31 * time.Second, 10 * time.Hour} { // a replay is one however late it comes
			got, err = redeem("g", "code of g", at)
			want(t, err, storage.ErrConsumed)
			equal(t, got, kept(g))
			unchanged(g)
		}
		nothing(redeem("g", "code of another", 31*time.Second))

		plain := withCode("plain")
		must(t, s.CreateGrant(ctx, plain))
		got, err = s.RedeemCode(ctx, "plain", "code of plain", clock(0), time.Time{}, clock(time.Hour))
		must(t, err)
		equal(t, got.RefreshGeneration, int64(0))
		_, err = s.RotateRefresh(ctx, "plain", 0, clock(0), clock(time.Hour))
		want(t, err, storage.ErrNotFound)

		revoked := withCode("revoked")
		revoked.RevokedAt = clock(0)
		must(t, s.CreateGrant(ctx, revoked))
		nothing(redeem("revoked", "code of revoked", 0))
		unchanged(revoked)

		without := storage.Grant{ID: "without", ExpiresAt: clock(time.Hour)}
		must(t, s.CreateGrant(ctx, without))
		nothing(redeem("without", "", 0))
		unchanged(without)
	})
}

func TestOneOfManyRedeemsACode(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		for round := range 3 {
			id := fmt.Sprint("g", round)
			must(t, s.CreateGrant(patient(t), withCode(id)))
			oneWins(t, storage.ErrConsumed, func(int) error {
				g, err := s.RedeemCode(patient(t), id, "code of "+id, clock(0), clock(time.Hour), clock(time.Hour))
				if g.ID != id || g.CodeUsedAt.IsZero() {
					t.Errorf("got %+v along with %v", g, err)
				}
				return err
			})
		}
	})
}

func TestRefresh(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		rotate := func(id string, generation int64, at time.Duration) (storage.Grant, error) {
			return s.RotateRefresh(ctx, id, generation, clock(at), clock(at+time.Hour))
		}
		g := withRefresh("g", 3)
		must(t, s.CreateGrant(ctx, g))
		nothing := func(got storage.Grant, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, got, storage.Grant{})
		}
		nothing(rotate("none", 3, 0))
		nothing(rotate("g", 0, 0))
		nothing(rotate("g", 4, 0))
		nothing(rotate("g", 3, time.Hour)) // RefreshIdleAt has come
		nothing(rotate("g", 2, time.Hour))

		got, err := rotate("g", 2, time.Minute)
		want(t, err, storage.ErrConsumed)
		equal(t, got, kept(g))

		got, err = rotate("g", 3, time.Minute)
		must(t, err)
		g.LastUsed, g.RefreshIdleAt = clock(time.Minute), clock(time.Hour+time.Minute)
		g.RefreshGeneration, g.RefreshedAt = 4, clock(time.Minute)
		equal(t, got, kept(g))
		got, err = s.Grant(ctx, "g")
		must(t, err)
		equal(t, got, kept(g))

		must(t, s.RevokeGrant(ctx, "g", clock(2*time.Minute)))
		nothing(rotate("g", g.RefreshGeneration, 3*time.Minute))
		nothing(rotate("g", 1, 3*time.Minute))

		short := withRefresh("short", 1)
		short.ExpiresAt = clock(5 * time.Minute)
		must(t, s.CreateGrant(ctx, short))
		nothing(rotate(short.ID, 1, 5*time.Minute))
		fresh := withCode("fresh")
		must(t, s.CreateGrant(ctx, fresh))
		nothing(rotate(fresh.ID, 0, 0))
		nothing(rotate(fresh.ID, 1, 0))
	})
}

func TestOneOfManyRotatesAGeneration(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		must(t, s.CreateGrant(patient(t), withRefresh("g", 1)))
		for generation := range int64(3) {
			oneWins(t, storage.ErrConsumed, func(int) error {
				g, err := s.RotateRefresh(patient(t), "g", generation+1, clock(0), clock(time.Hour))
				if g.RefreshGeneration != generation+2 {
					t.Errorf("generation %d along with %v, want %d", g.RefreshGeneration, err, generation+2)
				}
				return err
			})
		}
	})
}

func TestRevokeGrants(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		all := []storage.Grant{
			{ID: "1", UserID: "u", ClientID: "a", SessionID: "s1"},
			{ID: "2", UserID: "u", ClientID: "b", SessionID: "s1", Offline: true},
			{ID: "3", UserID: "u", ClientID: "a", SessionID: "s2"},
			{ID: "4", UserID: "v", ClientID: "a", SessionID: "s3"},
			{ID: "5", UserID: "v", ClientID: "b", SessionID: "s3", RevokedAt: clock(-time.Minute)},
		}
		for _, g := range all {
			g.ExpiresAt = clock(time.Hour)
			must(t, s.CreateGrant(ctx, g))
		}
		standing := func() (ids string) {
			for _, g := range all {
				got, err := s.Grant(ctx, g.ID)
				must(t, err)
				if got.RevokedAt.IsZero() {
					ids += g.ID
				}
			}
			return ids
		}
		for _, filter := range []storage.GrantFilter{{}, {KeepOffline: true}} {
			if _, err := s.RevokeGrants(ctx, filter, clock(0)); err == nil {
				t.Errorf("the filter %+v was accepted", filter)
			}
		}
		for _, step := range []struct {
			filter storage.GrantFilter
			n      int
			left   string
		}{
			{storage.GrantFilter{UserID: "nobody"}, 0, "1234"},
			{storage.GrantFilter{UserID: "u", ClientID: "b", SessionID: "s2"}, 0, "1234"},
			{storage.GrantFilter{SessionID: "s1", KeepOffline: true}, 1, "234"},
			{storage.GrantFilter{ClientID: "a", UserID: "u"}, 1, "24"},
			{storage.GrantFilter{ClientID: "b"}, 1, "4"},
			{storage.GrantFilter{UserID: "v"}, 1, ""},
			{storage.GrantFilter{UserID: "v"}, 0, ""},
		} {
			n, err := s.RevokeGrants(ctx, step.filter, clock(0))
			must(t, err)
			if left := standing(); n != step.n || left != step.left {
				t.Errorf("%+v revoked %d and left %q, want %d and %q", step.filter, n, left, step.n, step.left)
			}
		}
		g, err := s.Grant(ctx, "5")
		must(t, err)
		equal(t, g.RevokedAt, kept(clock(-time.Minute))) // the first time counts
	})
}

func TestGrantsOfUser(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		for i, change := range []func(*storage.Grant){
			func(g *storage.Grant) {},
			func(g *storage.Grant) { g.CreatedAt = clock(time.Minute) },
			func(g *storage.Grant) { g.CodeHash, g.CodeUsedAt, g.CreatedAt = "", time.Time{}, clock(-time.Minute) }, // never had a code
			func(g *storage.Grant) { g.CodeUsedAt = time.Time{} },
			func(g *storage.Grant) { g.ExpiresAt = clock(5 * time.Minute) },
			func(g *storage.Grant) { g.RevokedAt = clock(0) },
			func(g *storage.Grant) { g.UserID = "other" },
		} {
			g := withRefresh(fmt.Sprint(i), 1)
			change(&g)
			must(t, s.CreateGrant(ctx, g))
		}
		ids := func() (ids []string) {
			all, err := s.GrantsOfUser(ctx, "u", clock(5*time.Minute))
			must(t, err)
			for _, g := range all {
				ids = append(ids, g.ID)
			}
			return ids
		}
		equal(t, ids(), []string{"1", "0", "2"})
		g := withCode("new")
		g.CreatedAt = clock(2 * time.Minute)
		must(t, s.CreateGrant(ctx, g))
		equal(t, ids(), []string{"1", "0", "2"})
		_, err := s.RedeemCode(ctx, "new", "code of new", clock(0), time.Time{}, clock(time.Hour))
		must(t, err)
		equal(t, ids(), []string{"new", "1", "0", "2"})
		must(t, s.RevokeGrant(ctx, "1", clock(0)))
		equal(t, ids(), []string{"new", "0", "2"})
	})
}

func TestGrantsOfUserAreAtMost500(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < 510; i += 16 {
					g := withRefresh(fmt.Sprint(i), 1)
					g.CreatedAt = clock(time.Duration(i) * time.Second)
					if err := s.CreateGrant(patient(t), g); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		all, err := s.GrantsOfUser(patient(t), "u", clock(0))
		must(t, err)
		if len(all) != 500 || all[0].ID != "509" || all[499].ID != "10" {
			t.Errorf("%d grants", len(all))
		}
	})
}

func TestClientsOfSession(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		for i, g := range []storage.Grant{
			{ClientID: "b", SessionID: "s"}, {ClientID: "a", SessionID: "s", RevokedAt: clock(0)}, {ClientID: "b", SessionID: "s"}, {ClientID: "c", SessionID: "t"},
		} {
			g.ID, g.ExpiresAt = fmt.Sprint(i), clock(time.Hour)
			must(t, s.CreateGrant(ctx, g))
		}
		got, err := s.ClientsOfSession(ctx, "s")
		must(t, err)
		equal(t, got, []string{"a", "b"})
		got, err = s.ClientsOfSession(ctx, "none")
		must(t, err)
		equal(t, got, []string(nil))
	})
}

func TestTokens(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		const kind, other = storage.TokenInitialAccess, storage.TokenAccess
		token := storage.Token{Hash: "h", Kind: kind, ExpiresAt: clock(time.Minute)}
		must(t, s.CreateToken(ctx, token))
		want(t, s.CreateToken(ctx, token), storage.ErrConflict)
		want(t, s.CreateToken(ctx, storage.Token{Hash: "h", Kind: other}), storage.ErrConflict)
		_, err := s.Token(ctx, other, "h")
		want(t, err, storage.ErrNotFound)
		_, err = s.Token(ctx, kind, "none")
		want(t, err, storage.ErrNotFound)

		nothing := func(got storage.Token, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, got, storage.Token{})
		}
		nothing(s.ConsumeToken(ctx, other, "h", clock(0)))
		nothing(s.ConsumeToken(ctx, kind, "none", clock(0)))
		nothing(s.ConsumeToken(ctx, kind, "h", clock(time.Minute)))
		got, err := s.ConsumeToken(ctx, kind, "h", clock(time.Second))
		must(t, err)
		token.ConsumedAt = clock(time.Second)
		equal(t, got, kept(token))
		for _, at := range []time.Duration{2 * time.Second, time.Hour} {
			got, err = s.ConsumeToken(ctx, kind, "h", clock(at))
			want(t, err, storage.ErrConsumed)
			equal(t, got, kept(token))
		}
		got, err = s.Token(ctx, kind, "h")
		must(t, err)
		equal(t, got, kept(token))

		must(t, s.DeleteToken(ctx, other, "h"))
		_, err = s.Token(ctx, kind, "h")
		must(t, err)
		must(t, s.DeleteToken(ctx, kind, "h"))
		must(t, s.DeleteToken(ctx, kind, "h"))
		_, err = s.Token(ctx, kind, "h")
		want(t, err, storage.ErrNotFound)
	})
}

func TestOneOfManyConsumesAToken(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		must(t, s.CreateToken(patient(t), storage.Token{Hash: "h", Kind: "k", ExpiresAt: clock(time.Minute)}))
		oneWins(t, storage.ErrConsumed, func(int) error {
			token, err := s.ConsumeToken(patient(t), "k", "h", clock(0))
			if token.Hash != "h" || token.ConsumedAt.IsZero() {
				t.Errorf("got %+v along with %v", token, err)
			}
			return err
		})
	})
}

func TestSpend(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		spent := func(kind, id string, at time.Duration, want bool) {
			t.Helper()
			got, err := s.Spent(ctx, kind, id, clock(at))
			must(t, err)
			equal(t, got, want)
		}
		spent("k", "a", 0, false)
		must(t, s.Spend(ctx, "k", "a", clock(0), clock(time.Minute)))
		spent("k", "a", 0, true)
		spent("other", "a", 0, false)
		spent("k", "b", 0, false)
		spent("k", "a", time.Minute, false)
		want(t, s.Spend(ctx, "k", "a", clock(time.Minute-time.Millisecond), clock(time.Hour)), storage.ErrConsumed)
		must(t, s.Spend(ctx, "other", "a", clock(0), clock(time.Minute)))
		must(t, s.Spend(ctx, "k", "b", clock(0), clock(time.Minute)))

		must(t, s.Spend(ctx, "k", "a", clock(time.Minute), clock(time.Hour))) // it has expired
		spent("k", "a", 2*time.Minute, true)
		want(t, s.Spend(ctx, "k", "a", clock(2*time.Minute), clock(time.Hour)), storage.ErrConsumed)

		long := strings.Repeat("é\x00", 2000) // a jti is what somebody else made up
		must(t, s.Spend(ctx, "k", long, clock(0), clock(time.Hour)))
		want(t, s.Spend(ctx, "k", long, clock(0), clock(time.Hour)), storage.ErrConsumed)
	})
}

func TestOneOfManySpends(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		for _, at := range []time.Duration{0, time.Minute} { // as a new entry, and as one that has expired
			oneWins(t, storage.ErrConsumed, func(int) error {
				return s.Spend(patient(t), "k", "id", clock(at), clock(at+time.Minute))
			})
		}
	})
}

func TestAttempts(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		count := func(key string, at time.Duration, want int, reset time.Duration) {
			t.Helper()
			n, resetAt, err := s.CountAttempt(ctx, key, clock(at), time.Minute)
			must(t, err)
			if n != want || !resetAt.Equal(kept(clock(reset))) || resetAt.Location() != time.UTC {
				t.Errorf("attempt %d until %v, want %d until %v", n, resetAt, want, clock(reset))
			}
		}
		count("k", 0, 1, time.Minute)
		count("k", time.Second, 2, time.Minute)
		count("other", time.Second, 1, time.Minute+time.Second)
		count("k", time.Minute-time.Millisecond, 3, time.Minute)
		count("k", time.Minute, 1, 2*time.Minute) // a new window
		count("k", time.Minute, 2, 2*time.Minute)
		count("k", time.Minute, 3, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 2))
		count("k", time.Minute, 2, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 100))
		count("k", time.Minute, 1, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 0))
		count("k", time.Minute, 2, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", -1))
		count("k", 90*time.Second, 1, 150*time.Second)
		must(t, s.ForgiveAttempts(ctx, "none", 1))
		must(t, s.ForgiveAttempts(ctx, "none", -1))
	})
}

func TestConcurrentAttemptsGetDistinctCounts(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		for _, at := range []time.Duration{0, time.Minute} { // in the first window, and at the change of windows
			var mu sync.Mutex
			var counts []int
			race(t, nil, func(int) error {
				n, _, err := s.CountAttempt(patient(t), "k", clock(at), time.Minute)
				mu.Lock()
				defer mu.Unlock()
				counts = append(counts, n)
				return err
			})
			slices.Sort(counts)
			for i, n := range counts {
				if n != i+1 {
					t.Fatalf("counts %v", counts)
				}
			}
		}
		race(t, nil, func(int) error { return s.ForgiveAttempts(patient(t), "k", 1) })
		n, _, err := s.CountAttempt(patient(t), "k", clock(time.Minute), time.Minute)
		must(t, err)
		equal(t, n, 1)
	})
}

func delivery(id string) storage.LogoutDelivery {
	return storage.LogoutDelivery{ID: id, LogoutID: "l", ClientID: "client " + id, CreatedAt: clock(0), NextAt: clock(0), ExpiresAt: clock(time.Hour)}
}

func TestLogoutDeliveries(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		lease := func(at, until time.Duration) (storage.LogoutDelivery, error) {
			return s.LeaseLogoutDelivery(ctx, clock(at), clock(until))
		}
		none := func(at time.Duration) {
			t.Helper()
			d, err := lease(at, at+time.Minute)
			want(t, err, storage.ErrNotFound)
			equal(t, d, storage.LogoutDelivery{})
		}
		none(0)
		a, b := delivery("a"), delivery("b")
		a.NextAt, b.LogoutID = clock(time.Minute), "another"
		must(t, s.CreateLogoutDelivery(ctx, a))
		want(t, s.CreateLogoutDelivery(ctx, a), storage.ErrConflict)
		none(time.Minute - time.Millisecond)

		got, err := lease(time.Minute, 2*time.Minute)
		must(t, err)
		a.NextAt, a.Attempts = clock(2*time.Minute), 1
		equal(t, got, kept(a))
		none(time.Minute)
		got, err = lease(2*time.Minute, 3*time.Minute) // the lease ran out
		must(t, err)
		equal(t, got.Attempts, 2)

		stale := a
		stale.NextAt, stale.LastError = clock(time.Minute), "from a lease that ran out"
		must(t, s.UpdateLogoutDelivery(ctx, stale))
		none(2 * time.Minute)

		a = got
		a.NextAt, a.LastError = clock(10*time.Minute), "connection refused"
		must(t, s.UpdateLogoutDelivery(ctx, a))
		none(10*time.Minute - time.Millisecond)
		got, err = lease(10*time.Minute, 11*time.Minute)
		must(t, err)
		equal(t, got.LastError, "connection refused")
		got.DeliveredAt, got.LastError = clock(10*time.Minute), ""
		must(t, s.UpdateLogoutDelivery(ctx, got))
		late := got
		late.DeliveredAt, late.LastError = time.Time{}, "too late"
		must(t, s.UpdateLogoutDelivery(ctx, late)) // what was delivered stays so
		none(30 * time.Minute)
		all, err := s.LogoutDeliveries(ctx, "l")
		must(t, err)
		equal(t, all, []storage.LogoutDelivery{kept(got)})

		must(t, s.CreateLogoutDelivery(ctx, b))
		none(time.Hour) // it has expired by then
		c := delivery("c")
		c.DeliveredAt = clock(0)
		must(t, s.CreateLogoutDelivery(ctx, c))
		got, err = lease(0, time.Minute)
		must(t, err)
		equal(t, got.ID, "b")
		none(0)
		must(t, s.CreateLogoutDelivery(ctx, storage.LogoutDelivery{ID: "0", LogoutID: "l", ClientID: "z", ExpiresAt: clock(time.Hour)}))
		all, err = s.LogoutDeliveries(ctx, "l")
		must(t, err)
		if len(all) != 3 || all[0].ID != "a" || all[1].ID != "c" || all[2].ID != "0" {
			t.Errorf("deliveries: %+v", all)
		}
		must(t, s.UpdateLogoutDelivery(ctx, delivery("gone")))
		all, err = s.LogoutDeliveries(ctx, "none")
		must(t, err)
		equal(t, len(all), 0)
	})
}

func TestNoTwoLeaseTheSameDelivery(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		const due = 5
		for i := range due {
			must(t, s.CreateLogoutDelivery(patient(t), delivery(fmt.Sprint(i))))
		}
		var leased sync.Map
		won := race(t, storage.ErrNotFound, func(int) error {
			d, err := s.LeaseLogoutDelivery(patient(t), clock(0), clock(time.Minute))
			if err == nil {
				if _, twice := leased.LoadOrStore(d.ID, true); twice {
					t.Errorf("delivery %s was leased twice", d.ID)
				}
			}
			return err
		})
		equal(t, won, due)
	})
}

func TestKeySet(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		set, err := s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{})
		swap := func(version int64, want bool) {
			t.Helper()
			swapped, err := s.SwapKeySet(ctx, keys.KeySet{Version: version, Keys: []keys.StoredKey{{ID: fmt.Sprint("key ", version)}}})
			must(t, err)
			equal(t, swapped, want)
		}
		swap(0, false)
		swap(2, false)
		set, err = s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{})
		swap(1, true)
		swap(1, false)
		swap(3, false)
		swap(2, true)
		set, err = s.KeySet(ctx)
		must(t, err)
		equal(t, set, keys.KeySet{Version: 2, Keys: []keys.StoredKey{{ID: "key 2"}}})
	})
}

func TestOneOfManySwapsTheKeySet(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		errLost := errors.New("not swapped")
		for version := range int64(3) {
			oneWins(t, errLost, func(i int) error {
				swapped, err := s.SwapKeySet(patient(t), keys.KeySet{Version: version + 1, Keys: []keys.StoredKey{{ID: fmt.Sprint(i)}}})
				if err == nil && !swapped {
					return errLost
				}
				return err
			})
		}
	})
}

func TestSetOnceGivesEverybodyTheSame(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		_, err := s.Setting(ctx, "name")
		want(t, err, storage.ErrNotFound)
		values := make([]string, callers)
		race(t, nil, func(i int) error {
			v, err := s.SetOnce(ctx, "name", []byte{0, byte(i), 255})
			values[i] = string(v)
			return err
		})
		stored, err := s.Setting(ctx, "name")
		must(t, err)
		for _, v := range values {
			if v != string(stored) || len(v) != 3 {
				t.Fatalf("one got %q, stored is %q", v, stored)
			}
		}
		again, err := s.SetOnce(ctx, "name", []byte("later"))
		must(t, err)
		equal(t, again, stored)
		other, err := s.SetOnce(ctx, "other", nil)
		must(t, err)
		equal(t, len(other), 0)
		other, err = s.SetOnce(ctx, "other", []byte("x"))
		must(t, err)
		equal(t, len(other), 0)
	})
}

func TestPurgeTakesNothingThatAnAnswerDependsOn(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
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
		_, err = s.RedeemCode(ctx, "g", "code of g", clock(0), clock(48*time.Hour), clock(48*time.Hour))
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
		_, err = s.RedeemCode(ctx, "g", "code of g", clock(time.Hour), clock(2*time.Hour), clock(2*time.Hour))
		want(t, err, storage.ErrConsumed)
		_, err = s.ConsumeToken(ctx, "k", "t", clock(time.Hour))
		want(t, err, storage.ErrConsumed)
		want(t, s.Spend(ctx, "k", "id", clock(time.Hour), clock(2*time.Hour)), storage.ErrConsumed)
		n, _, err := s.CountAttempt(ctx, "k", clock(time.Hour), time.Hour)
		must(t, err)
		equal(t, n, 2)
		_, err = s.Interaction(ctx, "i")
		must(t, err)

		// The grant that is still good outlives the rest: two sessions, interaction, revoked grant, token, spent, attempt, delivery.
		purge(47*time.Hour, 8)
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
	contract(t, func(t *testing.T, s storage.Store) {
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
	contract(t, func(t *testing.T, s storage.Store) {
		must(t, s.CreateGrant(patient(t), withCode("g")))
		ctx, cancel := context.WithCancel(patient(t))
		cancel()
		_, read := s.Grant(ctx, "g")
		_, write := s.RedeemCode(ctx, "g", "code of g", clock(0), clock(0), clock(0))
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
		_, err := s.RedeemCode(patient(t), "g", "code of g", clock(0), clock(0), clock(time.Hour))
		must(t, err)
	})
}

func TestAClosedStoreAnswersNothing(t *testing.T) {
	contract(t, func(t *testing.T, s storage.Store) {
		ctx := patient(t)
		must(t, s.Ping(ctx))
		must(t, s.CreateGrant(ctx, withCode("g")))
		must(t, s.Close())
		_, read := s.Grant(ctx, "g")
		_, write := s.RedeemCode(ctx, "g", "code of g", clock(0), clock(0), clock(0))
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

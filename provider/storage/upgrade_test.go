package storage_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// oldNoon is the clock of the databases in testdata.
var oldNoon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// testdata/schema-1.db.gz was made by the program as it was with schema version 1: group, user,
// client and keys by its commands, the rest by its store.
func TestDatabaseOfSchemaVersion1OpensAndWorks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	packed, err := os.Open("testdata/schema-1.db.gz")
	must(t, err)
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	must(t, err)
	data, err := io.ReadAll(unpacked)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	for range 2 { // the second time there is nothing to do
		s, err := storage.OpenSQLite(t.Context(), path)
		must(t, err)
		must(t, s.Close())
	}
	checkIntegrity(t, path)
	s := open(t, path)
	ctx := patient(t)

	ada, err := s.UserByUsername(ctx, "ada")
	must(t, err)
	if ada.Claims.Email != "ada@example.com" || ada.Groups[0] != "staff" || ada.Version < 1 {
		t.Errorf("the user: %+v", ada)
	}
	must(t, s.UpdateUser(ctx, ada))
	byEmail, err := s.UsersByEmail(ctx, "ada@example.com", 2)
	must(t, err)
	if len(byEmail) != 1 || byEmail[0].ID != ada.ID {
		t.Errorf("by e-mail address: %+v", byEmail)
	}
	found, err := s.FindUsers(ctx, storage.UserFilter{Search: "ada", Group: "staff", State: storage.UserEnabled}, "", 2)
	must(t, err)
	equal(t, len(found), 1)
	permits, err := s.InitialAccessTokens(ctx)
	must(t, err)
	equal(t, len(permits), 2)
	staff, err := s.Group(ctx, "staff")
	must(t, err)
	equal(t, []any{staff.Description, staff.Roles, staff.Version}, []any{"Who works here", []string{"editor"},
		int64(1)})
	must(t, s.UpdateGroup(ctx, staff))
	c, err := s.Client(ctx, "notes")
	must(t, err)
	equal(t, c.RedirectURIs, []string{"https://notes.example.com/callback"})
	allowed, err := s.OriginAllowed(ctx, "https://notes.example.com")
	must(t, err)
	equal(t, allowed, len(c.CORSOrigins) > 0)
	set, err := s.KeySet(ctx)
	must(t, err)
	if set.Version < 1 || len(set.Keys) == 0 {
		t.Errorf("the keys: %+v", set)
	}
	set.Version++
	swapped, err := s.SwapKeySet(ctx, set)
	must(t, err)
	equal(t, swapped, true)
	consent, err := s.Consent(ctx, ada.ID, "notes")
	must(t, err)
	equal(t, consent.Scope, []string{"openid", "email"})

	checkOldRecords(t, s, ada.ID)
	n, err := s.Purge(ctx, oldNoon.Add(1000*time.Hour))
	must(t, err)
	equal(t, n, 12) // sessions, interaction, grants, tokens, spent, attempts, deliveries
}

// checkOldRecords checks the records that have an end, and that each can be changed.
func checkOldRecords(t *testing.T, s *storage.Store, userID string) {
	t.Helper()
	ctx := patient(t)
	session, err := s.Session(ctx, "session-1")
	must(t, err)
	equal(t, []any{session.UserID, session.Version}, []any{userID, int64(1)})
	_, err = s.EndSession(ctx, "session-2", oldNoon)
	want(t, err, storage.ErrConsumed)
	_, err = s.EndSession(ctx, "session-1", oldNoon)
	must(t, err)
	i, err := s.Interaction(ctx, "interaction-1")
	must(t, err)
	equal(t, i.ReturnTo, "/account")
	must(t, s.FinishInteraction(ctx, "interaction-1"))

	_, err = redeem(ctx, s, "grant-1", storage.Hash("code of grant-1"), oldNoon, time.Time{}, oldNoon.Add(time.Hour))
	want(t, err, storage.ErrConsumed)
	_, err = rotate(ctx, s, "grant-1", 1, oldNoon, oldNoon.Add(time.Hour))
	must(t, err)
	_, err = redeem(ctx, s, "grant-2", storage.Hash("code of grant-2"), oldNoon, time.Time{}, oldNoon.Add(time.Hour))
	must(t, err)
	g, err := s.Grant(ctx, "grant-3")
	must(t, err)
	equal(t, g.RevokedAt, oldNoon.Add(time.Minute))
	n, err := s.RevokeGrants(ctx, storage.GrantFilter{SessionID: "session-1"}, oldNoon)
	must(t, err)
	equal(t, n, 2)

	_, err = s.ConsumeToken(ctx, storage.TokenInitialAccess, "token-2", oldNoon)
	want(t, err, storage.ErrConsumed)
	_, err = s.ConsumeToken(ctx, storage.TokenInitialAccess, "token-1", oldNoon)
	must(t, err)
	want(t, s.Spend(ctx, "jti", "an assertion", oldNoon, oldNoon.Add(time.Hour)), storage.ErrConsumed)
	count, _, err := s.CountAttempt(ctx, "attempts", oldNoon, time.Hour)
	must(t, err)
	equal(t, count, 4)
	d, err := s.LeaseLogoutDelivery(ctx, oldNoon, oldNoon.Add(time.Minute))
	must(t, err)
	equal(t, d.ID, "delivery-1")
	_, err = s.LeaseLogoutDelivery(ctx, oldNoon, oldNoon.Add(time.Minute))
	want(t, err, storage.ErrNotFound)
	value, err := s.Setting(ctx, "a setting")
	must(t, err)
	equal(t, string(value), "its value")
}

// The documents are as the program wrote them with schema version 1.
func TestMongoDBOfSchemaVersion1OpensAndWorks(t *testing.T) {
	t.Parallel()
	uri := storagetest.MongoURI(t)
	ctx := patient(t)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	must(t, err)
	t.Cleanup(func() { _ = client.Disconnect(ctx) })
	name, err := storage.DatabaseName(uri)
	must(t, err)
	db := client.Database(name)
	at, hour := oldNoon, oldNoon.Add(time.Hour)
	purge := bson.E{Key: "purge", Value: time.Now().Add(time.Hour)} // by the clock of the database
	grant := func(id string, more ...bson.E) bson.D {
		return append(bson.D{{Key: "_id", Value: id}, {Key: "user_id", Value: "ada"},
			{Key: "client_id", Value: "notes"},
			{Key: "session_id", Value: "session-1"}, {Key: "scope", Value: bson.A{"openid"}},
			{Key: "claims", Value: bson.D{}}, {Key: "created_at", Value: at}, {Key: "last_used", Value: at},
			{Key: "expires_at", Value: at.Add(48 * time.Hour)},
			{Key: "code_hash", Value: storage.Hash("code of " + id)},
			{Key: "code_expires_at", Value: at.Add(time.Minute)},
			{Key: "mark", Value: "M"}, purge}, more...)
	}
	session := func(id string, more ...bson.E) bson.D {
		return append(bson.D{{Key: "_id", Value: id}, {Key: "secret_hash", Value: "h"}, {Key: "user_id", Value: "ada"},
			{Key: "auth_time", Value: at},
			{Key: "state", Value: "s"}, {Key: "created_at", Value: at}, {Key: "last_seen", Value: at},
			{Key: "idle_at", Value: hour},
			{Key: "expires_at", Value: hour}, {Key: "mark", Value: "M"}, purge}, more...)
	}
	delivery := func(id string, more ...bson.E) bson.D {
		return append(bson.D{{Key: "_id", Value: id}, {Key: "logout_id", Value: "logout"},
			{Key: "client_id", Value: "notes"}, {Key: "attempts", Value: 0},
			{Key: "next_at", Value: at}, {Key: "expires_at", Value: hour}, {Key: "created_at", Value: at},
			{Key: "mark", Value: "M"}}, more...)
	}
	for collection, docs := range map[string][]bson.D{
		"meta": {{{Key: "_id", Value: "schema"}, {Key: "version", Value: 1}}},
		"groups": {{{Key: "_id", Value: "staff"}, {Key: "description", Value: "Who works here"},
			{Key: "created_at", Value: at}}},
		"consents": {{{Key: "_id", Value: bson.D{{Key: "user", Value: "ada"}, {Key: "client", Value: "notes"}}},
			{Key: "user_id", Value: "ada"},
			{Key: "client_id", Value: "notes"}, {Key: "scope", Value: bson.A{"openid", "email"}},
			{Key: "created_at", Value: at}, {Key: "updated_at", Value: at}}},
		"users": {{{Key: "_id", Value: "ada"}, {Key: "username", Value: "ada"}, {Key: "groups", Value: bson.A{"staff"}},
			{Key: "claims", Value: bson.D{{Key: "name", Value: "Ada King"}}}, {Key: "created_at", Value: at},
			{Key: "updated_at", Value: at}}},
		"sessions": {session("session-1"), session("session-2", bson.E{Key: "ended_at", Value: at})},
		"interactions": {{{Key: "_id", Value: "interaction-1"}, {Key: "browser_hash", Value: "h"},
			{Key: "return_to", Value: "/account"},
			{Key: "created_at", Value: at}, {Key: "expires_at", Value: hour}, {Key: "version", Value: int64(1)},
			{Key: "mark", Value: "M"}}},
		"grants": {
			grant("grant-1", bson.E{Key: "code_used_at", Value: at}, bson.E{Key: "refresh_generation", Value: int64(1)},
				bson.E{Key: "refresh_idle_at", Value: hour}),
			grant("grant-2"), grant("grant-3", bson.E{Key: "revoked_at", Value: at.Add(time.Minute)})},
		"tokens": {
			{{Key: "_id", Value: "token-1"}, {Key: "kind", Value: "initial_access"}, {Key: "created_at", Value: at},
				{Key: "expires_at", Value: hour}},
			{{Key: "_id", Value: "token-2"}, {Key: "kind", Value: "initial_access"}, {Key: "created_at", Value: at},
				{Key: "expires_at", Value: hour}, {Key: "consumed_at", Value: at}}},
		"spent": {{{Key: "_id", Value: bson.D{{Key: "kind", Value: "jti"}, {Key: "id", Value: "an assertion"}}},
			{Key: "expires_at", Value: hour},
			{Key: "mark", Value: "M"}, purge}},
		"attempts": {{{Key: "_id", Value: "attempts"}, {Key: "count", Value: 3},
			{Key: "reset_at", Value: hour}, purge}},
		"logout_deliveries": {delivery("delivery-1", bson.E{Key: "due", Value: at}),
			delivery("delivery-2", bson.E{Key: "delivered_at", Value: at})},
		"settings": {{{Key: "_id", Value: "a setting"}, {Key: "value", Value: []byte("its value")}}},
	} {
		_, err := db.Collection(collection).InsertMany(ctx, docs)
		must(t, err)
	}

	s, err := storage.OpenMongoDB(ctx, uri)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	again, err := storage.OpenMongoDB(ctx, uri)
	must(t, err)
	must(t, again.Close())
	found, err := s.FindUsers(ctx, storage.UserFilter{Search: "king", Group: "staff", State: storage.UserEnabled}, "", 2)
	must(t, err)
	equal(t, len(found), 1)
	permits, err := s.InitialAccessTokens(ctx)
	must(t, err)
	equal(t, len(permits), 2)
	staff, err := s.Group(ctx, "staff")
	must(t, err)
	must(t, s.UpdateGroup(ctx, staff))
	must(t, s.AddConsent(ctx, storage.Consent{UserID: "ada", ClientID: "notes", Scope: []string{"profile"}}))
	consents, err := s.ConsentsOfUser(ctx, "ada")
	must(t, err)
	if len(consents) != 1 || len(consents[0].Scope) != 3 {
		t.Errorf("consents: %+v", consents)
	}
	checkOldRecords(t, s, "ada")
}

func TestMongoDBSharedAddressesAreNoNamesAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	uri := storagetest.MongoURI(t)
	ctx := patient(t)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	must(t, err)
	t.Cleanup(func() { _ = client.Disconnect(ctx) })
	name, err := storage.DatabaseName(uri)
	must(t, err)
	db := client.Database(name)
	_, err = db.Collection("meta").InsertOne(ctx, bson.D{{Key: "_id", Value: "schema"}, {Key: "version", Value: 3}})
	must(t, err)
	for _, u := range [][3]string{{"1", "ada", "shared@example.com"}, {"2", "bob", "Shared@example.com"},
		{"3", "carl", "dora@example.com"}, {"4", "dora@example.com", "d@example.com"}} {
		_, err = db.Collection("users").InsertOne(ctx, bson.D{{Key: "_id", Value: u[0]},
			{Key: "username", Value: u[1]}, {Key: "version", Value: int64(1)},
			{Key: "claims", Value: bson.D{{Key: "email", Value: u[2]}, {Key: "email_verified", Value: true}}}})
		must(t, err)
	}
	s, err := storage.OpenMongoDB(ctx, uri)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	for name, id := range map[string]string{"ada": "1", "bob": "2", "carl": "3", "dora@example.com": "4",
		"d@example.com": "4"} {
		u, err := s.UserBySignInName(ctx, name)
		must(t, err)
		equal(t, u.ID, id)
	}
	_, err = s.UserBySignInName(ctx, "shared@example.com")
	want(t, err, storage.ErrNotFound)
}

package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// mongoUpgrade changes a database from one schema version to the next. It may end half way, and
// several instances may run it at the same time: it can be done again, also to what it has changed
// already.
type mongoUpgrade func(context.Context, *MongoDB) error

// mongoUpgrades lead from schema version 1 to the current one, which is 1 + len(mongoUpgrades).
// Those that were released are never edited, only followed. A new database gets the current version
// at once; indexes are made at every start.
var mongoUpgrades = []mongoUpgrade{mongoUpgradeToRows, mongoUpgradeToAdministration,
	mongoUpgradeToSignInNames}

// prepare brings the stored form up to date and makes the indexes. Making one that exists does
// nothing, so that several instances may start at once.
func (m *MongoDB) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mongoStartTimeout)
	defer cancel()
	first, cancelFirst := context.WithTimeout(ctx, mongoFirstTimeout)
	defer cancelFirst()
	if err := m.client.Ping(first, readpref.Primary()); err != nil {
		return unreachable(err)
	}
	var announced bson.D
	if err := m.db.RunCommand(ctx, document("buildInfo", 1)).Decode(&announced); err != nil {
		return fmt.Errorf("ask the server what it is: %w", err)
	}
	if err := supportedServer(announced); err != nil {
		return err
	}
	if err := m.migrate(ctx, mongoUpgrades); err != nil {
		return err
	}
	for _, t := range tables {
		models := mongoIndexes(t)
		if len(models) == 0 {
			continue
		}
		err := again(ctx, func(ctx context.Context) error {
			_, err := m.collections[t].Indexes().CreateMany(ctx, models)
			return err
		})
		if err != nil {
			return fmt.Errorf("make indexes of %s: %w", t.Name, err)
		}
	}
	return nil
}

// mongoOldest is the oldest version of MongoDB that is supported.
const mongoOldest = 5

// supportedServer returns an error for a server whose answer to buildInfo tells that it is not
// known to do what the store rests on: an update of one document that is atomic, and that is done
// once when the driver repeats it after a lost answer.
func supportedServer(announced bson.D) error {
	version := ""
	for _, e := range announced {
		name := strings.ToLower(e.Key)
		switch {
		case strings.HasPrefix(name, "ferretdb"):
			return errors.New("this server is FerretDB, which speaks MongoDB's protocol and is not supported: as released, a code could be redeemed twice there. " +
				"Use MongoDB itself, or the embedded database")
		case strings.HasPrefix(name, "documentdb"), strings.HasPrefix(name, "cosmos"):
			return fmt.Errorf("this server announces %s: it speaks MongoDB's protocol and is not supported. Use MongoDB itself, or the embedded database", e.Key)
		case name == "version":
			version, _ = e.Value.(string)
		}
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < mongoOldest {
		return fmt.Errorf("this server announces version %q; MongoDB %d or later is supported", version, mongoOldest)
	}
	return nil
}

// migrate runs the upgrades that the database has not had.
func (m *MongoDB) migrate(ctx context.Context, upgrades []mongoUpgrade) error {
	current := 1 + len(upgrades)
	var schema struct {
		Version int `bson:"version"`
	}
	err := upsert(ctx, m.meta, byID("schema"), document("$setOnInsert", document("version", current)), &schema)
	if err != nil {
		return err
	}
	if schema.Version > current {
		return fmt.Errorf("database %s has schema version %d, this program knows versions up to %d: run a newer latchkey, or restore a backup from before the upgrade",
			m.db.Name(), schema.Version, current)
	}
	for version := max(schema.Version, 1); version < current; version++ {
		if err := upgrades[version-1](ctx, m); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version+1, err)
		}
		// Another instance may have come further meanwhile.
		_, err := m.meta.UpdateOne(ctx, document(FieldID, "schema", "version", document("$lte", version)),
			document("$set", document("version", version+1)))
		if err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version+1, err)
		}
	}
	return nil
}

// mongoIndexes is what a table is looked up by.
func mongoIndexes(t *Table) []mongo.IndexModel {
	var models []mongo.IndexModel
	for _, f := range t.Unique {
		models = append(models, mongo.IndexModel{Keys: document(f, 1), Options: options.Index().SetUnique(true)})
	}
	for _, x := range t.Indexes {
		keys := bson.D{}
		for _, f := range x.Fields {
			direction := 1
			if name, descending := strings.CutPrefix(f, "-"); descending {
				f, direction = name, -1
			}
			keys = append(keys, bson.E{Key: f, Value: direction})
		}
		model := mongo.IndexModel{Keys: keys, Options: options.Index()}
		if x.Sparse {
			model.Options.SetSparse(true)
		}
		if x.Unique { // of a list: of its texts, between documents
			model.Options.SetUnique(true)
		}
		models = append(models, model)
	}
	if t.Purged {
		// The database's own clock removes what is long over. No answer depends on it (see
		// purgeField).
		models = append(models, mongo.IndexModel{Keys: document(fieldPurge, 1),
			Options: options.Index().SetExpireAfterSeconds(0)})
	}
	return models
}

// mongoUpgradeToRows leads from version 1 to version 2: every record has a version, and every ID is
// one text.
func mongoUpgradeToRows(ctx context.Context, m *MongoDB) error {
	for _, t := range tables {
		err := again(ctx, func(ctx context.Context) error {
			_, err := m.collections[t].UpdateMany(ctx, document(fieldVersion, nil),
				document("$set", document(fieldVersion, int64(1))))
			return err
		})
		if err != nil {
			return err
		}
	}
	// IDs of these were documents of two texts.
	for _, of := range []struct {
		table         *Table
		first, second string
		id            func(first, second string) string
	}{
		{&consents.Table, "user", "client", consentID},
		{&spent.Table, "kind", "id", spentID},
	} {
		c := m.collections[of.table]
		cursor, err := c.Find(ctx, document(FieldID+"."+of.first, document("$exists", true)))
		if err != nil {
			return err
		}
		defer cursor.Close(context.WithoutCancel(ctx))
		for cursor.Next(ctx) {
			var doc bson.D
			if err := cursor.Decode(&doc); err != nil {
				return err
			}
			old := cursor.Current.Lookup(FieldID)
			first, _ := old.Document().Lookup(of.first).StringValueOK()
			second, _ := old.Document().Lookup(of.second).StringValueOK()
			doc[0].Value = of.id(first, second) // _id comes first in every stored document
			if _, err := c.InsertOne(ctx, doc); err != nil && !mongo.IsDuplicateKeyError(err) {
				return err
			}
			if _, err := c.DeleteOne(ctx, document(FieldID, old)); err != nil {
				return err
			}
		}
		if err := cursor.Err(); err != nil {
			return err
		}
	}
	return nil
}

// mongoUpgradeToAdministration leads from version 2 to version 3: users are found by words, and
// initial access tokens at all.
func mongoUpgradeToAdministration(ctx context.Context, m *MongoDB) error {
	s := New(m)
	err := eachUser(ctx, s, func(u User) error {
		// What another instance has written meanwhile has the words already.
		if err := s.UpdateUser(ctx, u); err != nil && err != ErrConflict && err != ErrNotFound {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return again(ctx, func(ctx context.Context) error {
		_, err := m.collections[&tokens.Table].UpdateMany(ctx, document("kind", TokenInitialAccess, "listed", nil),
			document("$set", document("listed", TokenInitialAccess)))
		return err
	})
}

// mongoUpgradeToSignInNames leads from version 3 to version 4: users are found by what they sign in
// with, and no two have a name in common.
func mongoUpgradeToSignInNames(ctx context.Context, m *MongoDB) error {
	s := New(m)
	names := signInNames{}
	if err := eachUser(ctx, s, names.see); err != nil {
		return err
	}
	return eachUser(ctx, s, func(u User) error {
		u.SharedAddress = names.shared(u)
		// What another instance has written meanwhile has the names already.
		if err := s.UpdateUser(ctx, u); err != nil && err != ErrConflict && err != ErrNotFound {
			return err
		}
		return nil
	})
}

// eachUser calls do for every user.
func eachUser(ctx context.Context, s *Store, do func(User) error) error {
	for after := ""; ; {
		page, err := s.Users(ctx, after, 500)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, u := range page {
			if err := do(u); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Username
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// throwawayDatabase gives a demonstration a database of its own beside the one that the connection
// string names, so that it neither touches what is there nor leaves anything behind.
func throwawayDatabase(uri string) (own string, drop func(within time.Duration) error, err error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme != "mongodb" && scheme != "mongodb+srv" {
		return "", nil, errors.New("--mongodb must begin with mongodb:// or mongodb+srv://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") && !strings.Contains(query, "authSource=") {
		// Without it, the database in the path is where the user is looked up.
		if path == "" {
			path = "admin"
		}
		query = strings.TrimPrefix(query+"&authSource="+path, "&")
	}
	name := "latchkey_demo_" + strings.ToLower(rand.Text()[:10])
	own = scheme + "://" + hosts + "/" + name
	if query != "" {
		own += "?" + query
	}
	return own, func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(own))
		if err != nil {
			return err
		}
		defer func() { _ = client.Disconnect(ctx) }()
		if err := client.Database(name).Drop(ctx); err != nil {
			return fmt.Errorf("drop the demonstration's database %s: %w", name, err)
		}
		return nil
	}, nil
}

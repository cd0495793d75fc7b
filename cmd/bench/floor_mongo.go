package main

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// insertMongoDB measures durable inserts by n callers at once. The time of the processor is that of
// the caller, not of the database.
func insertMongoDB(ctx context.Context, uri string, n int, length time.Duration) (cost, error) {
	client, name, err := connectMongoDB(uri)
	if err != nil {
		return cost{}, err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	rows := client.Database(name).Collection("bench_floor")
	defer func() { _ = rows.Drop(ctx) }()
	doc := make([]byte, rowSize)
	rand.Read(doc)
	var serial atomic.Uint64
	c, err := timed(length, func() error {
		failed := make(chan error, n)
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if _, err := rows.InsertOne(ctx, bson.D{{Key: "_id", Value: timeOrdered(serial.Add(1))},
					{Key: "doc", Value: doc}}); err != nil {
					failed <- err
				}
			})
		}
		wg.Wait()
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	})
	return cost{c.Wall / time.Duration(n), c.CPU / time.Duration(n)}, err
}

// dropMongoDB removes the database of a run.
func dropMongoDB(ctx context.Context, uri string) error {
	client, name, err := connectMongoDB(uri)
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	return client.Database(name).Drop(ctx)
}

func connectMongoDB(uri string) (client *mongo.Client, database string, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, "", err
	}
	journal := true
	client, err = mongo.Connect(mongooptions.Client().ApplyURI(uri).SetTimeout(time.Minute).
		SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: &journal}))
	return client, strings.Trim(u.Path, "/"), err
}

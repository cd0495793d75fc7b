package storage

import (
	"context"
	"time"
)

// FailedRequest is a request of a client that was refused, for administrators who look for the
// reason. It holds no secret, and is kept for days only.
type FailedRequest struct {
	ID        string            `bson:"_id"`        // made by NewID
	RequestID string            `bson:"request_id"` // the reference that a page shows, and the log has
	ClientID  string            `bson:"client_id"`  // as it was sent; there may be no such client
	Time      time.Time         `bson:"time"`
	Route     string            `bson:"route"`
	Status    int               `bson:"status"`
	Error     string            `bson:"error,omitempty"` // the error code, "" for a page
	Reason    string            `bson:"reason"`
	Received  map[string]string `bson:"received,omitempty"`
	Version   int64             `bson:"version"`
}

// keepFailedRequest is how long they are kept.
const keepFailedRequest = 7 * 24 * time.Hour

var failedRequests = register(table[FailedRequest]{
	Table: Table{Name: "failed_requests", Unique: []string{"request_id"},
		Indexes: []Index{{Fields: []string{"client_id", FieldID}}}},
	id:      func(f *FailedRequest) string { return f.ID },
	version: func(f *FailedRequest) *int64 { return &f.Version },
	purgeAt: func(f *FailedRequest) time.Time { return f.Time.Add(keepFailedRequest) },
})

// CreateFailedRequest stores one with Version 1. ErrConflict if its ID or RequestID is taken.
func (s *Store) CreateFailedRequest(ctx context.Context, f FailedRequest) error {
	return create(ctx, s, "keep a failed request", failedRequests, f)
}

// FailedRequest returns the one with this RequestID, or ErrNotFound.
func (r Records) FailedRequest(ctx context.Context, requestID string) (FailedRequest, error) {
	found, err := list(ctx, r, "load failed request", failedRequests, Query{Where: []Match{is("request_id", requestID)},
		Limit: 1})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return FailedRequest{}, err
	}
	return found[0], nil
}

// FailedRequests lists those of a client, the newest first, at most limit.
func (r Records) FailedRequests(ctx context.Context, clientID string, limit int) ([]FailedRequest, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list failed requests", failedRequests, Query{Where: []Match{is("client_id", clientID)},
		Order: []string{"-" + FieldID}, Limit: limit})
}

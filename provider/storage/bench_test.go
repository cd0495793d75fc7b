package storage_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// What the endpoints do most, each by many at once: with -cpu 1,8,64 it shows how writers share the
// disk.
func BenchmarkStore(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) *storage.Store{
		"SQLite": func(b *testing.B) *storage.Store {
			s, err := storage.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "db"))
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
		"MongoDB": func(b *testing.B) *storage.Store {
			s, err := storage.OpenMongoDB(b.Context(), storagetest.MongoURI(b))
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			b.Cleanup(func() { s.Close() })
			benchmark(b, s)
		})
	}
}

func benchmark(b *testing.B, s *storage.Store) {
	ctx := context.Background()
	var serial atomic.Int64
	next := func() string { return fmt.Sprintf("%s-%08d", storage.Hash(b.Name())[:12], serial.Add(1)) }
	// grants makes as many as the benchmark uses, before its time begins.
	grants := func(b *testing.B, g storage.Grant) []string {
		b.Helper()
		ids := make([]string, b.N)
		var n atomic.Int64
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				g := g
				g.ID = next()
				ids[n.Add(1)-1] = g.ID
				if err := s.CreateGrant(ctx, g); err != nil {
					b.Error(err)
				}
			}
		})
		b.SetParallelism(1)
		b.ResetTimer()
		return ids
	}
	parallel := func(b *testing.B, do func(i int) error) {
		b.ReportAllocs()
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := do(int(n.Add(1) - 1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.Run("CreateGrant", func(b *testing.B) {
		parallel(b, func(int) error {
			g := withCode(next())
			return s.CreateGrant(ctx, g)
		})
	})
	b.Run("RedeemCode", func(b *testing.B) {
		ids := grants(b, withCode("bench"))
		parallel(b, func(i int) error {
			seen := withCode("bench")
			seen.ID, seen.Version = ids[i], 1
			_, err := s.RedeemCode(ctx, seen, storage.Redemption{CodeHash: "code of bench", Now: clock(0),
				ExpiresAt: clock(time.Hour), RefreshIdleAt: clock(time.Hour)})
			return err
		})
	})
	b.Run("RotateRefresh", func(b *testing.B) {
		ids := grants(b, withRefresh("bench", 1))
		parallel(b, func(i int) error {
			seen := withRefresh("bench", 1)
			seen.ID, seen.Version = ids[i], 1
			_, err := s.RotateRefresh(ctx, seen, storage.Rotation{Generation: 1, Now: clock(0),
				IdleAt: clock(time.Hour)})
			return err
		})
	})
	b.Run("ReadSessionAndGrant", func(b *testing.B) {
		one := session(next())
		g := withRefresh(next(), 1)
		if err := s.CreateSession(ctx, one); err != nil {
			b.Fatal(err)
		}
		if err := s.CreateGrant(ctx, g); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		parallel(b, func(int) error {
			if _, err := s.Session(ctx, one.ID); err != nil {
				return err
			}
			_, err := s.Grant(ctx, g.ID)
			return err
		})
	})
}

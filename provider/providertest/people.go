package providertest

import (
	"latchkey/provider"
	"latchkey/provider/people"
)

// testHasher hashes at a cost that only tests can afford to be so low.
func testHasher() *people.Hasher {
	return people.NewHasher(people.Params{Memory: 64, Time: 1, Threads: 1}, 4)
}

func testPeople(cfg provider.Config) *people.Authenticator {
	return &people.Authenticator{Store: cfg.Store, Hasher: testHasher(), Now: cfg.Now,
		Throttle: &people.Throttle{Counters: cfg.Store, Key: cfg.Sealer.Derive("throttle", 32)}}
}

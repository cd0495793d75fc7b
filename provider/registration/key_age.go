package registration

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/keys"
)

// NewKeyAges makes the collector of the ages of a ring's keys.
func NewKeyAges(ring *keys.Ring, now func() time.Time) KeyAges { return KeyAges{ring, now} }

// KeyAges tells for how long each algorithm's key has signed, so that a rotation that does not
// happen is seen.
type KeyAges struct {
	ring *keys.Ring
	now  func() time.Time
}

var keyAge = prometheus.NewDesc("latchkey_signing_key_age_seconds",
	"Time since the key in use began to sign, by algorithm.", []string{"alg"}, nil)

// Describe is for the registry.
func (k KeyAges) Describe(out chan<- *prometheus.Desc) { out <- keyAge }

// Collect is for the registry.
func (k KeyAges) Collect(out chan<- prometheus.Metric) {
	now := k.now()
	for _, key := range k.ring.Signing() {
		out <- prometheus.MustNewConstMetric(keyAge, prometheus.GaugeValue, now.Sub(key.SignsFrom).Seconds(),
			key.Algorithm)
	}
}

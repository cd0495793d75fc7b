package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/provider"
)

// counts is what the timed work of a server leaves in its metrics.
type counts struct {
	purged prometheus.Counter
	purge  prometheus.Histogram
}

func newCounts() counts {
	return counts{
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_purged_records_total", Help: "Records that the cleanup has removed."}),
		purge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "latchkey_purge_duration_seconds", Help: "How long a cleanup took, with its pauses.",
			Buckets: []float64{.01, .1, 1, 10, 60, 300, 600}}),
	}
}

// observe adds to the provider's metrics what the program knows: the build, the certificate, the
// embedded database and the cleanup.
func (s *site) observe(p *provider.Provider, cert *certificate) {
	number, commit := version()
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	all := []prometheus.Collector{s.counts.purged, s.counts.purge,
		gauge("latchkey_build_info", "1, with what was built.", prometheus.Labels{"version": number, "commit": commit},
			func() float64 { return 1 }),
	}
	if cert != nil {
		all = append(all, gauge("latchkey_certificate_expires_timestamp_seconds", "When the certificate in use ends.", nil,
			func() float64 { return float64(cert.expires().Unix()) }))
	}
	if db := s.store.Embedded(); db != nil {
		all = append(all,
			counter("latchkey_store_transactions_total", "Transactions that were committed to the embedded database.",
				func() float64 { return float64(db.Stats().Committed) }),
			counter("latchkey_store_transactions_failed_total", "Transactions that could not be begun or committed: a full disk, a locked file, damage.",
				func() float64 { return float64(db.Stats().Failed) }),
			counter("latchkey_store_writes_total", "Writes in these transactions; several share one.",
				func() float64 { return float64(db.Stats().Writes) }),
			gauge("latchkey_store_waiting_writes", "Writes that wait for the next transaction.", nil,
				func() float64 { return float64(db.Stats().Waiting) }))
	}
	p.Web.Metrics.Registry.MustRegister(all...)
}

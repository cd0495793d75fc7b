package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/provider"
	"latchkey/provider/storage"
)

// counts is what the timed work of a server leaves in its metrics.
type counts struct {
	purged prometheus.Counter
	purge  prometheus.Histogram

	dropped *atomic.Int64 // connections
}

func newCounts() counts {
	return counts{
		dropped: &atomic.Int64{},
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_purged_records_total", Help: "Records that the cleanup has removed."}),
		purge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "latchkey_purge_duration_seconds", Help: "How long a cleanup took, with its pauses.",
			Buckets: []float64{.01, .1, 1, 10, 60, 300, 600}}),
	}
}

// storeBuckets are the seconds in which the times of a database are counted.
var storeBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// observe adds to the provider's metrics what the program knows: the build, the certificate, the
// embedded database and the cleanup.
func (s *site) observe(p *provider.Provider, cert *certificate, lostLines func() float64) {
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
		counter("latchkey_log_lines_lost_total", "Log lines that were left out, because nobody read them in time.",
			lostLines),
		counter("latchkey_dropped_connections_total",
			"Connections that ended before a request was read: handshakes that failed, and the like.",
			func() float64 { return float64(s.counts.dropped.Load()) }),
		gauge("latchkey_passwords_waiting", "Passwords that wait to be computed.", nil,
			func() float64 { return float64(s.hasher.Waiting()) }),
	}
	all = append(all, &deliveryGauges{s})
	if cert != nil {
		all = append(all, gauge("latchkey_certificate_expires_timestamp_seconds", "When the certificate in use ends.", nil,
			func() float64 { return float64(cert.expires().Unix()) }))
	}
	commits := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "latchkey_store_commit_duration_seconds",
		Help:    "How long a transaction of the embedded database took, the sync of the disk included.",
		Buckets: storeBuckets})
	commands := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "latchkey_store_command_duration_seconds", Help: "How long MongoDB took for a command, by its name.",
		Buckets: storeBuckets}, []string{"command"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_store_commands_failed_total", Help: "Commands that MongoDB did not answer, or refused.",
	}, []string{"command"})
	s.store.Observe(storage.Observer{
		Commit: func(took time.Duration, _ int) { commits.Observe(took.Seconds()) },
		Command: func(name string, took time.Duration, fault bool) {
			commands.WithLabelValues(name).Observe(took.Seconds())
			if fault {
				failed.WithLabelValues(name).Inc()
			}
		},
	})
	if s.store.Embedded() == nil {
		all = append(all, commands, failed)
	}
	if db := s.store.Embedded(); db != nil {
		all = append(all, commits)
		all = append(all,
			counter("latchkey_store_transactions_total", "Transactions that were committed to the embedded database.",
				func() float64 { return float64(db.Stats().Committed) }),
			counter("latchkey_store_transactions_failed_total",
				"Transactions that could not be begun or committed: a full disk, a locked file, damage.",
				func() float64 { return float64(db.Stats().Failed) }),
			counter("latchkey_store_writes_total", "Writes in these transactions; several share one.",
				func() float64 { return float64(db.Stats().Writes) }),
			gauge("latchkey_store_waiting_writes", "Writes that wait for the next transaction.", nil,
				func() float64 { return float64(db.Stats().Waiting) }))
	}
	p.Web.Metrics.Registry.MustRegister(all...)
}

// deliveryGauges counts the logout tokens that are still to be delivered, when it is asked.
type deliveryGauges struct{ *site }

var (
	deliveriesDue = prometheus.NewDesc("latchkey_logout_deliveries_waiting",
		"Logout tokens that an application has not taken yet, at most 1000.", nil, nil)
	deliveriesOld = prometheus.NewDesc("latchkey_logout_delivery_oldest_seconds",
		"How long the oldest of them has waited; 0 if there is none.", nil, nil)
	storeUp = prometheus.NewDesc("latchkey_store_up", "1 if the database answered just now, else 0.", nil, nil)
)

// metricsPatience bounds what a scrape waits for the database.
const metricsPatience = time.Second

func (*deliveryGauges) Describe(out chan<- *prometheus.Desc) {
	out <- deliveriesDue
	out <- deliveriesOld
	out <- storeUp
}

func (d *deliveryGauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsPatience)
	defer cancel()
	n, oldest, err := d.store.WaitingLogoutDeliveries(ctx, d.now())
	if err != nil {
		out <- prometheus.MustNewConstMetric(storeUp, prometheus.GaugeValue, 0)
		return
	}
	age := 0.0
	if n > 0 {
		age = d.now().Sub(oldest).Seconds()
	}
	out <- prometheus.MustNewConstMetric(storeUp, prometheus.GaugeValue, 1)
	out <- prometheus.MustNewConstMetric(deliveriesDue, prometheus.GaugeValue, float64(n))
	out <- prometheus.MustNewConstMetric(deliveriesOld, prometheus.GaugeValue, age)
}

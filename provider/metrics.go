package provider

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/keys"
	"latchkey/provider/oauth"
)

// metrics counts what the provider does. Labels have few values: never a client, a person or anything else that a request may choose.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	logins   *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	errors   *prometheus.CounterVec
}

func newMetrics(ring *keys.Ring, now func() time.Time) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "latchkey_http_request_duration_seconds", Help: "Time to answer, by route, method and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method", "code"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_logins_total", Help: "Attempts to sign in, by method and result (success, failure, throttled).",
		}, []string{"method", "result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_tokens_issued_total", Help: "Successful token responses, by grant type.",
		}, []string{"grant"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_token_errors_total", Help: "Refused token requests, by grant type and error.",
		}, []string{"grant", "error"}),
	}
	m.registry.MustRegister(m.requests, m.logins, m.tokens, m.errors, keyAges{ring, now}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts one answered request.
func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}, method) {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

// login counts a sign-in by its method (password) and result (success, failure, throttled).
func (m *metrics) login(method, result string) { m.logins.WithLabelValues(method, result).Inc() }

// token counts one answer of the token endpoint: tokens, or the error.
func (m *metrics) token(grantType string, err error) {
	if err != nil {
		m.errors.WithLabelValues(grantLabel(grantType), string(oauth.AsError(err).Code)).Inc()
		return
	}
	m.tokens.WithLabelValues(grantLabel(grantType)).Inc()
}

// grantLabel keeps what a request may choose out of the labels.
func grantLabel(grantType string) string {
	switch grantType {
	case oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials, oauth.GrantImplicit:
		return grantType
	}
	return "other"
}

// keyAges tells the age of every published key, so that a rotation that does not happen is seen.
type keyAges struct {
	ring *keys.Ring
	now  func() time.Time
}

var keyAge = prometheus.NewDesc("latchkey_key_age_seconds", "Time since the published key was made.", []string{"kid"}, nil)

// Describe is for the registry.
func (k keyAges) Describe(out chan<- *prometheus.Desc) { out <- keyAge }

// Collect is for the registry.
func (k keyAges) Collect(out chan<- prometheus.Metric) {
	now := k.now()
	for _, key := range k.ring.Keys() {
		if key.RemoveAt.IsZero() || now.Before(key.RemoveAt) {
			out <- prometheus.MustNewConstMetric(keyAge, prometheus.GaugeValue, now.Sub(key.CreatedAt).Seconds(), key.ID)
		}
	}
}

// MetricsHandler serves the metrics in Prometheus's format. It belongs on a listener of its own, on loopback: it is not among the
// routes of Handler.
func (p *Provider) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{})
}

package web

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"latchkey/provider/oauth"
)

// Metrics counts what the provider does. Labels have few values: never a client, a person or
// anything else that a request may choose.
type Metrics struct {
	Registry *prometheus.Registry
	requests *prometheus.HistogramVec
	observed sync.Map // requestLabels → prometheus.Observer: what requests has, found without writing the labels
	logins   *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	errors   *prometheus.CounterVec
	proofs   *prometheus.CounterVec
	logouts  *prometheus.CounterVec
	mails    *prometheus.CounterVec

	grantTypes []string
}

// NewMetrics makes and registers the metrics of requests, and whatever else the caller counts.
func NewMetrics(grantTypes []string, more ...prometheus.Collector) *Metrics {
	m := &Metrics{
		grantTypes: grantTypes,
		Registry:   prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "latchkey_http_request_duration_seconds", Help: "Time to answer, by route, method and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method", "code"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_logins_total", Help: "Attempts to sign in, by method and result (success, failure, throttled, busy, error).",
		}, []string{"method", "result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_tokens_issued_total", Help: "Successful token responses, by grant type.",
		}, []string{"grant"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_token_errors_total", Help: "Refused token requests, by grant type and error.",
		}, []string{"grant", "error"}),
		proofs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_dpop_proofs_total",
			Help: "DPoP proofs that came with an otherwise good request, by result (accepted, replayed).",
		}, []string{"result"}),
		logouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_logout_deliveries_total",
			Help: "Attempts to deliver a logout token, by outcome (delivered, failed, given_up).",
		}, []string{"outcome"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_mails_total", Help: "Attempts to send a mail, by outcome (delivered, failed, given_up).",
		}, []string{"outcome"}),
	}
	for _, o := range []Outcome{Delivered, Failing, GivenUp} { // an increase is seen from zero only
		m.logouts.WithLabelValues(string(o))
		m.mails.WithLabelValues(string(o))
	}
	m.Registry.MustRegister(append(more, m.requests, m.logins, m.tokens, m.errors, m.proofs, m.logouts,
		m.mails, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))...)
	return m
}

// requestLabels are the labels of one answered request.
type requestLabels struct {
	route, method string
	status        int
}

// observe counts one answered request.
func (m *Metrics) observe(route, method string, status int, took time.Duration) {
	method = knownMethod(method)
	labels := requestLabels{route, method, status}
	o, ok := m.observed.Load(labels)
	if !ok {
		o, _ = m.observed.LoadOrStore(labels, m.requests.WithLabelValues(route, method, strconv.Itoa(status)))
	}
	o.(prometheus.Observer).Observe(took.Seconds())
}

// Login counts a sign-in by its method (password) and result (success, failure, throttled).
func (m *Metrics) Login(method, result string) { m.logins.WithLabelValues(method, result).Inc() }

// Outcome is what became of an attempt to deliver something.
type Outcome string

// Outcomes. What failed is tried again, what was given up is not.
const (
	Delivered Outcome = "delivered"
	Failing   Outcome = "failed"
	GivenUp   Outcome = "given_up"
)

// LogoutDelivery counts an attempt to deliver a logout token.
func (m *Metrics) LogoutDelivery(o Outcome) { m.logouts.WithLabelValues(string(o)).Inc() }

// Mail counts an attempt to send a mail.
func (m *Metrics) Mail(o Outcome) { m.mails.WithLabelValues(string(o)).Inc() }

// Token counts one answer of the token endpoint: tokens, or the error.
func (m *Metrics) Token(grantType string, err error) {
	if err != nil {
		m.errors.WithLabelValues(m.grantLabel(grantType), string(oauth.AsError(err).Code)).Inc()
		return
	}
	m.tokens.WithLabelValues(m.grantLabel(grantType)).Inc()
}

// Proof counts a DPoP proof by its result (accepted, replayed).
func (m *Metrics) Proof(result string) { m.proofs.WithLabelValues(result).Inc() }

// grantLabel keeps what a request may choose out of the labels.
func (m *Metrics) grantLabel(grantType string) string {
	if slices.Contains(m.grantTypes, grantType) {
		return grantType
	}
	return "other"
}

// knownMethod is a method that some route takes, or other: made-up ones are not to fill what is
// kept by method.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions,
		http.MethodPatch:
	default:
		return "other"
	}
	return method
}

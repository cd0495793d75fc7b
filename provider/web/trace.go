package web

import (
	"log/slog"
	"net/http"
	"regexp"
)

var (
	traceParent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-|$)`) // W3C Trace Context §3.2
	proxyID     = regexp.MustCompile(`^[A-Za-z0-9._:=+/-]{1,128}$`)
)

// traceOf is what a request says of the trace that it belongs to, so that its log line can be
// joined with those of others: trace_id and parent_id from traceparent (W3C Trace Context §3.2),
// and proxy_request_id from X-Request-Id of a trusted proxy. What has another form is left out.
func (s *Site) traceOf(r *http.Request) (attrs []slog.Attr) {
	if value := r.Header.Get("Traceparent"); len(value) >= 55 && len(value) < 200 {
		if m := traceParent.FindStringSubmatch(value); m != nil {
			attrs = append(attrs, slog.String("trace_id", m[1]), slog.String("parent_id", m[2]))
		}
	}
	if id := r.Header.Get("X-Request-Id"); id != "" && s.trusts(peer(r)) && proxyID.MatchString(id) {
		attrs = append(attrs, slog.String("proxy_request_id", id))
	}
	return attrs
}

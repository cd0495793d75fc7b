package web

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"latchkey/provider/oauth"
)

var (
	// W3C Trace Context §3.2
	traceParent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-|$)`)
	proxyID     = regexp.MustCompile(`^[A-Za-z0-9._:=+/-]{1,128}$`)
)

// traceOf is what a request says of the trace that it belongs to, so that its log line can be
// joined with those of others: trace_id and parent_id from traceparent (W3C Trace Context §3.2),
// and proxy_request_id from X-Request-Id of a trusted proxy. What has another form is left out.
func (s *Site) traceOf(r *http.Request) (attrs []slog.Attr) {
	if here := trace.SpanContextFromContext(r.Context()); here.IsValid() { // a span of ours
		attrs = append(attrs, slog.String("trace_id", here.TraceID().String()),
			slog.String("span_id", here.SpanID().String()))
	} else if value := r.Header.Get("Traceparent"); len(value) >= 55 && len(value) < 200 {
		if m := traceParent.FindStringSubmatch(value); m != nil {
			attrs = append(attrs, slog.String("trace_id", m[1]), slog.String("parent_id", m[2]))
		}
	}
	if id := r.Header.Get("X-Request-Id"); id != "" && s.trusts(peer(r)) && proxyID.MatchString(id) {
		attrs = append(attrs, slog.String("proxy_request_id", id))
	}
	return attrs
}

// startSpan begins the span of a request, below the one that it names in traceparent (W3C Trace
// Context §3.2). The span is nil if nobody traces.
func (s *Site) startSpan(ctx context.Context, r *http.Request) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	return s.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
}

// endSpan ends the span of a request. It says what the log line says, but for who the user is.
func endSpan(span trace.Span, r *http.Request, ev *event, status int) {
	if span == nil {
		return
	}
	span.SetName(knownMethod(r.Method) + " " + ev.route)
	span.SetAttributes(
		attribute.String("http.request.method", knownMethod(r.Method)),
		attribute.String("http.route", ev.route),
		attribute.Int("http.response.status_code", status),
		attribute.String("request_id", ev.id))
	for _, a := range ev.attrs {
		if a.Key == "client_id" || a.Key == "grant_type" {
			span.SetAttributes(attribute.String(a.Key, a.Value.String()))
		}
	}
	if ev.err != nil {
		span.SetAttributes(attribute.String("error.type", string(oauth.AsError(ev.err).Code)))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
	span.End()
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	otelattribute "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/storage"
)

// tracesTimeout bounds one call of the collector.
const tracesTimeout = 5 * time.Second

// newTracer makes what sends spans to the collector, in batches beside the requests: a collector
// that does not answer costs spans and nothing else. end sends what is left.
func newTracer(c config.Config, logger *slog.Logger) (_ trace.Tracer, end func()) {
	number, _ := version()
	of := resource.NewSchemaless(otelattribute.String("service.name", "latchkey"),
		otelattribute.String("service.version", number))
	some := sdktrace.TraceIDRatioBased(float64(c.Traces.Percent) / 100)
	p := sdktrace.NewTracerProvider(
		sdktrace.WithResource(of),
		// Whoever sends a request cannot have more of them traced, but may have it left out.
		sdktrace.WithSampler(sdktrace.ParentBased(some, sdktrace.WithRemoteParentSampled(some))),
		sdktrace.WithBatcher(&otlpJSON{endpoint: c.Traces.Endpoint, client: &http.Client{Timeout: tracesTimeout},
			logger: logger}))
	return p.Tracer("latchkey"), func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracesTimeout)
		defer cancel()
		_ = p.Shutdown(ctx) // what went wrong is in the log
	}
}

// storeSpans makes spans of what requests do with the database. What the server does by itself,
// every few seconds, has none.
func storeSpans(tracer trace.Tracer) storage.StartSpan {
	return func(ctx context.Context, operation, table string) (context.Context, func(error)) {
		if !trace.SpanFromContext(ctx).IsRecording() {
			return ctx, func(error) {}
		}
		ctx, span := tracer.Start(ctx, strings.TrimSpace("store "+operation+" "+table),
			trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(otelattribute.String("db.operation.name", operation)))
		if table != "" {
			span.SetAttributes(otelattribute.String("db.collection.name", table))
		}
		return ctx, func(err error) {
			if err != nil {
				span.SetStatus(codes.Error, "the database did not do it")
			}
			span.End()
		}
	}
}

// outboundSpans makes spans of calls to addresses that applications have named. The trace is not
// passed on to them.
func outboundSpans(tracer trace.Tracer) func(context.Context, string, string) (context.Context, func(int, error)) {
	return func(ctx context.Context, method, host string) (context.Context, func(int, error)) {
		ctx, span := tracer.Start(ctx, "call "+method, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(otelattribute.String("http.request.method", method),
				otelattribute.String("server.address", host)))
		return ctx, func(status int, err error) {
			if err != nil {
				span.SetStatus(codes.Error, "no answer")
			} else {
				span.SetAttributes(otelattribute.Int("http.response.status_code", status))
			}
			span.End()
		}
	}
}

// otlpJSON sends spans by OTLP over HTTP, in JSON (OpenTelemetry Protocol 1.x, "OTLP/HTTP"). The
// exporter of OpenTelemetry does the same in Protobuf, and brings gRPC along, which is a quarter of
// this program.
type otlpJSON struct {
	endpoint string
	client   *http.Client
	logger   *slog.Logger
	failing  bool // ExportSpans is not called twice at once
}

// ExportSpans sends a batch. A batch that the collector does not take is dropped: the log says so,
// once until one is taken again.
func (x *otlpJSON) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := x.send(ctx, spans)
	switch {
	case err != nil && !x.failing:
		x.logger.Warn("traces are lost", "endpoint", x.endpoint, "reason", err.Error())
	case err == nil && x.failing:
		x.logger.Info("traces are taken again", "endpoint", x.endpoint)
	}
	x.failing = err != nil
	return nil
}

// Shutdown has nothing to end.
func (x *otlpJSON) Shutdown(context.Context) error { return nil }

func (x *otlpJSON) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(otlpRequest(spans))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := x.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}

// The members of an ExportTraceServiceRequest that are used, in the JSON mapping of OTLP:
// identifiers in hexadecimal, 64-bit integers as strings, enumerations as numbers.
type (
	otlpTraces struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpScopeSpans struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpSpan struct {
		TraceID           string          `json:"traceId"`
		SpanID            string          `json:"spanId"`
		TraceState        string          `json:"traceState,omitempty"`
		ParentSpanID      string          `json:"parentSpanId,omitempty"`
		Name              string          `json:"name"`
		Kind              int             `json:"kind"`
		StartTimeUnixNano string          `json:"startTimeUnixNano"`
		EndTimeUnixNano   string          `json:"endTimeUnixNano"`
		Attributes        []otlpAttribute `json:"attributes"`
		Status            otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	otlpAttribute struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

const otlpStatusError = 2

func otlpRequest(spans []sdktrace.ReadOnlySpan) otlpTraces {
	var of otlpResourceSpans
	of.Resource.Attributes = otlpAttributes(spans[0].Resource().Attributes()) // one program, one resource
	var scope otlpScopeSpans
	scope.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		span := otlpSpan{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			TraceState: s.SpanContext().TraceState().String(),
			Name:       s.Name(), Kind: int(s.SpanKind()), // the numbers of trace.SpanKind are those of OTLP
			StartTimeUnixNano: strconv.FormatInt(s.StartTime().UnixNano(), 10),
			EndTimeUnixNano:   strconv.FormatInt(s.EndTime().UnixNano(), 10),
			Attributes:        otlpAttributes(s.Attributes()),
		}
		if s.Parent().HasSpanID() {
			span.ParentSpanID = s.Parent().SpanID().String()
		}
		if s.Status().Code == codes.Error {
			span.Status = otlpStatus{s.Status().Description, otlpStatusError}
		}
		scope.Spans = append(scope.Spans, span)
	}
	of.ScopeSpans = []otlpScopeSpans{scope}
	return otlpTraces{[]otlpResourceSpans{of}}
}

func otlpAttributes(all []otelattribute.KeyValue) []otlpAttribute {
	out := make([]otlpAttribute, 0, len(all))
	for _, a := range all {
		value := map[string]any{"stringValue": a.Value.String()}
		switch a.Value.Type() {
		case otelattribute.INT64:
			value = map[string]any{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		case otelattribute.BOOL:
			value = map[string]any{"boolValue": a.Value.AsBool()}
		}
		out = append(out, otlpAttribute{string(a.Key), value})
	}
	return out
}

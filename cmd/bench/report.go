package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// row is one measurement.
type row struct {
	Store       string  `json:"store"`
	Rows        int     `json:"rows"`
	Scenario    string  `json:"scenario"`
	Algorithm   string  `json:"alg,omitempty"`          // of ID tokens
	AccessToken string  `json:"access_token,omitempty"` // algorithm of access tokens
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"per_second"`
	P50         float64 `json:"p50_ms"`
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	CPU         float64 `json:"cpu_us"` // of the server, per operation
	Memory      float64 `json:"memory_mib"`
	Floor       float64 `json:"floor_per_second"`
	FloorCPU    float64 `json:"floor_cpu_us"`
	Verified    int     `json:"verified"`
	Error       string  `json:"error,omitempty"`
}

// share is the measured rate as a part of the floor's.
func (r row) share() float64 { return divide(r.PerSecond, r.Floor) }

// cpuShare is the processor time that the floor needs as a part of what the server took. It is
// steady on a machine that does other things too, but says nothing of waiting for the disk.
func (r row) cpuShare() float64 { return divide(r.FloorCPU, r.CPU) }

func divide(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func newRow(m *measured, f cost) row {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return row{
		PerSecond: m.rate(), P50: ms(m.latency.quantile(.5)), P95: ms(m.latency.quantile(.95)),
		P99: ms(m.latency.quantile(.99)), Max: ms(m.latency.max),
		CPU: us(m.cpu), Memory: float64(m.resident) / (1 << 20), Floor: f.perSecond(), FloorCPU: us(f.CPU),
	}
}

// report prints as it goes, and keeps everything for the end.
type report struct {
	w    io.Writer
	all  []row
	more []figure
	flr  map[string]*floor // by store
}

// figure is something measured that is no rate of requests.
type figure struct {
	Store string  `json:"store"`
	Rows  int     `json:"rows"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Aim   float64 `json:"aim,omitempty"` // to stay below
}

func (r *report) printf(format string, args ...any) { fmt.Fprintf(r.w, format, args...) }

func (r *report) floor(store string, f *floor) {
	if r.flr == nil {
		r.flr = map[string]*floor{}
	}
	r.flr[store] = f
	r.printf("\nThe floor (%s), per second of one core:\n", store)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		r.printf("  %-10s signs %8.0f   verifies %8.0f\n", alg, f.Sign[alg].perSecond(), f.Verify[alg].perSecond())
	}
	r.printf("  argon2id   %8.1f   sync of a file %8.0f\n", f.Hash.perSecond(), f.Sync.perSecond())
	for _, n := range sortedKeys(f.Insert) {
		r.printf("  insert, %3d in a transaction  %8.0f  (%.0f µs, of the processor %.0f µs)\n", n,
			f.Insert[n].perSecond(),
			float64(f.Insert[n].Wall)/1e3, float64(f.Insert[n].CPU)/1e3)
	}
}

func (r *report) heading(store string, rows int) {
	r.printf("\n%s, %d sessions and grants\n", store, rows)
	r.printf("%-19s %-11s %5s %9s %8s %8s %8s %9s %8s %9s %7s %7s %6s\n", "", "alg", "conns", "per sec", "p50 ms",
		"p95 ms", "p99 ms",
		"CPU µs", "mem MiB", "floor/s", "share", "CPU sh.", "ok")
}

func (r *report) row(m row) {
	r.all = append(r.all, m)
	alg := m.Algorithm
	if m.AccessToken != "" && m.AccessToken != m.Algorithm {
		alg = cmp.Or(m.Algorithm, "–") + "/" + m.AccessToken
	}
	r.printf("%-19s %-11s %5d ", m.Scenario, alg, m.Connections)
	if m.Error != "" {
		r.printf("no figure: %s\n", m.Error)
		return
	}
	r.printf("%9.0f %8.2f %8.2f %8.2f %9.1f %8.1f %9.0f %6.1f%% %6.1f%% %6d\n", m.PerSecond, m.P50, m.P95, m.P99, m.CPU,
		m.Memory, m.Floor, 100*m.share(), 100*m.cpuShare(), m.Verified)
}

func (r *report) figure(f figure) {
	r.more = append(r.more, f)
	r.printf("%-58s %10.1f %s", f.Name, f.Value, f.Unit)
	if f.Aim != 0 {
		r.printf("   (aim: below %g)", f.Aim)
	}
	r.printf("\n")
}

// aims are the shares of the floor to reach at 16 connections, with everything on disk.
var aims = []struct {
	scenario, alg string
	share         float64
	what          string
}{
	{"discovery", "", .85, "a bare answer"},
	{"jwks", "", .85, "a bare answer"},
	{"client_credentials", "ES256", .60, "a signature and a bare answer"},
	{"flow", "ES256", .60, "two signatures, two bare answers and an insert"},
	{"flow", "RS256", .85, "an RSA signature"},
	{"refresh", "ES256", .60, "two signatures, a bare answer and an insert"},
	{"introspection", "ES256", .60, "a verification and a bare answer"},
	{"userinfo", "ES256", .60, "a verification and a bare answer"},
}

const (
	aimConnections = 16
	aimSpread      = 10 // p99 stays below so many times p50
)

// aims compares what was measured with what is aimed at.
func (r *report) aims() {
	type place struct {
		store string
		rows  int
	}
	var places []place
	for _, m := range r.all {
		if p := (place{m.Store, m.Rows}); m.Connections == aimConnections &&
			(len(places) == 0 || places[len(places)-1] != p) {
			places = append(places, p)
		}
	}
	for _, p := range places {
		r.printf("\nAims at %d connections (%s, %d sessions and grants)\n", aimConnections, p.store, p.rows)
		for _, aim := range aims {
			for _, m := range r.all {
				if m.Store != p.store || m.Rows != p.rows || m.Connections != aimConnections ||
					m.Scenario != aim.scenario || m.Algorithm != aim.alg || m.Error != "" {
					continue
				}
				share, cpu := m.share(), m.cpuShare()
				if aim.alg == "RS256" {
					rsa := r.flr[p.store].Sign["RS256"]
					share, cpu = divide(m.PerSecond, rsa.perSecond()), divide(float64(rsa.CPU)/1e3, m.CPU)
				}
				spread := divide(m.P99, m.P50)
				r.printf("  %-19s %-6s %5.1f%% of %-48s aim %2.0f%% %-8s by processor time %5.1f%%;  p99 is %.1f × p50 %s\n",
					m.Scenario, m.Algorithm, 100*share, aim.what, 100*aim.share, verdict(share >= aim.share), 100*cpu,
					spread, verdict(spread < aimSpread))
			}
		}
	}
}

func verdict(ok bool) string {
	if ok {
		return "reached"
	}
	return "missed"
}

// save writes everything as JSON.
func (r *report) save(path string) error {
	text, err := json.MarshalIndent(map[string]any{"rows": r.all, "figures": r.more, "floor": r.flr}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// failed reports whether any measurement has no figure.
func (r *report) failed() bool {
	for _, m := range r.all {
		if m.Error != "" {
			return true
		}
	}
	return false
}

func join(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

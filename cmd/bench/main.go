package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what a run can be told.
type options struct {
	binary       string
	folder       string
	mongodb      string
	out          string
	rows         []int
	connections  []int
	scenarios    []string
	seconds      float64
	floorSeconds float64
	extras       bool
	signIns      int
	keep         bool

	serverCore, clientCore int
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		cancel()
		os.Exit(1)
	}
}

// run is the program. The parts of it that have to run in processes of their own are subcommands.
func run(ctx context.Context, args []string, env func(string) string, stdout io.Writer) error {
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	switch command {
	case "floor":
		folder := flags.String("folder", "", "where files may be made")
		connections := flags.String("connections", "16", "sizes of transactions")
		length := flags.Float64("seconds", .3, "for each figure")
		if err := flags.Parse(args); err != nil {
			return err
		}
		batches, err := numbers(*connections)
		if err != nil {
			return err
		}
		f, err := measureFloor(ctx, *folder, env("BENCH_MONGODB"), batches, seconds(*length))
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(f)
	case "bare":
		size := flags.Int("size", bareStep, "bytes of the answer")
		if err := flags.Parse(args); err != nil {
			return err
		}
		return serveBare(*size, stdout)
	case "":
		o, err := parseOptions(flags, args, env)
		if err != nil {
			return err
		}
		return bench(ctx, o, stdout)
	}
	return fmt.Errorf("there is no command %q", command)
}

// parseOptions reads flags, whose defaults come from the environment.
func parseOptions(flags *flag.FlagSet, args []string, env func(string) string) (options, error) {
	o := options{mongodb: env("BENCH_MONGODB"), serverCore: -1, clientCore: -1}
	or := func(name, otherwise string) string {
		if v := env(name); v != "" {
			return v
		}
		return otherwise
	}
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	flags.StringVar(&o.binary, "binary", "", "the program to measure (default: built from this folder)")
	flags.StringVar(&o.folder, "folder", filepath.Join("bin", "bench"),
		"where data is kept during the run; its disk is measured too")
	flags.StringVar(&o.out, "out", or("BENCH_OUT", filepath.Join("bin", "bench.json")),
		"where the figures are written as JSON")
	rows := flags.String("rows", or("BENCH_ROWS", "1000"),
		"how many sessions and grants are stored before: a list (BENCH_ROWS)")
	connections := flags.String("connections", or("BENCH_CONNECTIONS", "1,16,64"),
		"how many connections: a list (BENCH_CONNECTIONS)")
	chosen := flags.String("scenarios", or("BENCH_SCENARIOS", strings.Join(names, ",")),
		"what to measure: a list (BENCH_SCENARIOS)")
	length := flags.String("seconds", or("BENCH_SECONDS", "1.5"), "for each figure (BENCH_SECONDS)")
	flags.Float64Var(&o.floorSeconds, "floor-seconds", .4, "for each figure of the floor")
	flags.BoolVar(&o.extras, "extras", or("BENCH_EXTRAS", "true") == "true",
		"start, memory, sign-ins that wait, cleaning up, many changes (BENCH_EXTRAS)")
	flags.IntVar(&o.signIns, "sign-ins", 200, "how many people sign in at once while programs ask for tokens")
	flags.BoolVar(&o.keep, "keep", false, "keep the data folders")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.rows, err = numbers(*rows); err != nil {
		return o, fmt.Errorf("rows: %w", err)
	}
	if o.connections, err = numbers(*connections); err != nil {
		return o, fmt.Errorf("connections: %w", err)
	}
	if slices.Min(o.connections) < 1 || slices.Max(o.connections) > 1000 {
		return o, errors.New("connections: from 1 to 1000")
	}
	if o.seconds, err = strconv.ParseFloat(*length, 64); err != nil || o.seconds <= 0 {
		return o, errors.New("seconds: a number above 0 is needed")
	}
	for name := range strings.SplitSeq(*chosen, ",") {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("scenarios: %q is not one of %s", name, strings.Join(names, ", "))
		}
		o.scenarios = append(o.scenarios, name)
	}
	return o, nil
}

// numbers reads a list of numbers that are not negative.
func numbers(list string) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(text), "_", ""))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		out = append(out, n)
	}
	return out, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func sortedKeys[V any](m map[int]V) []int {
	var keys []int
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// bench is a whole run.
func bench(ctx context.Context, o options, w io.Writer) error {
	debug.SetGCPercent(400) // the client shall cost little
	if all := cores(); len(all) >= 2 {
		o.serverCore, o.clientCore = all[0], all[len(all)-1]
		if err := pinSelf(o.clientCore); err != nil {
			return fmt.Errorf("pin the client: %w", err)
		}
	}
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return err
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.folder, "latchkey")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", o.binary,
			"./cmd/latchkey")
		build.Env = append(build.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build latchkey: %w\n%s", err, out)
		}
	}
	var err error
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	r := &report{w: w}
	if o.serverCore >= 0 {
		r.printf("The server has core %d, the client core %d.\n", o.serverCore, o.clientCore)
	} else {
		r.printf("This system does not let processes be pinned to cores, or has one: the figures are not of one core.\n")
	}
	stores := []string{""}
	if o.mongodb != "" {
		stores = append(stores, o.mongodb)
	}
	for _, mongodb := range stores {
		for _, rows := range o.rows {
			if err := benchStore(ctx, o, r, mongodb, rows); err != nil {
				return err
			}
		}
	}
	r.aims()
	if err := r.save(o.out); err != nil {
		return err
	}
	r.printf("\nThe figures are in %s.\n", o.out)
	if r.failed() {
		return errors.New("some answers were wrong, see above")
	}
	return nil
}

// benchStore measures everything on one store with so many rows.
func benchStore(ctx context.Context, o options, r *report, mongodb string, rows int) (err error) {
	name := "sqlite"
	if mongodb != "" {
		name = "mongodb"
	}
	folder, err := os.MkdirTemp(o.folder, name+"-")
	if err != nil {
		return err
	}
	s, err := newServer(o, folder, mongodb)
	if err != nil {
		return err
	}
	defer func() {
		if stopping := s.stop(); err == nil {
			err = stopping
		}
		if s.mongodb != "" {
			if dropping := dropMongoDB(context.WithoutCancel(ctx), s.mongodb); err == nil {
				err = dropping
			}
		}
		if !o.keep {
			_ = os.RemoveAll(folder)
		}
	}()
	f, known := r.flr[name]
	if !known {
		if f, err = floorElsewhere(ctx, o, folder, s.mongodb); err != nil {
			return err
		}
		r.floor(name, f)
	}
	r.heading(name, rows)

	people := max(aimConnections, slices.Max(o.connections))
	if err := s.run(ctx, manifest(people), "apply", "-"); err != nil {
		return err
	}
	if err := s.seed(ctx, rows, false); err != nil {
		return err
	}
	if _, err := s.start(ctx); err != nil {
		return err
	}
	figure := func(what string, value float64, unit string, aim float64) {
		r.figure(figure{Store: name, Rows: rows, Name: what, Value: value, Unit: unit, Aim: aim})
	}
	t, err := newSite(s, people)
	if err != nil {
		return err
	}
	bare := &bareAnswers{o: o, known: map[bareKey]cost{}}
	for _, sc := range scenarios {
		if !slices.Contains(o.scenarios, sc.name) {
			continue
		}
		for i, v := range variants {
			if i > 0 && !sc.perAlg {
				continue
			}
			for _, conns := range o.connections {
				m, err := t.measure(ctx, o, sc, v, conns, f, bare)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					m.Error = err.Error()
				}
				m.Store, m.Rows, m.Scenario, m.Connections = name, rows, sc.name, conns
				if sc.perAlg {
					m.Algorithm = v.alg
				}
				r.row(m)
			}
		}
	}
	if !o.extras {
		return nil
	}
	r.printf("\n")
	_, peak := memory(s.pid())
	figure(fmt.Sprintf("memory at most, at up to %d connections", slices.Max(o.connections)), float64(peak)/(1<<20),
		"MiB", 100)
	if err := t.whileSignInsWait(ctx, o, figure); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	// The best of three: the first start reads the program from the disk, too.
	best := time.Hour
	for range 3 {
		took, err := s.start(ctx)
		if err != nil {
			return err
		}
		best = min(best, took)
		if err := s.stop(); err != nil {
			return err
		}
	}
	figure("start to first answer, with data", float64(best)/1e6, "ms", 60)
	if _, err := s.start(ctx); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	idle, _ := memory(s.pid())
	figure("memory, idle", float64(idle)/(1<<20), "MiB", 30)
	if err := s.stop(); err != nil {
		return err
	}
	if err := t.whileCleaningUp(ctx, o, rows, figure); err != nil {
		return err
	}
	return t.whileManyChange(ctx, o, rows, figure)
}

// measure measures one scenario, and the bare answers to compare it with.
func (t *site) measure(ctx context.Context, o options, sc scenario, v variant, conns int, f *floor,
	bare *bareAnswers) (row, error) {
	j, err := sc.job(t, v, conns)
	if err != nil {
		return row{}, err
	}
	// Once beforehand, to see what travels.
	c, err := dial(t.addr)
	if err != nil {
		return row{}, err
	}
	defer c.Close()
	var sizes []exchange
	c.sizes = &sizes
	if err := j.workers[0](c); err != nil {
		return row{}, err
	}
	least := cost{}
	for _, e := range sizes {
		b, err := bare.measure(ctx, e, conns)
		if err != nil {
			return row{}, err
		}
		least = least.plus(b, 1)
	}
	accessAlg, atLeast := algorithmOf(t.pools[v.web].access[0]), "ES256"
	if sc.wanted {
		accessAlg = algorithmOf(t.pools[v.reader].access[0])
		if v.api.alg != "" {
			atLeast = v.api.alg
		}
	}
	least = least.plus(f.Sign[v.alg], sc.work.idTokens).plus(f.Insert[conns], sc.work.inserts).plus(f.Hash,
		sc.work.hashes)
	// An access token that costs more than the cheapest signature is the program's choice, unless
	// the API wants it.
	least = least.plus(f.Sign[atLeast], sc.work.accessTokens).plus(f.Verify[atLeast], sc.work.verifications)

	m, verified, err := j.run(ctx, t.addr, t.pid(), seconds(o.seconds))
	if err != nil {
		return row{}, err
	}
	out := newRow(m, least)
	out.Verified = verified
	if sc.work.accessTokens+sc.work.verifications > 0 {
		out.AccessToken = accessAlg
	}
	return out, nil
}

// whileSignInsWait shows what hashing passwords does to everybody else.
func (t *site) whileSignInsWait(ctx context.Context, o options, figure func(string, float64, string, float64)) error {
	v := variants[0]
	ask := func() (*measured, error) {
		j, err := t.clientCredentials(v, aimConnections)
		if err != nil {
			return nil, err
		}
		m, _, err := j.run(ctx, t.addr, t.pid(), seconds(2*o.seconds))
		return m, err
	}
	report := func(m *measured, when string) {
		figure("token requests"+when, m.rate(), "per second", 0)
		figure("token requests"+when+", p99", float64(m.latency.quantile(.99))/1e6, "ms", 0)
	}
	m, err := ask()
	if err != nil {
		return err
	}
	report(m, ", nobody signing in")
	crowd, err := t.firstSignIn(v, len(t.people))
	if err != nil {
		return err
	}
	var workers []worker
	for i := range o.signIns {
		workers = append(workers, crowd.workers[i%len(crowd.workers)])
	}
	inner, end := context.WithCancel(ctx)
	defer end()
	type outcome struct {
		m   *measured
		err error
	}
	signIns := make(chan outcome, 1)
	go func() {
		m, err := measure(inner, t.addr, t.pid(), workers, seconds(2*o.seconds)+2*time.Second, false)
		signIns <- outcome{m, err}
	}()
	time.Sleep(time.Second) // until they wait
	m, err = ask()
	if err != nil {
		return err
	}
	report(m, fmt.Sprintf(", %d signing in", o.signIns))
	s := <-signIns
	if s.err != nil {
		return fmt.Errorf("sign-ins: %w", s.err)
	}
	figure("sign-ins meanwhile", s.m.rate(), "per second", 0)
	return nil
}

// whileCleaningUp shows how long requests wait when a cleanup removes as many rows as there are,
// which begins when the server does.
func (t *site) whileCleaningUp(ctx context.Context, o options, rows int, figure func(string, float64, string,
	float64)) error {
	if err := t.seed(ctx, rows, true); err != nil {
		return err
	}
	if _, err := t.start(ctx); err != nil {
		return err
	}
	j, err := t.flow(variants[0], 4)
	if err != nil {
		return err
	}
	j.limited = true // no time to warm up: it has begun
	m, _, err := j.run(ctx, t.addr, t.pid(), seconds(max(3, 2*o.seconds)))
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("longest sign-in flow while %d expired rows are removed", 2*rows), float64(m.latency.max)/1e6,
		"ms", 20)
	return nil
}

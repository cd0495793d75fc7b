package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/crypto/argon2"
)

// cost is what one operation takes: time, and time of one processor.
type cost struct {
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
}

func (c cost) plus(o cost, times int) cost {
	return cost{c.Wall + o.Wall*time.Duration(times), c.CPU + o.CPU*time.Duration(times)}
}

// perSecond is how often one core can do it.
func (c cost) perSecond() float64 {
	if c.Wall == 0 {
		return 0
	}
	return float64(time.Second) / float64(c.Wall)
}

// floor is what the machine can do, measured on the server's core.
type floor struct {
	Sign   map[string]cost `json:"sign"`
	Verify map[string]cost `json:"verify"`
	Hash   cost            `json:"hash"`
	Sync   cost            `json:"sync"`   // of a file to which 4 KiB were appended
	Insert map[int]cost    `json:"insert"` // one of so many rows that share a transaction and its sync
}

// timed repeats f for about the given time.
func timed(length time.Duration, f func() error) (cost, error) {
	if err := f(); err != nil {
		return cost{}, err
	}
	n, begun, cpu := 0, time.Now(), processorTime(os.Getpid())
	for time.Since(begun) < length {
		if err := f(); err != nil {
			return cost{}, err
		}
		n++
	}
	return cost{time.Since(begun) / time.Duration(n), (processorTime(os.Getpid()) - cpu) / time.Duration(n)}, nil
}

// computed is timed for what only computes: the time of the processor counts, so that others on the
// machine do not make it look slower.
func computed(length time.Duration, f func() error) (cost, error) {
	c, err := timed(length, f)
	if c.CPU > 0 {
		c.Wall = c.CPU
	}
	return c, err
}

// measureFloor runs in a process of its own, see main. Files are made in folder.
func measureFloor(ctx context.Context, folder, mongodb string, batches []int, length time.Duration) (*floor, error) {
	f := &floor{Sign: map[string]cost{}, Verify: map[string]cost{}, Insert: map[int]cost{}}
	digest := sha256.Sum256([]byte("a token"))
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	esSignature, err := ecdsa.SignASN1(rand.Reader, es, digest[:])
	if err != nil {
		return nil, err
	}
	rsSignature, err := rsa.SignPKCS1v15(nil, rs, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	edSignature := ed25519.Sign(ed, digest[:])
	bad := fmt.Errorf("a signature did not verify")
	for _, m := range []struct {
		into map[string]cost
		name string
		f    func() error
	}{
		{f.Sign, "ES256", func() error { _, err := ecdsa.SignASN1(rand.Reader, es, digest[:]); return err }},
		{f.Sign, "RS256", func() error { _, err := rsa.SignPKCS1v15(nil, rs, crypto.SHA256, digest[:]); return err }},
		{f.Sign, "EdDSA", func() error { ed25519.Sign(ed, digest[:]); return nil }},
		{f.Verify, "ES256", func() error {
			if !ecdsa.VerifyASN1(&es.PublicKey, digest[:], esSignature) {
				return bad
			}
			return nil
		}},
		{f.Verify, "RS256", func() error {
			return rsa.VerifyPKCS1v15(&rs.PublicKey, crypto.SHA256, digest[:],
				rsSignature)
		}},
		{f.Verify, "EdDSA", func() error {
			if !ed25519.Verify(ed.Public().(ed25519.PublicKey), digest[:], edSignature) {
				return bad
			}
			return nil
		}},
	} {
		if m.into[m.name], err = computed(length, m.f); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	// The costs that the program hashes with, when nobody sets others.
	if f.Hash, err = computed(length, func() error {
		argon2.IDKey([]byte(password), []byte("sixteen bytes sa"), 2, 19<<10, 1, 32)
		return nil
	}); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(folder, "floor.sync"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := make([]byte, 4<<10)
	if f.Sync, err = timed(length, func() error {
		if _, err := file.Write(page); err != nil {
			return err
		}
		return file.Sync()
	}); err != nil {
		return nil, err
	}
	for _, n := range batches {
		if mongodb != "" {
			f.Insert[n], err = insertMongoDB(ctx, mongodb, n, length)
		} else {
			f.Insert[n], err = insertSQLite(filepath.Join(folder, "floor.db"), n, length)
		}
		if err != nil {
			return nil, fmt.Errorf("insert in transactions of %d: %w", n, err)
		}
	}
	return f, nil
}

// rowSize is about what a grant is.
const rowSize = 700

// timeOrdered makes keys that lie together when they are made together.
func timeOrdered(n uint64) string { return fmt.Sprintf("%016x%016x", uint64(time.Now().UnixNano()), n) }

// floorElsewhere measures the floor in a process on the server's core.
func floorElsewhere(ctx context.Context, o options, folder, mongodb string) (*floor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "floor", "-folder", folder, "-connections", join(o.connections), "-seconds",
		fmt.Sprint(o.floorSeconds))
	cmd.Env = append(cmd.Environ(), "BENCH_MONGODB="+mongodb)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(cmd, o.serverCore, o.clientCore); err != nil {
		return nil, err
	}
	var f floor
	decoding := json.NewDecoder(out).Decode(&f)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("measure the floor: %w", err)
	}
	return &f, decoding
}

// bareSizes are rounded up to this, so that few bare answers have to be measured.
const bareStep = 512

// serveBare answers every request with as many bytes, through the router that the program uses and
// with nothing else. It says on w where.
func serveBare(size int, w io.Writer) error {
	body := make([]byte, size)
	for i := range body {
		body[i] = 'x'
	}
	r := mux.NewRouter()
	r.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}).Methods("GET", "POST")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, l.Addr()); err != nil {
		return err
	}
	return (&http.Server{Handler: r, ReadHeaderTimeout: time.Minute}).Serve(l)
}

// bareAnswers measures bare answers when somebody wants to know, once for each size and number of
// connections.
type bareAnswers struct {
	o     options
	known map[bareKey]cost
}

type bareKey struct {
	exchange
	conns int
}

func (b *bareAnswers) measure(ctx context.Context, e exchange, conns int) (cost, error) {
	e.answer = (e.answer + bareStep - 1) / bareStep * bareStep
	key := bareKey{e, conns}
	if c, ok := b.known[key]; ok {
		return c, nil
	}
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.Command(self, "bare", "-size", strconv.Itoa(e.answer))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return cost{}, err
	}
	if err := startOn(cmd, b.o.serverCore, b.o.clientCore); err != nil {
		return cost{}, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		return cost{}, fmt.Errorf("start the bare server: %w", err)
	}
	ask := get(addr, "/bare")
	if e.post {
		ask = post(addr, "/bare", string(make([]byte, 256)))
	}
	w := func(c *conn) error {
		a, err := c.do(ask)
		if err == nil && (a.status != 200 || len(a.body) != e.answer) {
			err = fmt.Errorf("the bare server answered %d", a.status)
		}
		return err
	}
	workers := make([]worker, conns)
	for i := range workers {
		workers[i] = w
	}
	m, err := measure(ctx, addr, cmd.Process.Pid, workers, seconds(b.o.floorSeconds), false)
	if err != nil {
		return cost{}, err
	}
	c := cost{m.elapsed / time.Duration(m.ops), m.cpu}
	b.known[key] = c
	return c, nil
}

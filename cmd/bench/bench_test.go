package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestHistogramQuantilesAreWithinABucket(t *testing.T) {
	t.Parallel()
	var h, other histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	other.add(90 * time.Millisecond)
	for q, want := range map[float64]time.Duration{0: time.Microsecond, .5: 500 * time.Microsecond,
		.99: 990 * time.Microsecond, 1: time.Millisecond} {
		if got := h.quantile(q); got < want-want/32 || got > want+want/32 {
			t.Errorf("quantile %g is %s, want about %s", q, got, want)
		}
	}
	h.merge(&other)
	if h.n != 1001 || h.max != 90*time.Millisecond || h.quantile(1) != 90*time.Millisecond {
		t.Errorf("merged: %d, max %s, last %s", h.n, h.max, h.quantile(1))
	}
	for _, d := range []time.Duration{-1, 0, 1, 63, 64, 65, 127, 128, 1 << 20, time.Hour} {
		if i := bucket(d); d >= 0 && d < time.Minute && (upper(i) < d || i > 0 && upper(i-1) >= d) {
			t.Errorf("%d lies in bucket %d, which ends at %d", d, i, upper(i))
		}
	}
}

func TestAnswersAreReadByTheByte(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, location, body string
		status               int
	}{
		"content-length": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello", "", "hello", 200},
		"redirect": {"HTTP/1.1 303 See Other\r\nlocation: /next?a=b\r\ncontent-length: 0\r\n\r\n", "/next?a=b",
			"", 303},
		"chunks":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n, here I am\r\n0\r\n\r\n", "", "", 0},
		"two chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, there\r\n0\r\n\r\n", "", "hello, there", 200},
		"no HTTP":    {"HTTP/2 200 OK\r\n\r\n", "", "", 0},
		"bad length": {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Whatever is missing at the end, it is not an answer yet.
			for n := range len(c.text) {
				var a answer
				if used, err := a.parse([]byte(c.text)[:n]); err == nil && used != 0 {
					t.Fatalf("%d of %d bytes are taken for the whole answer", n, len(c.text))
				}
			}
			var a answer
			used, err := a.parse([]byte(c.text))
			if c.status == 0 {
				if err == nil {
					t.Fatalf("accepted: %+v", a)
				}
				return
			}
			if err != nil || used != len(c.text) || a.status != c.status || string(a.body) != c.body ||
				string(a.location) != c.location {
				t.Errorf("%d, %v, %d %q %q", used, err, a.status, a.location, a.body)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 303 See Other\r\nLocation: /x?code=a&state=b\r\nContent-Length: 2\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var a answer
		used, err := a.parse(bytes.Clone(text))
		if used < 0 || used > len(text) || err != nil && used != 0 {
			t.Fatalf("%d bytes of %d, %v", used, len(text), err)
		}
		if used > 0 {
			a.setCookies(func(string, string) {})
			parameter(a.location, "code")
			member(a.body, "access_token")
		}
	})
}

func TestMembersAndParametersAreFound(t *testing.T) {
	t.Parallel()
	body := []byte(`{"old_access_token":"no","note":"access_token","access_token":"a.b.c","id_token":"x"}`)
	if got := string(member(body, "access_token")); got != "a.b.c" {
		t.Errorf("access_token is %q", got)
	}
	if got := member(body, "token"); got != nil {
		t.Errorf("token is %q", got)
	}
	location := []byte("http://127.0.0.1/callback?error_code=no&code=lkc_a.b&state=s1&iss=x")
	if got := string(parameter(location, "code")); got != "lkc_a.b" {
		t.Errorf("code is %q", got)
	}
	if got := parameter(location, "nothing"); got != nil {
		t.Errorf("nothing is %q", got)
	}
}

// A fast server that is wrong must get no figure: the checker has to notice each of these.
func TestCheckerRefusesWrongTokens(t *testing.T) {
	t.Parallel()
	const issuer = "http://127.0.0.1:1"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &checker{issuer: issuer, jtis: map[string]bool{},
		keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256",
			Use: "sig"}}}}
	now := time.Now().Unix()
	sign := func(by *ecdsa.PrivateKey, typ string, change func(map[string]any)) string {
		claims := map[string]any{"iss": issuer, "sub": "p", "aud": apis[0].audience, "client_id": "c",
			"jti": rand.Text(), "iat": now, "exp": now + 60}
		if change != nil {
			change(claims)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: by, KeyID: "k"}},
			(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	right := sign(key, "at+jwt", func(c map[string]any) { c["jti"] = "once" })
	if _, err := k.accessToken(right, "c", apis[0].audience); err != nil {
		t.Fatalf("the control: %v", err)
	}
	set := func(name string, value any) func(map[string]any) { return func(c map[string]any) { c[name] = value } }
	for name, token := range map[string]string{
		"the same jti again": right,
		"another key":        sign(stranger, "at+jwt", nil),
		"an ID token":        sign(key, "JWT", nil),
		"another issuer":     sign(key, "at+jwt", set("iss", "http://127.0.0.1:2")),
		"another client":     sign(key, "at+jwt", set("client_id", "d")),
		"another audience":   sign(key, "at+jwt", set("aud", issuer)),
		"expired":            sign(key, "at+jwt", set("exp", now-1)),
		"no subject":         sign(key, "at+jwt", set("sub", "")),
		"no jti":             sign(key, "at+jwt", set("jti", "")),
		"not a token":        "a.b.c",
	} {
		if _, err := k.accessToken(token, "c", apis[0].audience); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestJobWithWrongAnswersHasNoFigure(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 4096)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		}
	}()
	addr := l.Addr().String()
	ask := get(addr, "/")
	good := func(c *conn) error { _, err := c.do(ask); return err }
	for name, c := range map[string]struct {
		worker worker
		verify func(*conn) (int, error)
		want   string
	}{
		"the sample is wrong": {good, func(*conn) (int, error) { return 3, fmt.Errorf("sub differs") },
			"sub differs"},
		"nothing was verified": {good, func(*conn) (int, error) { return 0, nil }, "no answer was verified"},
		"an answer is wrong": {func(*conn) error { return fmt.Errorf("status 500") },
			func(*conn) (int, error) { return 1, nil }, "status 500"},
		"the control has a figure": {good, func(*conn) (int, error) { return 1, nil }, ""},
	} {
		j := &job{workers: []worker{good, c.worker}, verify: c.verify}
		m, _, err := j.run(t.Context(), addr, os.Getpid(), 20*time.Millisecond)
		switch {
		case c.want == "" && (err != nil || m.ops == 0):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || m != nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The whole of it, as short as it can be, on the real program.
func TestBenchMeasuresTheRealProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the real program")
	}
	t.Parallel()
	folder := t.TempDir()
	self, program := filepath.Join(folder, "bench"), filepath.Join(folder, "latchkey")
	for out, from := range map[string]string{self: ".", program: "../latchkey"} {
		if text, err := exec.Command("go", "build", "-o", out, from).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-binary", program, "-folder", folder, "-out",
		filepath.Join(folder, "out.json"),
		"-rows", "20", "-connections", "2", "-seconds", "0.1", "-floor-seconds", "0.1", "-sign-ins", "8")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var out struct {
		Rows    []row
		Figures []figure
	}
	raw, err := os.ReadFile(filepath.Join(folder, "out.json"))
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, s := range scenarios {
		want++
		if s.perAlg {
			want++
		}
	}
	if len(out.Rows) != want || len(out.Figures) < 8 {
		t.Errorf("%d figures of %d, and %d others\n%s", len(out.Rows), want, len(out.Figures), text)
	}
	for _, r := range out.Rows {
		if r.Error != "" || r.PerSecond <= 0 || r.P99 < r.P50 || r.Floor <= 0 || r.Verified == 0 {
			t.Errorf("%+v", r)
		}
	}
}

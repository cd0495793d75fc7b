package storagetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Proxy stands between a driver and the primary of a MongoDB deployment, and breaks what passes at
// chosen moments.
type Proxy struct {
	t      testing.TB
	uri    string // of the deployment
	target *mongo.Client
	listen net.Listener

	mu       sync.Mutex
	next     map[string][]Fault // by the command's name
	foreign  map[string]int     // commands whose next retry is to look like a new one
	down     bool
	inflight map[net.Conn]bool

	withheld     chan struct{}
	withheldOnce sync.Once
}

// Fault is what happens to one command on its way.
type Fault struct {
	kind       faultKind
	code       int
	name       string
	everything bool
}

type faultKind int

const (
	cutBefore faultKind = iota + 1
	cutAfter
	cutAndForget
	stall
	refuse
	noMajority
)

// CutBefore closes the connection before the command reaches the server.
func CutBefore() Fault { return Fault{kind: cutBefore} }

// CutAfter closes the connection when the server has done the command, in place of its answer.
func CutAfter() Fault { return Fault{kind: cutAfter} }

// CutAndForget is CutAfter on a server that then does not know the retried command again, and does
// it a second time.
func CutAndForget() Fault { return Fault{kind: cutAndForget} }

// Stall lets the server do the command, and never answers.
func Stall() Fault { return Fault{kind: stall} }

// Refuse answers with this error code in place of the server, as one does that has just ceased to
// be the primary.
func Refuse(code int, name string) Fault { return Fault{kind: refuse, code: code, name: name} }

// NoMajority lets the server do the command, and adds to its answer that no majority has confirmed
// it.
func NoMajority() Fault { return Fault{kind: noMajority} }

// Always makes the fault happen to every such command from then on.
func (f Fault) Always() Fault {
	f.everything = true
	return f
}

// NewProxy starts a proxy before the deployment that the connection string names. The test is
// skipped if its connections are encrypted.
func NewProxy(t testing.TB, uri string) *Proxy {
	t.Helper()
	if strings.HasPrefix(uri, "mongodb+srv:") || strings.Contains(uri, "tls=true") ||
		strings.Contains(uri, "ssl=true") {
		t.Skip("a proxy cannot look into encrypted connections")
	}
	target, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, uri: uri, target: target, listen: l, next: make(map[string][]Fault),
		foreign: make(map[string]int), inflight: make(map[net.Conn]bool), withheld: make(chan struct{})}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Down()
		done.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = target.Disconnect(ctx)
	})
	return p
}

// URI is the deployment's connection string with the proxy in place of its hosts.
func (p *Proxy) URI() string {
	scheme, rest, _ := strings.Cut(p.uri, "://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	login := ""
	if i := strings.LastIndex(hosts, "@"); i >= 0 {
		login = hosts[:i+1]
	}
	kept := []string{"directConnection=true"}
	for option := range strings.SplitSeq(query, "&") {
		if option != "" && !strings.HasPrefix(option, "replicaSet=") && !strings.HasPrefix(option, "compressors=") {
			kept = append(kept, option)
		}
	}
	return scheme + "://" + login + p.listen.Addr().String() + "/" + path + "?" + strings.Join(kept, "&")
}

// Next sets what happens to the next commands of that name: findAndModify, insert, update, find.
func (p *Proxy) Next(command string, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[command] = append(p.next[command], faults...)
}

// Left is how many faults have not happened yet.
func (p *Proxy) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, faults := range p.next {
		n += len(faults)
	}
	return n
}

// Withheld is closed once an answer of the server was kept from the driver: what it had asked for
// is done by then.
func (p *Proxy) Withheld() <-chan struct{} { return p.withheld }

// Clear forgets the faults that have not happened yet.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.next)
	clear(p.foreign)
}

// Down closes every connection, and each new one at once.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for conn := range p.inflight {
		conn.Close()
	}
}

// Up ends Down.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// fault takes the fault that is to happen to this command; foreign says that it must look like one
// never seen before.
func (p *Proxy) fault(command string) (f Fault, foreign bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if foreign = p.foreign[command] > 0; foreign {
		p.foreign[command]--
	}
	faults := p.next[command]
	if len(faults) == 0 {
		return Fault{}, foreign
	}
	f = faults[0]
	if !f.everything {
		p.next[command] = faults[1:]
	}
	if f.kind == cutAndForget {
		p.foreign[command]++
	}
	return f, foreign
}

// primary dials the primary as of now: there may have been an election since the last time. A mongos
// names none, and is dialled itself.
func (p *Proxy) primary() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var hello struct {
		Primary string `bson:"primary"`
	}
	if err := p.target.Database("admin").RunCommand(ctx,
		bson.D{{Key: "isMaster", Value: 1}}).Decode(&hello); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", cmp.Or(hello.Primary, firstHost(p.uri)))
}

// firstHost is the first host of a connection string, with its port.
func firstHost(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	hosts, _, _ = strings.Cut(hosts, "?")
	if i := strings.LastIndex(hosts, "@"); i >= 0 {
		hosts = hosts[i+1:]
	}
	host, _, _ := strings.Cut(hosts, ",")
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(strings.Trim(host, "[]"), "27017")
	}
	return host
}

// pair is one connection through the proxy.
type pair struct {
	driver, server net.Conn
	writing        sync.Mutex // of answers to the driver

	mu      sync.Mutex
	answers map[uint32]Fault // what is to happen to the answer to a request
}

func (p *Proxy) serve(driver net.Conn) {
	defer driver.Close()
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		return
	}
	server, err := p.primary()
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	down = p.down
	p.inflight[driver] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.inflight, driver)
		p.mu.Unlock()
	}()
	if down {
		return
	}
	c := &pair{driver: driver, server: server, answers: make(map[uint32]Fault)}
	var done sync.WaitGroup
	done.Go(func() {
		defer driver.Close()
		defer server.Close()
		c.answer(p)
	})
	c.ask(p)
	driver.Close()
	server.Close()
	done.Wait()
}

// ask passes requests on to the server.
func (c *pair) ask(p *Proxy) {
	for {
		frame, err := readFrame(c.driver)
		if err != nil {
			return
		}
		request := binary.LittleEndian.Uint32(frame[4:])
		f, foreign := p.fault(commandOf(frame))
		if foreign {
			changeSession(frame)
		}
		switch f.kind {
		case cutBefore:
			return
		case refuse:
			answer := bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: f.code}, {Key: "codeName", Value: f.name},
				{Key: "errmsg", Value: f.name}}
			// a server says so of writes that it would recognise
			if bytes.Contains(frame, []byte("\x12txnNumber\x00")) {
				answer = append(answer, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
			}
			doc, err := bson.Marshal(answer)
			if err != nil || c.send(answerFrame(request, doc)) != nil {
				return
			}
			continue
		case 0:
		default:
			c.mu.Lock()
			c.answers[request] = f
			c.mu.Unlock()
		}
		if _, err := c.server.Write(frame); err != nil {
			return
		}
	}
}

// answer passes answers back to the driver.
func (c *pair) answer(p *Proxy) {
	for {
		frame, err := readFrame(c.server)
		if err != nil {
			return
		}
		request := binary.LittleEndian.Uint32(frame[8:])
		c.mu.Lock()
		f := c.answers[request]
		delete(c.answers, request)
		c.mu.Unlock()
		switch f.kind {
		case cutAfter, cutAndForget:
			p.withheldOnce.Do(func() { close(p.withheld) })
			return
		case stall:
			p.withheldOnce.Do(func() { close(p.withheld) })
			continue
		case noMajority:
			var doc bson.D
			if err := bson.Unmarshal(frame[21:], &doc); err != nil {
				return
			}
			doc = append(doc, bson.E{Key: "writeConcernError", Value: bson.D{
				{Key: "code", Value: 64}, {Key: "codeName", Value: "WriteConcernFailed"},
				{Key: "errmsg", Value: "waiting for replication timed out"},
			}})
			raw, err := bson.Marshal(doc)
			if err != nil {
				return
			}
			frame = answerFrame(request, raw)
		}
		if c.send(frame) != nil {
			return
		}
	}
}

func (c *pair) send(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.driver.Write(frame)
	return err
}

const (
	opMsg    = 2013
	maxFrame = 48 << 20
)

// readFrame reads one message of the wire protocol: 16 bytes of header (length, request, response
// to, operation), and the rest.
func readFrame(r io.Reader) ([]byte, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 16 || n > maxFrame {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	frame := make([]byte, n)
	copy(frame, head[:])
	_, err := io.ReadFull(r, frame[16:])
	return frame, err
}

// commandOf is the name of the command in a message: the first key of its document, which follows
// four bytes of flags and one that tells the kind of section.
func commandOf(frame []byte) string {
	const key = 16 + 4 + 1 + 4 + 1
	if len(frame) <= key || binary.LittleEndian.Uint32(frame[12:]) != opMsg || frame[20] != 0 {
		return ""
	}
	name, _, _ := bytes.Cut(frame[key:], []byte{0})
	return string(name)
}

// answerFrame is a message that answers a request with one document.
func answerFrame(request uint32, doc []byte) []byte {
	frame := make([]byte, 21, 21+len(doc))
	binary.LittleEndian.PutUint32(frame[0:], uint32(21+len(doc)))
	binary.LittleEndian.PutUint32(frame[8:], request)
	binary.LittleEndian.PutUint32(frame[12:], opMsg)
	return append(frame, doc...)
}

// changeSession gives a message another session id, so that the server does not recognise it as a
// repetition.
func changeSession(frame []byte) {
	_, after, ok := bytes.Cut(frame, []byte("\x03lsid\x00"))
	if !ok {
		return
	}
	// The session's document: its length, then the binary "id" of 16 bytes, subtype 4.
	_, id, ok := bytes.Cut(after, []byte("\x05id\x00\x10\x00\x00\x00\x04"))
	if ok && len(id) >= 16 {
		rand.Read(id[:16])
	}
}

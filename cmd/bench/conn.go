package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is one kept-alive connection. It is written for a client that must cost less than the server
// that it measures: requests are finished bytes, answers are read in place, and nothing is
// allocated.
type conn struct {
	net.Conn
	addr string
	out  []byte // for whoever builds a request
	body []byte // for whoever builds the body of one

	buf    []byte // one answer
	answer answer
	sizes  *[]exchange // when set, each exchange is noted there
}

// answer is the last answer of a connection. Its slices are good until the next request.
type answer struct {
	status   int
	head     []byte // header lines, each ending in CRLF
	location []byte
	body     []byte
}

// exchange is the shape of a request and its answer.
type exchange struct {
	post   bool
	answer int // bytes of the body
}

const maxAnswer = 4 << 20

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, addr: addr, buf: make([]byte, 16<<10), out: make([]byte, 0, 4<<10),
		body: make([]byte, 0, 4<<10)}, nil
}

// do sends a request and reads the answer. The error is of the connection or of HTTP; every status
// is an answer.
func (c *conn) do(request []byte) (*answer, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	n := 0
	for {
		if n == len(c.buf) {
			if n >= maxAnswer {
				return nil, errors.New("the answer is too long")
			}
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		m, err := c.Read(c.buf[n:])
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		n += m
		used, err := c.answer.parse(c.buf[:n])
		if err != nil {
			return nil, err
		}
		if used == 0 {
			continue // not all of it is there
		}
		if used != n {
			return nil, errors.New("more than one answer to one request")
		}
		if c.sizes != nil {
			*c.sizes = append(*c.sizes, exchange{request[0] == 'P', len(c.answer.body)})
		}
		return &c.answer, nil
	}
}

var errMalformed = errors.New("not an HTTP/1.1 answer")

// parse reads an answer from the beginning of b and returns how long it is, or 0 when it is not
// complete. A body in chunks is put together in place, but only once it is complete.
func (a *answer) parse(b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if len(b) < 13 || !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		return 0, errMalformed
	}
	status, err := strconv.Atoi(string(b[9:12]))
	if err != nil {
		return 0, errMalformed
	}
	lines := bytes.IndexByte(b, '\n') + 1
	a.status, a.head, a.location = status, b[lines:end+2], nil
	length, chunked := 0, false
	for rest := a.head; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		rest = after
		switch value, name := headerValue(line); name {
		case "content-length":
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxAnswer {
				return 0, errMalformed
			}
		case "transfer-encoding":
			chunked = true
		case "location":
			a.location = value
		}
	}
	start := end + 4
	if chunked {
		return a.parseChunks(b, start)
	}
	if len(b)-start < length {
		return 0, nil
	}
	a.body = b[start : start+length]
	return start + length, nil
}

// headerValue recognises the headers that parse reads, by their length first.
func headerValue(line []byte) (value []byte, name string) {
	for _, name := range [...]string{"content-length", "transfer-encoding", "location"} {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return bytes.TrimSpace(line[len(name)+1:]), name
		}
	}
	return nil, ""
}

// parseChunks reads a body in chunks that begins at start, without trailers.
func (a *answer) parseChunks(b []byte, start int) (int, error) {
	type span struct{ from, to int }
	var spans [16]span
	chunks := spans[:0]
	at := start
	for {
		i := bytes.Index(b[at:], []byte("\r\n"))
		if i < 0 {
			return 0, nil
		}
		size, err := strconv.ParseUint(string(b[at:at+i]), 16, 31)
		if err != nil || size > maxAnswer {
			return 0, errMalformed
		}
		from := at + i + 2
		to := from + int(size)
		if len(b) < to+2 {
			return 0, nil
		}
		if b[to] != '\r' || b[to+1] != '\n' {
			return 0, errMalformed
		}
		at = to + 2
		if size == 0 {
			break
		}
		chunks = append(chunks, span{from, to})
	}
	n := start
	for _, s := range chunks {
		n += copy(b[n:], b[s.from:s.to])
	}
	a.body = b[start:n]
	return at, nil
}

// setCookies calls f with each cookie that the answer sets.
func (a *answer) setCookies(f func(name, value string)) {
	for line := range bytes.SplitSeq(a.head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !strings.EqualFold(string(name), "set-cookie") {
			continue
		}
		pair, _, _ := strings.Cut(strings.TrimSpace(string(value)), ";")
		if name, value, ok := strings.Cut(pair, "="); ok {
			f(name, value)
		}
	}
}

// get is a finished GET request. Each header is a whole line without its end.
func get(addr, target string, headers ...string) []byte {
	return request("GET", addr, target, "", headers...)
}

// post is a finished POST request with a form.
func post(addr, target, form string, headers ...string) []byte {
	return request("POST", addr, target, form, headers...)
}

func request(method, addr, target, form string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, addr)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if method == "POST" {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(form))
	}
	b.WriteString("\r\n" + form)
	return b.Bytes()
}

// poster builds the same POST request again and again, with another form each time.
type poster struct{ head []byte }

func newPoster(addr, target string, headers ...string) poster {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", target, addr)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ")
	return poster{b.Bytes()}
}

// post sends the form and reads the answer.
func (p poster) post(c *conn, form ...[]byte) (*answer, error) {
	n := 0
	for _, part := range form {
		n += len(part)
	}
	c.out = append(c.out[:0], p.head...)
	c.out = strconv.AppendInt(c.out, int64(n), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	for _, part := range form {
		c.out = append(c.out, part...)
	}
	return c.do(c.out)
}

// member is the value of a string member of a JSON object whose value has no escapes, as tokens
// have none; nil if there is none.
func member(body []byte, name string) []byte {
	i := bytes.Index(body, []byte(name))
	for i >= 0 {
		rest := body[i+len(name):]
		if i > 0 && body[i-1] == '"' && bytes.HasPrefix(rest, []byte(`":"`)) {
			if end := bytes.IndexByte(rest[3:], '"'); end >= 0 {
				return rest[3 : 3+end]
			}
			return nil
		}
		next := bytes.Index(rest, []byte(name))
		if next < 0 {
			return nil
		}
		i += len(name) + next
	}
	return nil
}

// parameter is the value of a parameter of a query, as it stands there; nil if there is none.
func parameter(location []byte, name string) []byte {
	_, query, _ := bytes.Cut(location, []byte("?"))
	for len(query) > 0 {
		pair, rest, _ := bytes.Cut(query, []byte("&"))
		query = rest
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			return pair[len(name)+1:]
		}
	}
	return nil
}

package main

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"latchkey/cmd/latchkey/config"
)

const (
	logQueue = 4096        // lines that wait for their reader
	logEnd   = time.Second // how long the end waits for them
)

// logLines writes log lines beside those who log. Whoever reads standard error may stop reading,
// and a full pipe must not keep requests waiting: what does not fit is left out and counted.
type logLines struct {
	queue chan []byte
	lost  atomic.Int64 // that no line has told of yet
	total atomic.Int64
	done  chan struct{}
}

// newLogLines begins to write. tell is called with the number of lines that were lost, when there
// is room again, and writes by itself.
func newLogLines(w io.Writer, tell func(lost int64)) *logLines {
	l := &logLines{queue: make(chan []byte, logQueue), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.queue {
			_, _ = w.Write(line) // nobody is left to tell
			if n := l.lost.Swap(0); n > 0 {
				tell(n)
			}
		}
	}()
	return l
}

// Write takes a line, or leaves it out. It never waits.
func (l *logLines) Write(line []byte) (int, error) {
	select {
	case l.queue <- append([]byte(nil), line...):
	default:
		l.lost.Add(1)
		l.total.Add(1)
	}
	return len(line), nil
}

// end writes what waits, if anybody reads it. Nothing must be logged afterwards.
func (l *logLines) end() {
	close(l.queue)
	select {
	case <-l.done:
	case <-time.After(logEnd):
	}
}

// serverLogger is the logger of a server, and what ends it. lost counts the lines that were left
// out.
func serverLogger(w io.Writer, c config.Config) (logger *slog.Logger, lost func() float64, end func()) {
	direct := newLogger(w, c)
	if _, pipe := w.(*os.File); !pipe { // nothing that could stand still
		return direct, func() float64 { return 0 }, func() {}
	}
	lines := newLogLines(w, func(n int64) { direct.Warn("log lines were lost: nobody read them in time", "lines", n) })
	return newLogger(lines, c), func() float64 { return float64(lines.total.Load()) }, lines.end
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// worker does one operation after the other on its own connection. An error means that an answer
// was wrong; errExhausted that there is nothing left to do.
type worker func(c *conn) error

var errExhausted = errors.New("nothing left to do")

// job is a measurement that is ready to begin.
type job struct {
	workers []worker
	limited bool // the workers run out of what they do, so that no time is spent on warming up
	slow    bool // one operation takes long, so that it is measured for longer
	// verify looks at the sample that was kept, and says how many answers it has verified.
	verify func(c *conn) (int, error)
}

// measured is what came out.
type measured struct {
	ops      uint64
	elapsed  time.Duration
	cpu      time.Duration // of the server, per operation
	latency  histogram
	resident int64 // bytes, of the server, at the end
}

// rate is operations per second.
func (m *measured) rate() float64 { return float64(m.ops) / m.elapsed.Seconds() }

const warmUp = 200 * time.Millisecond

// measure lets all workers work for a while.
func measure(ctx context.Context, addr string, pid int, workers []worker, length time.Duration,
	limited bool) (*measured, error) {
	conns := make([]*conn, len(workers))
	for i := range conns {
		c, err := dial(addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(length + 2*time.Minute)); err != nil {
			return nil, err
		}
		conns[i] = c
	}
	const (
		warming = iota
		recording
		stopped
	)
	var state atomic.Int32
	var ops atomic.Int64
	var wg sync.WaitGroup
	ended := make(chan struct{}) // closed when the first worker has nothing left to do
	var end sync.Once
	failed := make(chan error, len(workers))
	histograms := make([]histogram, len(workers))
	begin := func() {
		for i, w := range workers {
			wg.Go(func() {
				h := &histograms[i]
				for {
					if state.Load() == stopped {
						return
					}
					begun := time.Now()
					err := w(conns[i])
					took := time.Since(begun)
					if errors.Is(err, errExhausted) {
						end.Do(func() { close(ended) })
						return
					}
					if err != nil {
						failed <- err
						end.Do(func() { close(ended) })
						return
					}
					if state.Load() == recording { // what ends within the time that is measured counts
						h.add(took)
						ops.Add(1)
					}
				}
			})
		}
	}
	wait := func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ended:
		case <-ctx.Done():
		}
	}
	if !limited {
		begin()
		wait(warmUp)
	}
	cpu := processorTime(pid)
	begun := time.Now()
	state.Store(recording)
	if limited {
		begin()
	}
	wait(length)
	// On a machine that has other things to do, the first operation may take longer than the whole
	// measurement.
	for patience := time.Now(); ops.Load() == 0 && len(failed) == 0 && ctx.Err() == nil &&
		time.Since(patience) < 10*time.Second; {
		time.Sleep(length / 4)
	}
	state.Store(stopped)
	m := &measured{elapsed: time.Since(begun)}
	cpu = processorTime(pid) - cpu
	m.resident, _ = memory(pid)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	for i := range histograms {
		m.latency.merge(&histograms[i])
	}
	m.ops = m.latency.n
	if m.ops == 0 {
		return nil, fmt.Errorf("no operation ended within %s", m.elapsed)
	}
	m.cpu = cpu / time.Duration(m.ops)
	return m, nil
}

// run measures a job and verifies the sample. Whatever is wrong leaves no figure.
func (j *job) run(ctx context.Context, addr string, pid int, length time.Duration) (*measured, int, error) {
	if j.slow {
		length = max(2*length, 2*time.Second)
	}
	m, err := measure(ctx, addr, pid, j.workers, length, j.limited)
	if err != nil {
		return nil, 0, err
	}
	c, err := dial(addr)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	n, err := j.verify(c)
	if err != nil {
		return nil, 0, fmt.Errorf("a wrong answer: %w", err)
	}
	if n == 0 {
		return nil, 0, errors.New("no answer was verified")
	}
	return m, n, nil
}

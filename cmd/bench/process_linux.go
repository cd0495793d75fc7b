package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cores are those that this process may use: the first for the server, the last for the client.
func cores() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var all []int
	for i := 0; len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	return all
}

func pinThread(core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(0, &set)
}

// pinSelf moves every thread of this process to the core. Threads made later inherit it.
func pinSelf(core int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return err
		}
	}
	return nil
}

// startOn starts the command on one core, so that its runtime sees a machine with one.
func startOn(cmd *exec.Cmd, server, own int) error {
	if server < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinThread(server); err != nil {
		return fmt.Errorf("pin to core %d: %w", server, err)
	}
	err := cmd.Start()
	if again := pinThread(own); err == nil {
		err = again
	}
	return err
}

// processorTime is what the process has used of the processor so far, in all its threads.
func processorTime(pid int) time.Duration {
	var ts unix.Timespec
	// The clock of another process: clock_getcpuclockid(3).
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// memory is what the process holds in memory now, and the most that it ever held, in bytes.
func memory(pid int) (now, peak int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	read := func(name string) int64 {
		_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
		line, _, _ := bytes.Cut(rest, []byte("kB"))
		n, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
		return n << 10
	}
	return read("VmRSS"), read("VmHWM")
}

//go:build unix

package flaskapi

import (
	"os/exec"
	"syscall"
	"time"
)

// endGroup asks the program and its children to end, and after a moment ends them.
func endGroup(cmd *exec.Cmd, exited <-chan struct{}) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // it may have ended by itself
	select {
	case <-exited:
	case <-time.After(2 * time.Second):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

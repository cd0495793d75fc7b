//go:build unix && !linux

package flaskapi

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the program and its children into a group that can be ended as one, out of reach of
// the terminal's Ctrl-C.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

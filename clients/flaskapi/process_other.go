//go:build !unix

package flaskapi

import "os/exec"

// ownGroup does nothing: there are no process groups here, and the program ends with its standard
// input.
func ownGroup(*exec.Cmd) {}

// endGroup ends the program.
func endGroup(cmd *exec.Cmd, _ <-chan struct{}) {
	_ = cmd.Process.Kill() // it may have ended by itself
}

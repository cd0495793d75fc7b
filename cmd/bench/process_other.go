//go:build !linux

package main

import (
	"os/exec"
	"time"
)

// Elsewhere nothing is pinned, and processor time and memory are not known.

func cores() []int                          { return nil }
func pinSelf(int) error                     { return nil }
func startOn(cmd *exec.Cmd, _, _ int) error { return cmd.Start() }
func processorTime(int) time.Duration       { return 0 }
func memory(int) (now, peak int64)          { return 0, 0 }

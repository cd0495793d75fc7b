//go:build failpoints

package main

import (
	"os"

	"latchkey/provider/failpoint"
)

// A build for tests dies where it is told to.
func init() { failpoint.Arm(failpoint.Point(os.Getenv("FAILPOINT"))) }

package storage_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run at once than there are cores: most of them wait for a driver that
// waits.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

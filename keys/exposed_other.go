//go:build !linux

package keys

func readOnlyMount(string) bool { return false }

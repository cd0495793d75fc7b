//go:build !linux

package main

import (
	"errors"
	"net"
)

func dropNew(net.Listener) error { return errors.ErrUnsupported }

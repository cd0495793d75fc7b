package main

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropNew lets the system drop what would begin a new connection, while those that it has accepted
// can still be taken. When a listener is closed, connections that wait in its queue are reset,
// whatever was sent on them by then. A client whose first packet was dropped sends it again, and is
// refused.
//
// It fails for sockets that are no plain TCP sockets.
func dropNew(l net.Listener) error {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	// The filter sees a packet from its TCP header on (RFC 9293 §3.1): SYN is a bit of octet 13.
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 2, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	return errors.Join(failed, err)
}

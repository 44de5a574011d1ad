package udpio

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Mute makes the kernel drop whatever arrives for fd, before it costs a buffer, and forgets what
// has arrived. The port stays ours and silent: not even an ICMP error is sent.
func Mute(fd int) error {
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // pass 0 bytes
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fmt.Errorf("mute UDP socket: %w", err)
	}
	var one [1]byte
	for {
		switch _, _, err := unix.Recvfrom(fd, one[:], unix.MSG_DONTWAIT); {
		case err == unix.EAGAIN:
			return nil
		case err != nil && !Passing(err):
			return fmt.Errorf("mute UDP socket: %w", err)
		}
	}
}

// Unmute undoes Mute.
func Unmute(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("unmute UDP socket: %w", err)
	}
	return nil
}

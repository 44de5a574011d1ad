package udpio

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mute makes the kernel refuse whatever arrives for fd, before it costs a buffer, and forgets what has
// arrived. The port stays ours. The socket is connected to local, its own address, which nobody else
// can send from: of two ways the cheaper by far, as a filter is compiled each time that it is attached.
func Mute(fd int, local *Sockaddr) error {
	if err := Connect(fd, local); err != nil {
		return fmt.Errorf("mute UDP socket: %w", err)
	}
	var one [1]byte
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&one)), 1, unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EAGAIN:
			return nil
		case errno != 0 && !passing(errno):
			return fmt.Errorf("mute UDP socket: %w", errno)
		}
	}
}

// Muted reports whether fd, whose address is local, is mute.
func Muted(fd int, local *Sockaddr) bool {
	peer, ok := Peer(fd)
	return ok && peer.Equal(local)
}

// Unmute undoes Mute.
func Unmute(fd int) error { return Disconnect(fd) }

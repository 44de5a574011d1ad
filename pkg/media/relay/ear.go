package relay

import (
	"golang.org/x/sys/unix"
)

// ear is what a loop has of a descriptor. It stays in the epoll set after its stream has ended, as the
// socket is mute then and soon another stream's: to put it in and out would be a tenth of a call.
type ear struct {
	end  *end // nil if no stream has it
	open bool // it is in the epoll set
}

// add makes the loop listen on a socket.
func (l *Loop) add(e *end) error {
	for e.fd >= len(l.ears) {
		l.ears = append(l.ears, ear{})
	}
	ear := &l.ears[e.fd]
	if ear.end != nil {
		return unix.EEXIST
	}
	if !ear.open {
		// Level-triggered: a socket that holds more than one packet comes up again.
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.fd)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, e.fd, &event); err != nil {
			return err
		}
	}
	ear.end, ear.open = e, true
	l.heard++
	return nil
}

func (l *Loop) remove(e *end) {
	if l.ears[e.fd].end == e {
		l.ears[e.fd].end = nil
		l.heard--
	}
}

// deafen takes a socket that no stream has out of the epoll set.
func (l *Loop) deafen(fd int) {
	if fd < len(l.ears) && l.ears[fd].open && l.ears[fd].end == nil {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it is not in the set
		l.ears[fd].open = false
	}
}

// Forget is called before a descriptor that streams had is closed. The supervisor has another of the
// same socket, which would keep it in the epoll set; and the number may come back for another socket.
func (l *Loop) Forget(fd int) {
	_ = l.Do(func(int64) { l.deafen(fd) }) // a loop that has ended hears nothing
}

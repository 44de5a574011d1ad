package relay

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clock is CLOCK_MONOTONIC in nanoseconds: steady, and the same for all processes until the machine
// starts again, so that times survive a restart of ours. It reads Go's clock, which costs no system
// call.
type clock struct {
	start time.Time
	base  int64
}

func newClock() clock {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it exists on every Linux
	return clock{start: time.Now(), base: ts.Nano()}
}

func (c clock) now() int64 { return c.base + int64(time.Since(c.start)) }

// pace decides how the loop waits, by how many packets come.
type pace struct {
	ticking bool
	packets int
	since   int64
	next    int64 // tick
}

// count adds packets that were handled at now.
func (p *pace) count(packets int, now int64) {
	p.packets += packets
	window := now - p.since
	if window < int64(rateWindow) {
		return
	}
	rate := int64(p.packets) * int64(time.Second) / window
	p.ticking = rate >= wakeRate || (p.ticking && rate >= sleepRate)
	p.packets, p.since = 0, now
}

// rest returns how long to wait for the next tick, or a negative time to wait for a packet.
func (p *pace) rest(now int64) time.Duration {
	p.count(0, now) // also when nothing comes
	if !p.ticking {
		return -1
	}
	p.next += int64(tick)
	if p.next <= now || p.next > now+int64(tick) {
		p.next = now // late, or just begun
	}
	return time.Duration(p.next - now)
}

// wait returns how many of the loop's events are ready, after waiting as the pace says.
func (l *Loop) wait() (int, error) {
	rest := l.pace.rest(l.clock.now())
	if rest < 0 {
		n, err := unix.EpollWait(l.epoll, l.events[:], -1)
		if err == unix.EINTR {
			return 0, nil
		}
		return n, err
	}
	if rest > 0 && !l.posted.Load() {
		// Only the bell ends the wait early. It is a blocking call, which lets the scheduler go on.
		ts := unix.NsecToTimespec(int64(rest))
		bell := [1]unix.PollFd{{Fd: int32(l.bell), Events: unix.POLLIN}}
		if _, err := unix.Ppoll(bell[:], &ts, nil); err != nil && err != unix.EINTR {
			return 0, err
		}
	}
	return l.poll()
}

// poll returns how many events are ready now. It cannot block, so the scheduler need not be told.
func (l *Loop) poll() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return 0, errno
	}
	if errno != 0 {
		return 0, nil
	}
	return int(n), nil
}

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
	tick    time.Duration // 0: wake for each packet
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
	p.packets, p.since = 0, now
	switch {
	case rate >= wakeRate || (p.tick != 0 && rate >= sleepRate):
		p.tick = min(max(tickPackets*time.Second/time.Duration(rate), shortTick), longTick)
	default:
		p.tick = 0
	}
}

// rest returns how long to wait for the next tick, or a negative time to wait for a packet.
func (p *pace) rest(now int64) time.Duration {
	p.count(0, now) // also when nothing comes
	if p.tick == 0 {
		return -1
	}
	p.next += int64(p.tick)
	if p.next <= now || p.next > now+int64(p.tick) {
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
		if err := l.doze(rest); err != nil {
			return 0, err
		}
	}
	return l.poll()
}

// doze sleeps for the rest of a tick, unless the bell rings.
//
// Go's scheduler is not told. If it were, its monitor would find a goroutine that only ever makes short
// blocking calls, take its processor away every 10 ms, and watch closely from then on, which cost as
// much as relaying 100 calls. So a ticking loop keeps its processor: a program runs with one more than
// it has loops. A collection's stop of the world interrupts the sleep by its signal.
func (l *Loop) doze(rest time.Duration) error {
	ts := unix.NsecToTimespec(int64(rest))
	bell := unix.PollFd{Fd: int32(l.bell), Events: unix.POLLIN}
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&bell)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return errno
	}
	return nil
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

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

// Now returns the time of the loop's clock. It may be called by anybody.
func (l *Loop) Now() int64 { return l.clock.now() }

// How a loop waits. Without traffic it sleeps. With little it wakes for each packet, which is quickest.
// From wakeRate on it looks once a tick instead: waking is then what costs most (at 100 calls half of
// everything), and a packet waits half a tick in the mean. The tick is the time in which tickPackets
// come, within its bounds.
const (
	shortTick   = time.Millisecond
	longTick    = 2 * time.Millisecond
	tickPackets = 40
	wakeRate    = 500 // packets a second: five calls, and as many as there would be ticks
	sleepRate   = 300
	rateWindow  = 500 * time.Millisecond
)

// pace decides how the loop waits, by how many packets come.
type pace struct {
	rate    int64         // packets a second
	tick    time.Duration // 0 while there are few
	packets int           // since the window began
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
	p.rate = (int64(p.packets)*int64(time.Second) + window - 1) / window // above 0 if there was any
	p.packets, p.since = 0, now
	switch {
	case p.rate >= wakeRate || (p.tick != 0 && p.rate >= sleepRate):
		p.tick = min(max(tickPackets*time.Second/time.Duration(p.rate), shortTick), longTick)
	default:
		p.tick = 0
	}
}

// rest returns how long it is to the next tick.
func (p *pace) rest(now int64) time.Duration {
	p.next += int64(p.tick)
	if p.next <= now || p.next > now+int64(p.tick) {
		p.next = now // late, or just begun
	}
	return time.Duration(p.next - now)
}

// waitLocked returns how many of the loop's events are ready, after waiting as the pace says, if it may
// wait. Whoever wants the loop has it meanwhile.
//
// Go's scheduler hears only of a sleep without traffic. Its monitor takes the processor from a goroutine
// that makes nothing but short blocking calls every 10 ms and watches closely from then on, which cost
// as much as relaying 100 calls. So a loop with traffic keeps its processor while it waits, and a
// program has one more than it has loops. The signal by which a collection stops the world ends the
// wait.
func (l *Loop) waitLocked(may bool) (n int, err error) {
	now := l.clock.now()
	l.pace.count(0, now) // also when nothing comes
	switch {
	case !may:
	case l.pace.tick != 0:
		rest := l.pace.rest(now)
		l.mu.Unlock()
		err = l.doze(rest)
		l.mu.Lock()
	case l.pace.rate != 0:
		l.mu.Unlock()
		n, err = l.poll(rateWindow)
		l.mu.Lock()
		return n, err
	default:
		l.mu.Unlock()
		n, err = l.sleep()
		l.mu.Lock()
		return n, err
	}
	if err != nil {
		return 0, err
	}
	return l.poll(0)
}

// sleep waits for as long as nothing comes. It is not Go's poller that waits: with our epoll set in its
// own, each packet at any time would wake a thread of it, and relaying would cost half as much again.
func (l *Loop) sleep() (int, error) {
	n, err := unix.EpollWait(l.epoll, l.events[:], -1)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// doze sleeps for the rest of a tick, unless the bell rings.
func (l *Loop) doze(rest time.Duration) error {
	if rest <= 0 {
		return nil
	}
	ts := unix.NsecToTimespec(int64(rest))
	bell := unix.PollFd{Fd: int32(l.bell), Events: unix.POLLIN}
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&bell)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return errno
	}
	return nil
}

// poll returns how many events are ready, after waiting for one for so long at most.
func (l *Loop) poll(patience time.Duration) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(patience/time.Millisecond), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

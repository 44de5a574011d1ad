package main

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The generator sends each stream's packet every 20 ms, at a time of its own within them: ticks as
// short as the timer allows make the arrivals as even as those of callers who know nothing of each
// other.
const (
	frameTime = 20 * time.Millisecond
	tick      = 250 * time.Microsecond
	slots     = int(frameTime / tick)
	txBatch   = 8 // frames that share a time stamp and a system call
)

// generator sends streams.
type generator struct {
	fd      int
	streams [][]byte // one frame each
	head    bool     // write the time where SRTP leaves it (stampHead)
	sent    atomic.Uint64
	late    atomic.Uint64 // ticks that came more than a frame time late
	thread  atomic.Int64  // that sends
}

// newGenerator opens the socket it sends by. It is called inside the generator's namespace.
func newGenerator(ifindex int) (*generator, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	return &generator{fd: fd}, nil
}

// run sends on one CPU until stop is set.
func (g *generator) run(cpu int, stop *atomic.Bool) error {
	if err := pin(cpu); err != nil {
		return err
	}
	g.thread.Store(int64(unix.Gettid()))
	var (
		msgs [txBatch]unix.Mmsghdr
		iovs [txBatch]unix.Iovec
	)
	for i := range msgs {
		msgs[i].Hdr.Iov = &iovs[i]
		msgs[i].Hdr.SetIovlen(1)
	}
	due := time.Now()
	for slot := 0; !stop.Load(); slot = (slot + 1) % slots {
		due = due.Add(tick)
		wait(due)
		if time.Since(due) > frameTime {
			g.late.Add(1)
			due = time.Now()
		}
		n := 0
		for s := slot; s < len(g.streams); s += slots {
			iovs[n].Base, iovs[n].Len = &g.streams[s][0], frameSize
			if n++; n == txBatch {
				g.send(msgs[:n])
				n = 0
			}
		}
		g.send(msgs[:n])
	}
	return nil
}

func (g *generator) send(msgs []unix.Mmsghdr) {
	now := time.Now().UnixNano()
	for i := range msgs {
		f := unsafe.Slice(msgs[i].Hdr.Iov.Base, frameSize)
		if next(f, now); g.head {
			stampHead(f, now)
		}
	}
	for len(msgs) > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), 0, 0, 0)
		if errno != 0 {
			return // counted as lost, since it was not sent
		}
		g.sent.Add(uint64(n))
		msgs = msgs[n:]
	}
}

// pin keeps this goroutine on a thread of its own on one CPU, with timers as exact as they get.
func pin(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// wait sleeps the thread, not only the goroutine: Go's timers are coarser than the kernel's.
func wait(until time.Time) {
	if d := time.Until(until); d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // too short a sleep is made up by the next
	}
}

// addCall makes both streams of call i, towards the relay's ports a and b.
func (g *generator) addCall(w *world, i int, ports relayPorts) error {
	src, err := net.ParseMAC(genMAC)
	if err != nil {
		return err
	}
	a, b := party(i)
	g.streams = append(g.streams, newFrame(w.relayMAC, src, a, ports.a, ssrcOf(i, 'a')))
	if ports.b.IsValid() {
		g.streams = append(g.streams, newFrame(w.relayMAC, src, b, ports.b, ssrcOf(i, 'b')))
	}
	return nil
}

// ssrcOf names the stream of one side of a call.
func ssrcOf(call int, side byte) uint32 { return uint32(call)<<8 | uint32(side) }

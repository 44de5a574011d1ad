package relay

import (
	"testing"

	"golang.org/x/sys/unix"
)

// attach makes the phone's sockets a stream of the loop.
func (p *phone) attach(l *Loop) {
	p.t.Helper()
	rtp, rtcp := p.stream.rtp.fd, p.stream.rtcp.fd
	do(p.t, l, func(int64) {
		var err error
		if p.stream, err = l.Attach(rtp, rtcp, nil); err != nil {
			p.t.Error(err)
		}
	})
}

func (p *phone) detach() {
	do(p.t, p.stream.loop, func(int64) { p.stream.Detach(); p.stream.Detach() })
}

// open reports whether the phone's RTP socket is in the loop's epoll set.
func (p *phone) open(l *Loop) (open bool) {
	do(p.t, l, func(int64) { open = l.ears[p.stream.rtp.fd].open })
	return open
}

func TestSocketsGoFromStreamToStream(t *testing.T) {
	t.Parallel()
	first, second := startLoop(t, true), startLoop(t, true)
	a, b := newPhone(t, first, "127.0.11.1", "127.0.11.3"), newPhone(t, first, "127.0.11.2", "127.0.11.3")
	for _, l := range []*Loop{first, second, first, first} {
		a.detach()
		b.detach()
		a.attach(l)
		b.attach(l)
		join(t, l, a, b, a.terms(), b.terms())
		write(t, a.rtp, a.ours[0], a.packet("speech"))
		hear(t, b.rtp)
		var totals Totals
		do(t, l, func(int64) { totals = l.Totals() })
		if totals.Streams != 2 {
			t.Errorf("%d streams", totals.Streams)
		}
		do(t, l, func(int64) {
			if _, err := l.Attach(a.stream.rtp.fd, b.stream.rtp.fd, nil); err == nil {
				t.Error("a socket was given to two streams")
			}
		})
	}
}

// What comes for a socket that no stream has must not keep its loop awake.
func TestSocketWithoutStreamIsLeftOut(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a := newPhone(t, l, "127.0.12.1", "127.0.12.3")
	a.detach()
	if !a.open(l) {
		t.Error("taken out at once")
	}
	write(t, a.rtp, a.ours[0], a.packet("late"))
	if err := l.Turn(); err != nil {
		t.Fatal(err)
	}
	if a.open(l) {
		t.Error("it comes up for ever")
	}
}

// The number of a socket that was closed may come back for another, which has to be heard.
func TestClosedSocketsAreForgotten(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.13.1", "127.0.13.3"), newPhone(t, l, "127.0.13.2", "127.0.13.3")
	fd := a.stream.rtp.fd
	other, err := unix.Dup(b.stream.rtp.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	l.Forget(fd) // a stream has it: it stays
	if !a.open(l) {
		t.Fatal("a stream lost its socket")
	}
	a.detach()
	b.detach()
	l.Forget(fd)
	l.Forget(b.stream.rtp.fd)
	l.Forget(1 << 20) // never heard of
	if err := unix.Dup3(other, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	a.attach(l)
	do(t, l, func(int64) { a.stream.SetTerms(b.terms()) })
	do(t, l, func(int64) { a.stream.SetRoute(Route{To: a.stream, Media: true}) })
	write(t, b.rtp, b.ours[0], b.packet("heard"))
	hear(t, b.rtp)
}

package netlab

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if code, entered := Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func echo(t *testing.T, h *Host, at netip.AddrPort) netip.AddrPort {
	t.Helper()
	c, err := h.ListenUDP(at)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func answers(t *testing.T, h *Host, to netip.AddrPort, wait time.Duration) bool {
	t.Helper()
	c, err := h.Dial("udp", to.String())
	if err != nil {
		return false
	}
	defer c.Close()
	if _, err := c.Write([]byte("here?")); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	n, err := c.Read(make([]byte, 100))
	return err == nil && n == 5
}

func TestAHostReachesTheBoxAndNobodyElse(t *testing.T) {
	t.Parallel()
	l := New(t)
	a, b := l.Host(t, "a"), l.Host(t, "b")
	box4 := echo(t, l.Box, netip.AddrPortFrom(a.Box4, 0))
	bob := echo(t, b, netip.AddrPortFrom(b.V4, 0))
	if !answers(t, a, box4, Patience) {
		t.Error("the box does not answer by IPv4")
	}
	if !answers(t, b, bob, Patience) {
		t.Error("b does not hear itself")
	}
	if answers(t, a, bob, 200*time.Millisecond) {
		t.Error("a reaches b")
	}
	if l.V6 {
		if box6 := echo(t, l.Box, netip.AddrPortFrom(a.Box6, 0)); !answers(t, a, box6, Patience) {
			t.Error("the box does not answer by IPv6")
		}
	}
}

func TestProgramsRunInTheirHostsNamespace(t *testing.T) {
	t.Parallel()
	l := New(t)
	a := l.Host(t, "a")
	Need(t, "ip", "iproute2")
	out := a.Output(t, "ip", "-o", "addr")
	if !strings.Contains(out, a.V4.String()) || strings.Contains(out, a.Box4.String()) {
		t.Errorf("addresses of a:\n%s", out)
	}
	if env := a.Output(t, "env"); !strings.Contains(env, "HOME="+a.Dir) || strings.Contains(env, insideKey) {
		t.Errorf("environment of a:\n%s", env)
	}
}

func TestLinesOfAProgramAreWaitedFor(t *testing.T) {
	t.Parallel()
	a := New(t).Host(t, "a")
	p := a.Run(t, a.Command("sh", "-c", "echo begin; while read x; do echo got $x; done; echo end >&2; exit 3"))
	if _, err := p.Await(0, regexp.MustCompile(`^begin$`), Patience); err != nil {
		t.Fatal(err)
	}
	mark := p.Mark()
	if err := p.Send("this"); err != nil {
		t.Fatal(err)
	}
	m, err := p.Await(mark, regexp.MustCompile(`^got (\w+)$`), Patience)
	if err != nil || m[1] != "this" {
		t.Fatalf("%v, %v", m, err)
	}
	if _, err := p.Await(mark, regexp.MustCompile(`never`), 10*time.Millisecond); err == nil {
		t.Error("a line that nobody wrote")
	}
	_ = p.in.Close()
	if err := p.Wait(Patience); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("end: %v", err)
	}
	if _, err := p.Await(mark, regexp.MustCompile(`^end$`), Patience); err != nil {
		t.Error(err)
	}
	if _, err := p.Await(mark, regexp.MustCompile(`never`), Patience); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("after the end: %v", err)
	}
}

func TestProgramsDieWithTheLab(t *testing.T) {
	t.Parallel()
	var p *Program
	t.Run("lab", func(t *testing.T) {
		a := New(t).Host(t, "a")
		p = a.Run(t, a.Command("sleep", "1000"))
	})
	if !p.Ended() {
		t.Error("it lives on")
	}
}

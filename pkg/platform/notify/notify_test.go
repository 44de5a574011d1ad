package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const takeKey = "NOTIFY_TEST_TAKE"

func TestMain(m *testing.M) {
	if os.Getenv(takeKey) != "" {
		printTaken()
		return
	}
	os.Exit(m.Run())
}

// printTaken is the program that descriptors are handed to: it tells what it got.
func printTaken() {
	if pid := os.Getenv("LISTEN_PID"); pid == "own" {
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	taken := Take()
	var all []string
	for name, fds := range taken {
		for _, fd := range fds {
			buf := make([]byte, 16)
			n, _ := unix.Pread(fd, buf, 0)
			flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			all = append(all, fmt.Sprintf("%s=%s cloexec=%v", name, buf[:n], flags&unix.FD_CLOEXEC != 0))
		}
	}
	slices.Sort(all)
	fmt.Println(strings.Join(all, "\n"))
	if Take() != nil || os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_FDNAMES")+os.Getenv("LISTEN_PID") != "" {
		fmt.Println("taken twice")
	}
}

func memfile(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTake(t *testing.T) {
	t.Parallel()
	both := "a=one cloexec=true\na=two cloexec=true"
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"by a supervisor that leaves the pid out": {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:a"}, both},
		"by systemd":        {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:a", "LISTEN_PID=own"}, both},
		"for another":       {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:a", "LISTEN_PID=1"}, ""},
		"nothing":           {nil, ""},
		"no number":         {[]string{"LISTEN_FDS=x"}, ""},
		"a negative number": {[]string{"LISTEN_FDS=-1"}, ""},
		"too few names":     {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=b"}, "b=one cloexec=true\nunknown=two cloexec=true"},
		"empty names":       {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=:b"}, "b=two cloexec=true\nunknown=one cloexec=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(append(os.Environ(), takeKey+"=1"), c.env...)
			cmd.ExtraFiles = []*os.File{memfile(t, "one"), memfile(t, "two")}
			out, err := cmd.CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// supervisor is the other end of a Notifier.
type supervisor struct {
	t    *testing.T
	conn *net.UnixConn
}

func connect(t *testing.T, env ...string) (*Notifier, *supervisor) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n, &supervisor{t: t, conn: conn}
}

func (s *supervisor) receive() (text string, fds []int) {
	s.t.Helper()
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	if err := s.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	n, oobn, _, _, err := s.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		s.t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range msgs {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			s.t.Fatal(err)
		}
		fds = append(fds, got...)
	}
	return string(buf[:n]), fds
}

func TestWhatASupervisorHears(t *testing.T) {
	n, sup := connect(t)
	for want, say := range map[string]func() error{
		"READY=1":                     n.Ready,
		"STOPPING=1":                  n.Stopping,
		"STATUS=3 calls READY=1":      func() error { return n.Status("3 calls\nREADY=1") },
		"FDSTOREREMOVE=1\nFDNAME=rtp": func() error { return n.Forget("rtp") },
	} {
		if err := say(); err != nil {
			t.Errorf("%q: %v", want, err)
		}
		if got, fds := sup.receive(); got != want || len(fds) != 0 {
			t.Errorf("got %q and %d descriptors, want %q", got, len(fds), want)
		}
	}
}

func TestManyDescriptorsArriveInOrder(t *testing.T) {
	n, sup := connect(t)
	const many = 2*maxRights + 50
	var fds []int
	for i := range many {
		fds = append(fds, int(memfile(t, strconv.Itoa(i)).Fd()))
	}
	stored := make(chan error, 1)
	go func() { stored <- n.Store("rtp", fds...) }()
	var got []int
	for len(got) < many {
		text, more := sup.receive()
		if text != "FDSTORE=1\nFDPOLL=0\nFDNAME=rtp" {
			t.Fatalf("got %q", text)
		}
		got = append(got, more...)
	}
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	for i, fd := range got {
		buf := make([]byte, 8)
		k, err := unix.Pread(fd, buf, 0)
		if err != nil || string(buf[:k]) != strconv.Itoa(i) {
			t.Fatalf("descriptor %d is %q, %v", i, buf[:k], err)
		}
		_ = unix.Close(fd)
	}
}

func TestNamesThatCouldNotComeBackAreRefused(t *testing.T) {
	n, _ := connect(t)
	for _, name := range []string{"", "a:b", "a\nb", "a b", "é", strings.Repeat("n", 256)} {
		if n.Store(name, 0) == nil || n.Forget(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestAFullQueueIsWaitedFor(t *testing.T) {
	n, sup := connect(t)
	const many = 700 // net.unix.max_dgram_qlen is 512 at most on common systems
	said := make(chan error, 1)
	go func() {
		for i := range many {
			if err := n.Status(strconv.Itoa(i)); err != nil {
				said <- err
				return
			}
		}
		said <- nil
	}()
	for i := range many {
		if got, _ := sup.receive(); got != "STATUS="+strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, got)
		}
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
}

func TestTheWatchdogIsFedWhileHealthy(t *testing.T) {
	n, sup := connect(t, "WATCHDOG_USEC=20000", "WATCHDOG_PID="+strconv.Itoa(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	ended := make(chan error, 1)
	go func() {
		ended <- n.KeepAlive(ctx, func() bool { return asked.Add(1) > 3 })
	}()
	if text, _ := sup.receive(); text != "WATCHDOG=1" || asked.Load() < 4 {
		t.Errorf("got %q after %d questions", text, asked.Load())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNoWatchdog(t *testing.T) {
	for _, env := range [][]string{
		{"WATCHDOG_USEC="},
		{"WATCHDOG_USEC=0"},
		{"WATCHDOG_USEC=1"},
		{"WATCHDOG_USEC=-5"},
		{"WATCHDOG_USEC=x"},
		{"WATCHDOG_USEC=1000", "WATCHDOG_PID=1"},
	} {
		n, _ := connect(t, env...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.KeepAlive(ctx, nil); err != nil || n.watchdog != 0 {
			t.Errorf("%v: watchdog %v, %v", env, n.watchdog, err)
		}
	}
}

func TestASupervisorThatWentAway(t *testing.T) {
	n, sup := connect(t, "WATCHDOG_USEC=2000")
	if err := sup.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	if err := n.KeepAlive(ctx, func() bool {
		if asked++; asked == 3 { // twice it was told in vain, and went on
			cancel()
		}
		return true
	}); err != nil {
		t.Errorf("a daemon must not end with its supervisor: %v", err)
	}
}

func TestAloneItDoesNothing(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Ready(), n.Stopping(), n.Status("x"), n.Store("x", 0), n.Forget("x"), n.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", "/nowhere/n.sock")
	if _, err := New(); err == nil {
		t.Error("connected to nobody")
	}
}

func TestFDIsTheSocketItself(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fd, err := FD(conn)
	if err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil || sa.(*unix.SockaddrInet4).Port != conn.LocalAddr().(*net.UDPAddr).Port {
		t.Errorf("got %v, %v", sa, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the socket was set to blocking: %v", err)
	}
}

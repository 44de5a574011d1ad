package supervise

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func mode(name, mode string) Spec { return Spec{Name: name, Env: []string{modeKey + "=" + mode}} }

func TestASocketAndWhatIsQueuedInItSurviveKill9(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("switch", "udp"))
	pid := l.event("switch", Ready, 1).PID
	conn, err := net.Dial("udp", l.line("switch at ", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const sent = 100
	write := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := conn.Write([]byte(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, sent/2)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	write(sent/2, sent) // some of these come while nobody runs
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	for i := range sent {
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != strconv.Itoa(i) {
			t.Fatalf("datagram %d came back as %q, %v", i, buf[:n], err)
		}
	}
	if ev := l.event("switch", Exited, 1); ev.Text != "ended by signal 9 (killed)" || ev.PID != pid {
		t.Errorf("got %+v", ev)
	}
}

func TestDescriptorsComeBackInOrder(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("x", "order"))
	for name, want := range map[string]string{"a": "[a0 a1 a2] true", "b": "[b0] true", "c": "[] true"} {
		if got := l.line("x "+name+" ", 1); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestForgottenDescriptorsStayAway(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("x", "forget"))
	if got := l.line("x held ", 1); got != "1 1 b" {
		t.Errorf("got %s", got)
	}
}

func TestThousandsOfDescriptors(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("x", "many"))
	if got := l.line("x many ", 1); got != fmt.Sprint(many, " 0") {
		t.Errorf("got %s", got)
	}
}

// The names go in one variable, whose length the kernel bounds: a program must not become one that
// cannot be started.
func TestNamesStayWithinWhatAProgramCanBeGiven(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("x", "names"))
	want := maxNameBytes / (maxName + 1)
	if got := l.line("x names ", 1); got != fmt.Sprint(want, " ", want-1) {
		t.Errorf("got %s, want %d", got, want)
	}
}

func TestAHangIsAbortedWithItsStacks(t *testing.T) {
	t.Parallel()
	spec := mode("x", "hang")
	spec.Watchdog = 100 * time.Millisecond
	l := supervise(t, spec)
	if ev := l.event("x", Exited, 1); ev.Text != "silent for 100ms" {
		t.Errorf("got %+v", ev)
	}
	l.line("x SIGABRT", 1)
	l.line("x goroutine ", 1)
}

func TestOutputIsPassedOnByLines(t *testing.T) {
	t.Parallel()
	spec := mode("x", "talk")
	spec.Env = append(spec.Env, "GREETING=hello")
	l := supervise(t, spec)
	if ev := l.event("x", Exited, 1); ev.Text != "exit status 5" {
		t.Errorf("got %+v", ev)
	}
	l.line("x no line feed, after hello", 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	want := []string{"x " + strings.Repeat("x", maxLine), "x " + strings.Repeat("x", 10), "x on stderr"}
	if !slices.Equal(l.lines[:3], want) {
		t.Errorf("got %q", l.lines)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	l := supervise(t, Spec{Name: "x", Path: "/nowhere/switchd"})
	if ev := l.event("x", Looping, 1); ev.Text != "start: /nowhere/switchd: no such file or directory" {
		t.Errorf("got %+v", ev)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

func TestACleanStop(t *testing.T) {
	t.Parallel()
	l := supervise(t, mode("a", "plain"), mode("b", "plain"))
	a, b := l.event("a", Ready, 1).PID, l.event("b", Ready, 1).PID
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b stopped", "a stopped"}; !slices.Equal(l.lines, want) {
		t.Errorf("got %q", l.lines)
	}
	for _, pid := range []int{a, b} {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

func TestNothingStaysOpenAfterRun(t *testing.T) {
	l := supervise(t, mode("x", "many"))
	l.line("x many ", 1)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil || len(fds) > 100 {
		t.Errorf("%d descriptors are open, %v", len(fds), err)
	}
}

// Nobody would hold the sockets of programs that outlive their supervisor, or start them again.
func TestProgramsDieWithTheirSupervisor(t *testing.T) {
	t.Parallel()
	spec := mode("outer", "nested")
	spec.Env = append(spec.Env, "NESTED_SOCKET="+filepath.Join(t.TempDir(), "n.sock"))
	l := supervise(t, spec)
	inner, err := strconv.Atoi(l.line("outer inner ", 1))
	if err != nil {
		t.Fatal(err)
	}
	pidfd := pidFD(t, inner)
	outer := l.event("outer", Started, 1).PID
	if err := syscall.Kill(outer, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}} // readable when it has ended
	if n, err := unix.Poll(fds, 20_000); n != 1 || err != nil {
		t.Errorf("the inner program lives on: %d, %v", n, err)
	}
}

func TestAMessageOfAStrangerIsLeftAside(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []Event
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "notify.sock")
	var logged bytes.Buffer
	s, err := New(Config{
		Programs: []Spec{{Name: "x", Path: exe, Env: []string{modeKey + "=plain"}}}, Socket: path,
		Log: slog.New(slog.NewTextHandler(&logged, nil)),
		OnEvent: func(ev Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, ev)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stranger, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stranger)
	for to := (&unix.SockaddrUnix{Name: path}); unix.Connect(stranger, to) != nil; {
		runtime.Gosched() // Run has not come so far
	}
	pipe := [2]int{}
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(stranger, []byte("STATUS=evil\nFDSTORE=1"), unix.UnixRights(pipe[1]), nil, 0); err != nil {
		t.Fatal(err)
	}
	closeAll(pipe[1:])
	fds := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}} // hangs up when the last copy is closed
	if n, err := unix.Poll(fds, 20_000); n != 1 || err != nil {
		t.Errorf("the stranger's descriptor is kept: %d, %v", n, err)
	}
	closeAll(pipe[:1])
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(events, func(ev Event) bool { return ev.Kind == Status }) || !strings.Contains(logged.String(), "not supervised") {
		t.Errorf("events %+v, log %s", events, logged.String())
	}
}

// BenchmarkRestart measures from kill -9 until the successor was executed.
func BenchmarkRestart(b *testing.B) {
	for name, mode := range map[string]Spec{"alone": mode("x", "plain"), fmt.Sprint(many, " descriptors"): mode("x", "holder")} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				l := supervise(b, mode)
				pid := l.event("x", Ready, 1).PID
				b.StartTimer()
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					b.Fatal(err)
				}
				l.event("x", Started, 2)
				b.StopTimer()
				_ = l.stop() // it may not have been ready
				b.StartTimer()
			}
		})
	}
}

// Whoever reads the lines may stand still: programs go on, and the lines that are lost are told.
func TestAStandingReaderStopsNobody(t *testing.T) {
	t.Parallel()
	const written = 3 * maxLines
	stand := make(chan struct{})
	var got []string
	o := newOutput(func(_, text string) { <-stand; got = append(got, text) })
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o.follow("x", r)
	for range written {
		if _, err := w.WriteString("a line\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o.wg.Wait()
	close(stand)
	o.close()
	passed, lost := 0, 0
	for _, text := range got {
		if n := 0; text == "a line" {
			passed++
		} else if _, err := fmt.Sscanf(text, "(%d lines lost", &n); err == nil {
			lost += n
		}
	}
	if passed+lost != written || passed < maxLines || lost == 0 {
		t.Errorf("%d passed, %d lost, of %d", passed, lost, written)
	}
}

// What a program said before it died must be known when its death is acted on, or its successor
// would start without the descriptors that it had left.
func TestLastWordsAreHeardBeforeTheDeath(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Programs: []Spec{{Name: "x", Path: exe, Env: []string{modeKey + "=order"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.out = newOutput(nil)
	in, err := openInbox(filepath.Join(t.TempDir(), "n.sock"), slog.New(slog.DiscardHandler), func(m *message) { s.box.Put(happening{message: m}) })
	if err != nil {
		t.Fatal(err)
	}
	in.mu.Lock() // the reader is slow
	proc, err := s.startProcess(s.children[0], in)
	if err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(pidFD(t, proc.pid())), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 20_000); n != 1 || err != nil {
		t.Fatalf("the program lives: %d, %v", n, err)
	}
	select {
	case <-s.box.Ready():
		t.Error("its death is told before its words")
	case <-time.After(100 * time.Millisecond):
	}
	in.mu.Unlock()
	s.out.close()
	items, _ := s.box.Take(nil)
	if len(items) != 6 || items[5].exit == nil {
		t.Errorf("got %d happenings: %+v", len(items), items)
	}
	for _, h := range items[:len(items)-1] {
		closeAll(h.message.fds)
	}
	if err := in.close(); err != nil {
		t.Error(err)
	}
}

func pidFD(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll([]int{fd}) })
	return fd
}

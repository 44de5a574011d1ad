package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// The programs of these tests are this test binary, started again with a mode in its environment.
const modeKey = "SUPERVISE_TEST_MODE"

func childMode() string { return os.Getenv(modeKey) }

func check(err error) {
	if err != nil {
		fmt.Println("fault:", err)
		os.Exit(3)
	}
}

func runChild(mode string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	held := notify.Take()
	n, err := notify.New()
	check(err)
	switch mode {
	case "udp":
		childUDP(n, held["sip"])
	case "order":
		childOrder(n, held)
	case "forget":
		childForget(n, held)
	case "many":
		childMany(n, held["m"])
	case "names":
		name := strings.Repeat("n", maxName)
		childNames(n, held[name], name)
	case "holder":
		if len(held["m"]) == 0 {
			storeMany(n)
		}
	case "nested":
		runNested()
		return
	case "hang":
		signal.Reset(syscall.SIGTERM)
		fmt.Println("hanging")
		check(n.Ready())
		select {}
	case "talk":
		fmt.Println(strings.Repeat("x", maxLine+10))
		fmt.Fprintln(os.Stderr, "on stderr")
		fmt.Print("no line feed, after ", os.Getenv("GREETING"))
		os.Exit(5)
	}
	check(n.Ready())
	<-term
	check(n.Stopping())
	fmt.Println("stopped")
}

// childUDP leaves a socket in its first life, and in its second sends back all that waits in it.
func childUDP(n *notify.Notifier, held []int) {
	if len(held) == 0 {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		check(err)
		fd, err := notify.FD(conn)
		check(err)
		check(n.Store("sip", fd))
		fmt.Println("at", conn.LocalAddr())
		check(n.Ready())
		time.Sleep(time.Hour) // it reads nothing: all must be queued when it is killed
		runtime.KeepAlive(conn)
	}
	signal.Reset(syscall.SIGTERM)
	for buf := make([]byte, 64); ; {
		k, from, err := unix.Recvfrom(held[0], buf, 0)
		if err == unix.EAGAIN {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(held[0]), Events: unix.POLLIN}}, -1)
		}
		if err == unix.EINTR || err == nil && k == 0 {
			continue
		}
		check(err)
		if k > 0 {
			check(unix.Sendto(held[0], buf[:k], 0, from))
		}
	}
}

func memfd(text string) int {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	check(err)
	_, err = unix.Write(fd, []byte(text))
	check(err)
	return fd
}

func text(fd int) string {
	buf := make([]byte, 64)
	n, err := unix.Pread(fd, buf, 0)
	check(err)
	return string(buf[:n])
}

// childOrder stores descriptors in several messages and names, some twice, and dies; then it tells what came back.
func childOrder(n *notify.Notifier, held map[string][]int) {
	if len(held) == 0 {
		a := []int{memfd("a0"), memfd("a1")}
		check(n.Store("a", a...))
		check(n.Store("b", memfd("b0")))
		check(n.Store("a", a[1], memfd("a2"))) // a1 is held already
		check(n.Store("b", a[0]))              // and so is a0, as a
		check(n.Ready())
		check(unix.Kill(os.Getpid(), unix.SIGKILL)) // what was said before is heard
	}
	for _, name := range []string{"a", "b", "c"} {
		var all []string
		for _, fd := range held[name] {
			all = append(all, text(fd))
		}
		fmt.Println(name, all, os.Getenv("LISTEN_FDS") == "")
	}
}

func childForget(n *notify.Notifier, held map[string][]int) {
	if len(held) == 0 {
		check(n.Store("a", memfd("a")))
		check(n.Store("b", memfd("b")))
		check(n.Store("a", memfd("c")))
		check(n.Forget("a"))
		os.Exit(1)
	}
	fmt.Println("held", len(held), len(held["b"]), text(held["b"][0]))
}

// childNames stores as many descriptors as their names leave room for.
func childNames(n *notify.Notifier, held []int, name string) {
	if len(held) == 0 {
		for i := range 500 {
			check(n.Store(name, memfd(strconv.Itoa(i))))
		}
		check(unix.Kill(os.Getpid(), unix.SIGKILL))
	}
	fmt.Println("names", len(held), text(held[len(held)-1]))
}

const many = 3000

func storeMany(n *notify.Notifier) {
	var fds []int
	for i := range many {
		fds = append(fds, memfd(strconv.Itoa(i)))
	}
	check(n.Store("m", fds...))
}

func childMany(n *notify.Notifier, held []int) {
	if len(held) == 0 {
		storeMany(n)
		check(unix.Kill(os.Getpid(), unix.SIGKILL))
	}
	wrong := 0
	for i, fd := range held {
		if text(fd) != strconv.Itoa(i) {
			wrong++
		}
	}
	fmt.Println("many", len(held), wrong)
}

// runNested is a supervisor of a hanging program, to be killed.
func runNested() {
	exe, err := os.Executable()
	check(err)
	s, err := New(Config{
		Programs: []Spec{{Name: "inner", Path: exe, Env: []string{modeKey + "=hang"}}},
		Socket:   os.Getenv("NESTED_SOCKET"),
		Log:      slog.New(slog.DiscardHandler),
		OnEvent: func(ev Event) {
			if ev.Kind == Ready {
				fmt.Println("inner", ev.PID)
			}
		},
	})
	check(err)
	check(s.Run(context.Background()))
}

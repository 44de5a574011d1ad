// Package notify is a daemon's side of the systemd notify convention: it says when it is ready,
// alive or stopping, and leaves descriptors with its supervisor that a restart takes back.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// firstFD is where handed over descriptors start (sd_listen_fds(3)).
const firstFD = 3

// Take returns the descriptors that the supervisor handed over, by name, and clears the variables
// that tell of them. It is called once, before anything else opens files; the caller owns them.
func Take() map[string][]int {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	pid, pidErr := strconv.Atoi(os.Getenv("LISTEN_PID"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, key := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(key) // a name without = or NUL cannot fail
	}
	if err != nil || (pidErr == nil && pid != os.Getpid()) {
		return nil
	}
	fds := map[string][]int{}
	for i := range n {
		unix.CloseOnExec(firstFD + i)
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		fds[name] = append(fds[name], firstFD+i)
	}
	return fds
}

// FD returns the descriptor of a socket of package net, which keeps it and must stay open while it
// is used. (Its File method would make a copy and set both to blocking.)
func FD(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = raw.Control(func(h uintptr) { fd = int(h) })
	return fd, err
}

// Notifier speaks to the supervisor. One that has none does nothing, so a daemon also runs alone.
type Notifier struct {
	conn     *net.UnixConn
	raw      syscall.RawConn // of conn, whose WriteMsgUnix refuses a connected datagram socket
	watchdog time.Duration   // the supervisor's patience; 0 means that it does not watch
}

// New connects to the supervisor that the environment names, if any.
func New() (*Notifier, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Notifier{}, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("notify: %w", err), conn.Close())
	}
	return &Notifier{conn: conn, raw: raw, watchdog: watchdog()}, nil
}

// watchdog returns the supervisor's patience with this process (sd_watchdog_enabled(3)).
func watchdog() time.Duration {
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || us <= 1 || (pid != "" && pid != strconv.Itoa(os.Getpid())) {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

func (n *Notifier) send(state string, fds ...int) error {
	if n.conn == nil {
		return nil
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	var sendErr error
	err := n.raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), []byte(state), oob, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sendErr, unix.EAGAIN) // the supervisor's queue is full: wait
	})
	return errors.Join(err, sendErr)
}

// Ready says that the daemon answers.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Stopping says that the daemon ends because it was asked to.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Status says in words, on one line, what the daemon does.
func (n *Notifier) Status(text string) error {
	return n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// maxName is what systemd allows.
const maxName = 255

// checkName refuses a name that could not come back: Take would find it as another one.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 127 || r == ':' }) {
		return fmt.Errorf("name %q is not 1 to %d printable ASCII characters without colon and space", name, maxName)
	}
	return nil
}

// maxRights is how many descriptors one message carries (SCM_MAX_FD is 253).
const maxRights = 200

// Store leaves descriptors with the supervisor under name: 1 to 255 printable ASCII characters but
// colons. They come back by Take after a restart, in this order. The caller keeps its own. All
// names together, once for each descriptor, must stay below 120 KiB, so many want a short one.
func (n *Notifier) Store(name string, fds ...int) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("store descriptors: %w", err)
	}
	for len(fds) > 0 {
		part := fds[:min(len(fds), maxRights)]
		if err := n.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, part...); err != nil {
			return fmt.Errorf("store descriptors %s: %w", name, err)
		}
		fds = fds[len(part):]
	}
	return nil
}

// Forget makes the supervisor close the descriptors that it holds under name.
func (n *Notifier) Forget(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("forget descriptors: %w", err)
	}
	return n.send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// KeepAlive tells the supervisor that the daemon is alive, at half its patience, as long as healthy
// says so, until ctx ends.
func (n *Notifier) KeepAlive(ctx context.Context, healthy func() bool) error {
	if n.watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !healthy() {
				continue
			}
			if err := n.send("WATCHDOG=1"); err != nil && !away(err) {
				return fmt.Errorf("notify: %w", err)
			}
		}
	}
}

// away reports whether the supervisor has ended: the first message in vain is refused, and the
// kernel takes the connection down with it.
func away(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN)
}

// Close ends the connection.
func (n *Notifier) Close() error {
	if n.conn == nil {
		return nil
	}
	return n.conn.Close()
}

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
	watchdog time.Duration // the supervisor's patience; 0 means that it does not watch
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
	n := &Notifier{conn: conn}
	if us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n, nil
}

func (n *Notifier) send(state string, fds ...int) error {
	if n.conn == nil {
		return nil
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err := n.conn.WriteMsgUnix([]byte(state), oob, nil)
	return err
}

// Ready says that the daemon answers.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Stopping says that the daemon ends because it was asked to.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Status says in words what the daemon does.
func (n *Notifier) Status(text string) error { return n.send("STATUS=" + text) }

// maxRights is how many descriptors one message carries (SCM_MAX_FD is 253).
const maxRights = 200

// Store leaves descriptors with the supervisor under name, which holds no colon. They come back by
// Take after a restart, in this order. The caller keeps its own.
func (n *Notifier) Store(name string, fds ...int) error {
	if strings.ContainsAny(name, ":\n") {
		return fmt.Errorf("store descriptors: name %q holds a colon or a line feed", name)
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
			if err := n.send("WATCHDOG=1"); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("notify: %w", err)
			}
		}
	}
}

// Close ends the connection.
func (n *Notifier) Close() error {
	if n.conn == nil {
		return nil
	}
	return n.conn.Close()
}

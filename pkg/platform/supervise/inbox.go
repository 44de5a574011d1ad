package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// inbox is the one notify socket of all programs. The kernel says who sent a message.
type inbox struct {
	path    string
	conn    *net.UnixConn
	raw     syscall.RawConn
	log     *slog.Logger
	deliver func(*message)
	done    chan struct{} // closed when the reader has ended

	mu  sync.Mutex // guards buf and oob, and keeps messages in their order
	buf []byte
	oob []byte
}

// maxRights is how many descriptors the kernel lets one message carry (SCM_MAX_FD).
const maxRights = 253

// openInbox listens at path. A program that runs as another user must connect before it drops root.
func openInbox(path string, log *slog.Logger, deliver func(*message)) (*inbox, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: passCredentials}
	conn, err := lc.ListenPacket(context.Background(), "unixgram", path) // binds at once
	if err != nil {
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	in := &inbox{
		path: path, conn: conn.(*net.UnixConn), log: log, deliver: deliver, done: make(chan struct{}),
		buf: make([]byte, maxMessage),
		oob: make([]byte, unix.CmsgSpace(4*maxRights)+unix.CmsgSpace(unix.SizeofUcred)),
	}
	if err := in.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("notify socket: %w", err), conn.Close())
	}
	go in.read()
	return in, nil
}

// passCredentials makes the kernel name the sender of each message. It is called before the bind, so
// that no message comes without.
func passCredentials(_, _ string, raw syscall.RawConn) error {
	var optErr error
	err := raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	return errors.Join(err, optErr)
}

func (in *inbox) prepare() (err error) {
	if err := os.Chmod(in.path, 0o600); err != nil {
		return err
	}
	in.raw, err = in.conn.SyscallConn()
	return err
}

// read delivers messages as they come, until close.
func (in *inbox) read() {
	defer close(in.done)
	_ = in.raw.Read(func(fd uintptr) bool { // its only end is close
		in.drain(int(fd))
		return false
	})
}

// sync delivers all that was sent before it was called. The last words of a program that has died
// are thus heard before its death is acted on.
func (in *inbox) sync() {
	_ = in.raw.Control(func(fd uintptr) { in.drain(int(fd)) }) // fails only when closed
}

func (in *inbox) drain(fd int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, in.buf, in.oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // EAGAIN: all is read
			return
		default:
			in.take(in.buf[:n], in.oob[:oobn], flags)
		}
	}
}

func (in *inbox) take(data, oob []byte, flags int) {
	pid, fds := ancillary(oob)
	if flags&unix.MSG_CTRUNC != 0 {
		in.log.Error("descriptors lost: the limit of open files is reached", "pid", pid)
	}
	if pid == 0 || flags&unix.MSG_TRUNC != 0 {
		closeAll(fds)
		in.log.Warn("notify message too long or of nobody", "pid", pid)
		return
	}
	m := parseMessage(string(data))
	m.pid, m.fds = pid, fds
	in.deliver(&m)
}

// ancillary returns the sender and the descriptors that came with a message.
func ancillary(oob []byte) (pid int, fds []int) {
	msgs, _ := unix.ParseSocketControlMessage(oob) // the kernel wrote it
	for _, m := range msgs {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(cred.Pid)
		} else if rights, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, rights...)
		}
	}
	return pid, fds
}

func (in *inbox) close() error {
	err := in.conn.Close()
	<-in.done
	return errors.Join(err, os.RemoveAll(in.path))
}

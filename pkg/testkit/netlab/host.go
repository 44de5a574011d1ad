package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Host is a machine of a lab: a network namespace with a folder that is home to its programs.
type Host struct {
	Name       string
	Dir        string
	V4, V6     netip.Addr // its own; the box itself has one for each host instead
	Box4, Box6 netip.Addr // where it finds the box

	ns    int // descriptor of the namespace
	work  chan func()
	ended chan struct{}
}

// begin starts the thread that is in the namespace. Programs are started by it and die with it.
func (h *Host) begin() error {
	ready := make(chan error)
	go func() {
		defer close(h.ended)
		runtime.LockOSThread() // and never let go: the thread ends with this goroutine
		ready <- h.enter()
		for fn := range h.work {
			fn()
		}
	}()
	return <-ready
}

func (h *Host) enter() (err error) {
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	h.ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

func (h *Host) end() {
	close(h.work)
	<-h.ended
	_ = unix.Close(h.ns) // nothing to flush
}

// Do runs fn inside the namespace. Sockets that it opens stay there.
func (h *Host) Do(fn func() error) error {
	done := make(chan error)
	h.work <- func() { done <- fn() }
	return <-done
}

// Dial connects from the host. The address must be numeric.
func (h *Host) Dial(network, address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		c, err = net.Dial(network, address) //nolint:noctx // a wire of the lab answers at once
		return err
	})
	return c, err
}

// DialContext is Dial, for clients that have contexts.
func (h *Host) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// ListenUDP opens a UDP socket at one of the host's addresses.
func (h *Host) ListenUDP(at netip.AddrPort) (c *net.UDPConn, err error) {
	err = h.Do(func() error {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	return c, err
}

// Need fails a test whose program is not installed and says which Debian package has it.
func Need(t testing.TB, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is not installed: apt-get install --no-install-recommends %s", program, debianPackage)
	}
}

// Command returns a command to be run on the host, in its folder and with nothing of our
// environment but the path.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:noctx // ends with the host's thread
	cmd.Dir = h.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.Dir, "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Output runs a short command on the host and returns what it writes to its standard output.
func (h *Host) Output(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out []byte
	err := h.Do(func() (err error) {
		out, err = h.Command(name, args...).Output()
		return err
	})
	if err != nil {
		text := ""
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it bare
			text = string(exit.Stderr)
		}
		t.Fatalf("%s %v on %s: %v\n%s", name, args, h.Name, err, text)
	}
	return string(out)
}

func (h *Host) String() string { return fmt.Sprintf("%s (%s)", h.Name, h.V4) }

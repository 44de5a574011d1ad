// Package swtpm runs a security chip made of software (Debian package swtpm) for tests.
package swtpm

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// startWithin is how long the program may take to make its sockets, on a machine that is busy.
const startWithin = 10 * time.Second

// Chip is a security chip whose seed outlives a power cut.
type Chip struct {
	t     testing.TB
	dir   string // of its state and its sockets; short, for they have a longest name
	cmd   *exec.Cmd
	ended chan struct{}
}

// New puts a new chip into a machine and switches it on. Without the package the test is skipped.
func New(t testing.TB) *Chip {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Skip("swtpm is not installed: make image-deps")
	}
	dir, err := os.MkdirTemp("", "tpm-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Chip{t: t, dir: dir}
	t.Cleanup(func() {
		c.Off()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c.On()
	return c
}

// Control is the socket that a virtual machine takes the chip by.
func (c *Chip) Control() string { return filepath.Join(c.dir, "control") }

func (c *Chip) server() string { return filepath.Join(c.dir, "server") }

// On switches the chip on.
func (c *Chip) On() {
	c.t.Helper()
	c.run("--server", "type=unixio,path="+c.server(), "--flags", "not-need-init,startup-clear")
}

// Wait makes the chip ready for a virtual machine, which switches it on itself.
func (c *Chip) Wait() {
	c.t.Helper()
	c.Off()
	c.run()
}

func (c *Chip) run(args ...string) {
	c.t.Helper()
	c.cmd = exec.Command("swtpm", append([]string{"socket", "--tpm2", "--tpmstate", "dir=" + c.dir, "--ctrl", "type=unixio,path=" + c.Control()}, args...)...)
	var said bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &said, &said
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.ended = make(chan struct{})
	go func() {
		_ = c.cmd.Wait() // it is killed
		close(c.ended)
	}()
	for end := time.Now().Add(startWithin); !c.listens(len(args) > 0); time.Sleep(time.Millisecond) {
		select {
		case <-c.ended:
			c.t.Fatalf("swtpm ended: %s", said.String())
		default:
		}
		if time.Now().After(end) {
			c.t.Fatalf("swtpm makes no socket within %v", startWithin)
		}
	}
}

// listens reports whether the chip has its sockets. The one for a machine takes a single connection, so
// it is not tried.
func (c *Chip) listens(served bool) bool {
	if !served {
		_, err := os.Stat(c.Control())
		return err == nil
	}
	conn, err := net.Dial("unix", c.server())
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// Off takes its power away.
func (c *Chip) Off() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill() // it may have ended with its machine
	<-c.ended
	c.cmd = nil
	_, _ = os.Remove(c.server()), os.Remove(c.Control())
}

// Open returns the chip as a program finds it.
func (c *Chip) Open() (transport.TPMCloser, error) { return linuxudstpm.Open(c.server()) }

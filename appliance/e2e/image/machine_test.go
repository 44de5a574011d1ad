package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/swtpm"
)

const (
	diskSize = 3 << 30 // more than the image: the data partition grows
	// patience is how long the slowest step of a start may take without hardware help, on a machine
	// that is busy with other things.
	patience = 6 * time.Minute
)

// machine is a box in QEMU. Its disk outlives it.
type machine struct {
	t         *testing.T
	kind      kind
	disk      string
	vars      string   // what the firmware keeps
	page, sip string   // addresses on this machine that lead to the box
	tunnel    string   // the same, to its WireGuard
	cable     *cable   // in its second port, if any
	more      []string // of QEMU, for what else is plugged in
	chip      *swtpm.Chip

	cmd      *exec.Cmd
	serial   *serial
	keyboard io.Writer // of the serial console
}

// kind is what differs between architectures.
type kind struct {
	program, code, vars string // code and vars of its firmware, "" where the test does what that would
	nic                 string
	args                []string
}

func x86() kind {
	return kind{
		"qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "virtio-net-pci",
		[]string{"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512", "-device", "i6300esb", "-action", "watchdog=reset"},
	}
}

func arm64() kind {
	return kind{
		"qemu-system-aarch64", "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", "virtio-net-pci",
		[]string{"-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a72", "-m", "1024"},
	}
}

// flash makes a machine whose disk has an image.
func flash(t *testing.T, k kind, image string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, kind: k, disk: filepath.Join(dir, "disk.img"), vars: filepath.Join(dir, "vars.fd")}
	if out, err := exec.Command("cp", "--sparse=always", image, m.disk).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Truncate(m.disk, diskSize); err != nil {
		t.Fatal(err)
	}
	if k.vars != "" {
		if out, err := exec.Command("cp", k.vars, m.vars).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	m.page, m.sip, m.tunnel = free(t, "tcp"), free(t, "udp"), free(t, "udp")
	return m
}

// free returns a loopback address whose port nobody uses at this moment.
func free(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.LocalAddr().String()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// on switches the machine on. It is switched off when the test ends.
func (m *machine) on() {
	m.t.Helper()
	args := append([]string{
		"-smp", "2", "-nodefaults", "-display", "none", "-serial", "stdio",
		"-drive", "if=none,id=d0,format=raw,file=" + m.disk, "-device", "virtio-blk-pci,drive=d0",
		"-netdev", "user,id=n0,hostfwd=tcp:" + m.page + "-:443,hostfwd=udp:" + m.sip + "-:5060,hostfwd=udp:" + m.tunnel + "-:51820", "-device", m.kind.nic + ",netdev=n0",
		"-device", "virtio-rng-pci",
	}, append(slices.Clone(m.kind.args), m.more...)...)
	if m.kind.code != "" {
		args = append(args, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+m.kind.code, "-drive", "if=pflash,format=raw,unit=1,file="+m.vars)
	}
	if m.cable != nil {
		args = append(args, m.cable.args()...)
		args = append(args, "-object", "filter-dump,id=f0,netdev=n0,file="+m.dump())
	}
	if m.chip != nil {
		m.chip.Wait()
		args = append(args, "-chardev", "socket,id=c0,path="+m.chip.Control(), "-tpmdev", "emulator,id=t0,chardev=c0", "-device", "tpm-tis,tpmdev=t0")
	}
	m.serial = &serial{changed: make(chan struct{}, 1)}
	m.cmd = exec.CommandContext(context.WithoutCancel(m.t.Context()), m.kind.program, args...)
	var faults bytes.Buffer
	m.cmd.Stdout, m.cmd.Stderr = m.serial, &faults
	var err error
	if m.keyboard, err = m.cmd.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		m.off()
		if m.t.Failed() {
			m.t.Logf("serial console:\n%s\n%s", m.serial.text(), faults.String())
		}
	})
}

// dump is the file of what went through the first port of a machine with a cable.
func (m *machine) dump() string { return filepath.Join(filepath.Dir(m.disk), "eth0.pcap") }

// off takes the power away.
func (m *machine) off() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill() // it may have gone by itself
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// until waits for a line on the serial console that stands behind those that were waited for before.
func (m *machine) until(pattern string, within time.Duration) string {
	m.t.Helper()
	line, err := m.serial.until(regexp.MustCompile(pattern), within)
	if err != nil {
		m.t.Fatalf("%q: %v", pattern, err)
	}
	return line
}

// types types a line at the serial console.
func (m *machine) types(line string) {
	m.t.Helper()
	if _, err := io.WriteString(m.keyboard, line+"\r"); err != nil {
		m.t.Fatal(err)
	}
}

// serial is what the box writes on its serial console.
type serial struct {
	changed chan struct{}

	mu   sync.Mutex // guards what follows
	all  strings.Builder
	seen int
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	_, _ = s.all.Write(p) // it takes all
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *serial) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return regexp.MustCompile(`\x1b\[[0-9;=?]*[a-zA-Z]|\r`).ReplaceAllString(s.all.String(), "")
}

func (s *serial) find(pattern *regexp.Regexp) (line string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.all.String()[s.seen:]
	rest = rest[:strings.LastIndexByte(rest, '\n')+1] // a line that is still being written may end otherwise
	at := pattern.FindStringIndex(rest)
	if at == nil {
		return "", false
	}
	s.seen += at[1]
	return rest[at[0]:at[1]], true
}

var errSilent = errors.New("it did not appear on the serial console")

func (s *serial) until(pattern *regexp.Regexp, within time.Duration) (string, error) {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		if line, ok := s.find(pattern); ok {
			return line, nil
		}
		select {
		case <-s.changed:
		case <-end.C:
			return "", fmt.Errorf("%w within %v", errSilent, within)
		}
	}
}

// options asks the box over SIP whether it is there (RFC 3261 §11), and returns the first line of the answer.
func (m *machine) options(within time.Duration) (string, error) {
	conn, err := net.Dial("udp", m.sip)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	local := conn.LocalAddr().String()
	text := "OPTIONS sip:10.0.2.15 SIP/2.0\r\nVia: SIP/2.0/UDP " + local + ";branch=z9hG4bKimage;rport\r\nMax-Forwards: 70\r\n" +
		"From: <sip:probe@" + local + ">;tag=1\r\nTo: <sip:10.0.2.15>\r\nCall-ID: image@" + local + "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	buf := make([]byte, 4096)
	for end := time.Now().Add(within); time.Now().Before(end); {
		if _, err := io.WriteString(conn, text); err != nil {
			return "", err
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // it is a socket
		if n, err := conn.Read(buf); err == nil {
			line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
			return line, nil
		}
	}
	return "", fmt.Errorf("no answer to OPTIONS within %v", within)
}

// Package machine starts an image in QEMU to be measured.
package machine

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// What QEMU and its firmware are called.
const (
	program  = "qemu-system-x86_64"
	firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	settings = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

const (
	diskSize = 2 << 30
	memory   = "512" // MB that the smallest box has
	// patience is how long a step of a start may take without help of the hardware.
	patience = 5 * time.Minute
	// lookEvery is how exact the clock is.
	lookEvery = 20 * time.Millisecond
)

// Machine is a box in QEMU.
type Machine struct {
	dir       string
	sip, page string // addresses here that lead to the box
	cmd       *exec.Cmd
	console   console
}

// Missing returns what has to be installed first.
func Missing() (names []string) {
	for _, name := range []string{program, "mksquashfs", "mkfs.vfat", "mcopy"} {
		if _, err := exec.LookPath(name); err != nil {
			names = append(names, name)
		}
	}
	if _, err := os.Stat(firmware); err != nil {
		names = append(names, firmware)
	}
	return names
}

// Flash makes a machine of an image, in a folder of its own files.
func Flash(image, dir string) (*Machine, error) {
	m := &Machine{dir: dir}
	for to, from := range map[string]string{"disk": image, "settings": settings} {
		if out, err := exec.Command("cp", "--sparse=always", from, filepath.Join(dir, to)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	return m, os.Truncate(filepath.Join(dir, "disk"), diskSize)
}

// On switches it on.
func (m *Machine) On(ctx context.Context) (err error) {
	if m.sip, err = free("udp"); err != nil {
		return err
	}
	if m.page, err = free("tcp"); err != nil {
		return err
	}
	m.cmd = exec.CommandContext(ctx, program, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory,
		"-nodefaults", "-display", "none", "-serial", "stdio", "-device", "i6300esb", "-device", "virtio-rng-pci",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+firmware, "-drive", "if=pflash,format=raw,unit=1,file="+filepath.Join(m.dir, "settings"),
		"-drive", "if=none,id=d0,format=raw,file="+filepath.Join(m.dir, "disk"), "-device", "virtio-blk-pci,drive=d0",
		"-netdev", "user,id=n0,hostfwd=tcp:"+m.page+"-:443,hostfwd=udp:"+m.sip+"-:5060", "-device", "virtio-net-pci,netdev=n0")
	m.cmd.Stdout, m.cmd.Stderr = &m.console, &m.console
	return m.cmd.Start()
}

// Off takes the power away.
func (m *Machine) Off() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill() // it may have gone by itself
		_ = m.cmd.Wait()
	}
}

// free returns a loopback address whose port nobody uses at this moment.
func free(network string) (string, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		return c.LocalAddr().String(), c.Close()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// console keeps what the box writes on its serial port.
type console struct {
	mu  sync.Mutex // guards all
	all bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.Write(p)
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.String()
}

// Until waits for a pattern on the console and returns what matches its first group.
func (m *Machine) Until(pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(lookEvery) {
		if found := re.FindStringSubmatch(m.console.text()); found != nil {
			return found[len(found)-1], nil
		}
	}
	text := m.console.text()
	return "", fmt.Errorf("%q did not appear within %v; the console ends in\n%s", pattern, patience, text[max(0, len(text)-2000):])
}

// Options asks the box over SIP whether it is there, until it says so (RFC 3261 §11).
func (m *Machine) Options(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", m.sip)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 4096)
	at := conn.LocalAddr()
	for n, late := 0, time.Now().Add(patience); time.Now().Before(late); n++ {
		_, err := fmt.Fprintf(conn, "OPTIONS sip:10.0.2.15 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKstart%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:start@%s>;tag=1\r\n"+
			"To: <sip:10.0.2.15>\r\nCall-ID: start%d@%s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", at, n, at, n, at)
		if err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(lookEvery)) // it is a socket
			n, err = conn.Read(buf)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // not there yet
			time.Sleep(lookEvery)
		case strings.HasPrefix(string(buf[:n]), "SIP/2.0 200 "):
			return nil
		}
	}
	return errors.New("no answer to OPTIONS")
}

// Memory sets the box up, leaves it alone for a while and asks how much memory it uses, and has.
func (m *Machine) Memory(ctx context.Context, rest time.Duration) (used, total uint64, err error) {
	code, err := m.Until(`Set-up code: (\S+)`)
	if err != nil {
		return 0, 0, err
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the box's own authority is not known here
	defer tr.CloseIdleConnections()
	web := &http.Client{Transport: tr, Timeout: time.Minute}
	var cookies []*http.Cookie
	ask := func(method, path, body string, into any) error {
		req, err := http.NewRequestWithContext(ctx, method, "https://"+m.page+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		for _, c := range cookies {
			req.AddCookie(c)
		}
		resp, err := web.Do(req)
		if err != nil {
			return err
		}
		cookies = append(cookies, resp.Cookies()...)
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("%s: %s %w\n%s", path, resp.Status, err, text)
		}
		return json.Unmarshal(text, into)
	}
	var overview struct {
		Used  uint64 `json:"memory_used"`
		Total uint64 `json:"memory_total"`
	}
	if err := ask(http.MethodPost, "/setup", fmt.Sprintf(`{"code":%q,"name":"Owner","password":"correct horse battery","domain":"pbx.test"}`, code), &overview); err != nil {
		return 0, 0, err
	}
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(rest):
	}
	err = ask(http.MethodGet, "/overview", "", &overview)
	return overview.Used, overview.Total, err
}

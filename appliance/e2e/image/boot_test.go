package image

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// browser is a client that takes any certificate: the box's own authority is not known here.
func browser(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func TestTheImageStartsToACallServerAndItsPage(t *testing.T) {
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	m := flash(t, x86(), build(t, "qemu", "0.1.0").image)
	m.cable = newCable(t)
	phonesOutside(t, setUp(t, m, m.starts()))
}

func TestTheARMImageStartsToo(t *testing.T) {
	long(t)
	tools(t, "qemu-system-aarch64")
	flash(t, arm64(), build(t, "arm64", "0.1.0").image).starts()
}

// starts switches a new box on, sees that it does what it is for, and returns its set-up code.
func (m *machine) starts() (code string) {
	t := m.t
	t.Helper()
	m.on()
	m.until(`stage1: \d+ modules, 0 refused`, patience)
	m.until(`a port has its name" port=eth0 at=\S*pci`, patience)
	// The network is made by netd, with an address by DHCP: nothing of it is in the image.
	code = m.setupCode()
	if line, err := m.options(patience); err != nil || line != "SIP/2.0 200 OK" {
		t.Errorf("OPTIONS: %q, %v", line, err)
	}
	resp, err := browser(t).Get("https://" + m.page + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "Sanchar") {
		t.Errorf("the page: %d %v, %.200s", resp.StatusCode, err, body)
	}
	if text := m.serial.text(); strings.Contains(text, "level=ERROR") {
		t.Error("something is wrong on the console")
	}
	return code
}

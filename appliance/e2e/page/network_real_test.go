package page

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// managedOffice is the network of a box with one cable, that of the admin.
const managedOffice = `{"ports":[{"name":"to1"}],"zones":[{"name":"Office","kind":"management"},{"name":"Phones","kind":"voice"}],
	"interfaces":[{"link":"to1","zone":"Office","addresses":["198.18.1.1/24"]}]}`

// backLimit is longer than a change waits for its confirmation.
const backLimit = 90 * time.Second

// managedBox is a box whose netd owns the network of its namespace, and a browser at the other end of the cable.
func managedBox(t *testing.T) (b *box, lab *netlab.Lab, netd ctl.Net) {
	t.Helper()
	lab = netlab.New(t)
	admin := lab.Host(t, "admin")
	dir := filepath.Join(lab.Dir, "run")
	b = &box{t: t, dir: dir, data: filepath.Join(lab.Dir, "admin-data"), address: fmt.Sprintf("https://%s", netip.AddrPortFrom(admin.Box4, boxtest.HTTPS))}
	for _, args := range [][]string{
		{"switchd", "-run", dir, "-data", filepath.Join(lab.Dir, "switch"), "-domain", boxtest.Domain},
		{"netd", "-manage", "-run", dir, "-data", filepath.Join(lab.Dir, "net")},
		{"admind", "-run", dir, "-data", b.data, "-https", fmt.Sprint(boxtest.HTTPS)},
	} {
		program := lab.Box.Run(t, lab.Box.Command(filepath.Join(os.Getenv(boxtest.BinKey), args[0]), args[1:]...))
		t.Cleanup(program.Kill)
	}
	netd = ctl.NewNet(filepath.Join(dir, "net.sock"))
	t.Cleanup(func() { _ = netd.Close() }) // idle connections only
	await(t, "netd has the network of the first boot", func() bool {
		doc, err := netd.Document(t.Context())
		return err == nil && doc.Number > 0
	})
	now, err := netd.Document(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := netd.Apply(t.Context(), ctl.NetProposal{Document: json.RawMessage(managedOffice), Revision: now.Number, Who: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := netd.Confirm(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	b.dial = func(network, address string) (net.Conn, error) {
		return admin.DialContext(t.Context(), network, address)
	}
	b.browser = browserOf(t, admin)
	sw := ctl.NewSwitch(filepath.Join(dir, "switch.sock"))
	t.Cleanup(func() { _ = sw.Close() }) // idle connections only
	await(t, "the page is served under the box's own CA", func() bool {
		ca, err := sw.CA(t.Context())
		if err != nil {
			return false
		}
		cert, err := b.shown()
		roots := x509.NewCertPool()
		if err != nil || !roots.AppendCertsFromPEM([]byte(ca.PEM)) {
			return false
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots})
		return err == nil
	})
	return b, lab, netd
}

// browserOf is a program that runs Chromium in a host's namespace.
func browserOf(t *testing.T, h *netlab.Host) string {
	t.Helper()
	thread := 0
	if err := h.Do(func() error { thread = unix.Gettid(); return nil }); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.Dir, "chromium")
	text := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=/proc/%d/task/%d/ns/net chromium \"$@\"\n", os.Getpid(), thread)
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for late := time.Now().Add(netlab.Patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// TestRealNetwork is an owner who changes the network of a real box: a VLAN (a bridge where the kernel has no VLANs), which he confirms; the address that
// he is connected through, after which the page finds the box at the new one; and a change that he leaves alone.
func TestRealNetwork(t *testing.T) {
	t.Parallel()
	b, lab, netd := managedBox(t)
	v := visit(t, b, desktop())
	v.expect("status of 401", "status of 502", "status of 503", "net::ERR", "something from outside the box: https://198.18.1.9:8443")
	v.presetStart()
	addresses := func() string { return lab.Box.Output(t, "ip", "-brief", "addr") }

	made := v.linkPrepared(hasVLANs(lab))
	v.check("real-plan")
	v.press(v.text("plan.apply"))
	v.press(v.text("count.confirm"))
	v.see(v.text("count.kept"))
	if got := addresses(); !strings.Contains(got, made) {
		t.Errorf("no %s:\n%s", made, got)
	}

	v.moveTo("198.18.1.1/24", "198.18.1.9/24")
	v.await("location.origin === 'https://198.18.1.9:8443'", "the page at the new address")
	v.see(v.text("count.title"))
	v.check("real-moved")
	v.press(v.text("count.confirm"))
	v.see(v.text("count.kept"))
	if doc, err := netd.Document(t.Context()); err != nil || doc.Candidate != nil || !strings.Contains(string(doc.Document), "198.18.1.9/24") {
		t.Errorf("%s, %v", doc.Document, err)
	}

	b.address = "https://198.18.1.9:8443"
	v.moveTo("198.18.1.9/24", "198.18.77.1/24") // where nobody here can follow
	v.see(v.text("count.lost"))
	if got := addresses(); !strings.Contains(got, "198.18.77.1/24") {
		t.Errorf("the change does not hold:\n%s", got)
	}
	v.check("real-lost")
	await := "((document.body?.innerText ?? '').includes(" + quote(v.text("net.reverted", "who", owner)) + "))"
	for late := time.Now().Add(backLimit); !evaluate[bool](v, await); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(late) {
			v.stuck("waited for the way back", fmt.Errorf("not within %v", backLimit))
		}
	}
	if got := addresses(); !strings.Contains(got, "198.18.1.9/24") || strings.Contains(got, "198.18.77.1/24") {
		t.Errorf("it did not come back:\n%s", got)
	}
	v.check("real-reverted")
}

// hasVLANs is whether the kernel that the tests run on knows IEEE 802.1Q.
func hasVLANs(lab *netlab.Lab) bool {
	try := func(args ...string) error {
		return lab.Box.Do(func() error { return lab.Box.Command("ip", args...).Run() })
	}
	if try("link", "add", "link", "to1", "name", "try5", "type", "vlan", "id", "5") != nil {
		return false
	}
	return try("link", "del", "try5") == nil
}

// linkPrepared shows the plan of a new link, and returns its name.
func (v *visitor) linkPrepared(vlan bool) (name string) {
	v.t.Helper()
	v.open("/network/edit")
	plan := "br30 will be made: a bridge"
	name = "br30"
	if vlan {
		name, plan = "to1.30", "to1.30 will be made: VLAN 30 of to1"
		v.press(v.text("ns.vlans.add"))
		v.choose(v.text("nf.parent"), "to1")
		v.fill(v.text("nf.vlan"), "30")
	} else {
		v.press(v.text("ns.bridges.add"))
		v.fill(v.text("nf.name"), name)
	}
	v.press(v.text("ned.take"))
	v.press(v.text("ned.plan"))
	v.see(plan)
	return name
}

// moveTo changes the box's address and applies that.
func (v *visitor) moveTo(was, is string) {
	v.t.Helper()
	v.open("/network/edit?part=zones")
	v.press(v.text("ned.edit", "name", "to1"))
	v.await(finder+".field("+quote(v.text("nf.addresses"))+")?.value === "+quote(was), "the address as it is")
	v.fill(v.text("nf.addresses"), is)
	v.press(v.text("ned.take"))
	v.press(v.text("ned.plan"))
	v.see(v.text("plan.cuts"))
	v.press(v.text("plan.apply"))
}

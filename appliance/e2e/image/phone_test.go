package image

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// twoNets is a box whose second port has phones: some in VLAN 100, which reach outside by the box's
// address, and some without a VLAN.
const twoNets = `{"ports":[{"name":"eth0"},{"name":"eth1"}],"vlans":[{"parent":"eth1","id":100}],
	"zones":[{"name":"Office","kind":"management","services":["page","sip","media","ping"]},
		{"name":"Desks","kind":"voice"},{"name":"Phones","kind":"voice","reaches":["Office"]}],
	"interfaces":[{"link":"eth0","zone":"Office","dhcp4":{}},{"link":"eth1","zone":"Desks","addresses":["10.99.0.1/24"]},
		{"link":"eth1.100","zone":"Phones","addresses":["10.100.0.1/24"]}],
	"uplinks":[{"name":"Office","link":"eth0","check":{"method":"link"}}],
	"nat":{"masquerade":[{"zone":"Office"}]}}`

// network makes the box's network another one, for good.
func (o *owner) network(document string) {
	o.m.t.Helper()
	var applied struct {
		Text   string
		Faults json.RawMessage
	}
	if status := o.ask(http.MethodPost, "/network/apply", `{"document":`+document+`}`, &applied); status != http.StatusOK {
		o.m.t.Fatalf("apply: %d %s %s", status, applied.Text, applied.Faults)
	}
	if status := o.ask(http.MethodPost, "/network/confirm", "", &applied); status != http.StatusOK {
		o.m.t.Fatalf("confirm: %d %s", status, applied.Text)
	}
}

// ask sends a request of the API.
func (o *owner) ask(method, path, body string, into any) (status int) {
	o.m.t.Helper()
	req, err := http.NewRequestWithContext(o.m.t.Context(), method, "https://"+o.m.page+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		o.m.t.Fatal(err)
	}
	req.Header.Set("If-Match", "*")
	req.Header.Set("Content-Type", "application/json")
	return o.do(req, into)
}

// user makes a user and returns the password.
func (o *owner) user(name string) (password string) {
	o.m.t.Helper()
	var made ctl.UserWithSecret
	if status := o.ask(http.MethodPost, "/users", fmt.Sprintf(`{"name":%q}`, name), &made); status != http.StatusCreated || made.Password == "" {
		o.m.t.Fatalf("user %s: %d", name, status)
	}
	return made.Password
}

// phonesOutside are two phones at the second port of a box that was set up, one in a VLAN. They register
// and talk, and the one in the VLAN reaches a host outside by the box's address.
func phonesOutside(t *testing.T, o *owner) {
	t.Helper()
	lab := netlab.New(t)
	o.network(twoNets)
	phone := func(name string, vlan uint16, network string, hertz float64) *linphone.Phone {
		net := netip.MustParsePrefix(network)
		box := net.Masked().Addr().Next()
		h := o.m.cable.host(t, lab, name, vlan, net, box)
		return linphone.Start(t, h, linphone.Config{
			User: name, Password: o.user(name), Domain: "pbx.test", Server: netip.AddrPortFrom(box, 5060), Transport: "tcp", Tone: hertz,
		})
	}
	alice, bob := phone("alice", 100, "10.100.0.2/24", 440), phone("bob", untagged, "10.99.0.2/24", 880)
	out := alice.Call(bob.AoR())
	bob.Answer(bob.Incoming())
	alice.Up(out)
	heardByAlice, heardByBob := alice.Record(), bob.Record()
	heardByAlice.Hears(bob.Tone, alice.Tone)
	heardByBob.Hears(alice.Tone, bob.Tone)
	alice.HangUp(out)
	alice.Over(out)
	hidden(t, o.m, alice.Host)
	throughTheTunnel(t, o, lab, bob)
}

// hidden checks that what a host behind the box sends outside comes from the box's address there.
func hidden(t *testing.T, m *machine, h *netlab.Host) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	heard := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		text, _ := io.ReadAll(c) // what came before an error counts
		_ = c.Close()
		heard <- string(text)
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String()) // the kernel wrote it
	c, err := h.Dial("tcp", "10.0.2.2:"+port)           // QEMU's address for the machine's own loopback
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(c, "from a VLAN")
	_ = c.Close()
	if got := <-heard; err != nil || got != "from a VLAN" {
		t.Errorf("outside was heard %q, %v", got, err)
	}
	sources := sentTo(t, m, port)
	if slices.ContainsFunc(sources, func(s string) bool { return s != "10.0.2.15" }) {
		t.Errorf("outside it was seen from %v, not from the box's address alone", sources)
	}
}

// sentTo returns the source addresses of what left the box's first port to a TCP port, once QEMU has
// written it down.
func sentTo(t *testing.T, m *machine, port string) (sources []string) {
	t.Helper()
	for late := time.Now().Add(netlab.Patience); len(sources) == 0; time.Sleep(200 * time.Millisecond) {
		// The end of the file may not be whole yet, of which tshark complains when it has told the rest.
		out, err := exec.CommandContext(t.Context(), "tshark", "-r", m.dump(), "-Y", "tcp.dstport=="+port, "-T", "fields", "-e", "ip.src").Output()
		if sources = strings.Fields(string(out)); len(sources) == 0 && time.Now().After(late) {
			t.Fatalf("nothing left the box to port %s: %v", port, err)
		}
	}
	return sources
}

package network

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/baresip"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// desks gives addresses to phones, which may fetch their settings but not open the page.
func desks(services string) string {
	return strings.NewReplacer(
		`"kind": "voice"`, `"kind": "voice"`+services,
		`"nat": {`, `"dhcp": [{"link": "lan0.100", "ranges": ["198.18.2.100-198.18.2.120"]}], "nat": {`,
	).Replace(office)
}

// administered is a gateway with its admind.
type administered struct {
	*gateway
	admin ctl.Admin
}

func startAdministered(t *testing.T, h *netlab.Host, document string, users ...string) *administered {
	t.Helper()
	g := &administered{gateway: startGateway(t, h, document, users...)}
	g.daemon(t, "admind", "-https", "443", "-phones", "8443", "-phones-plain", "8080")
	g.admin = ctl.NewAdmin(filepath.Join(g.run, "admin.sock"))
	t.Cleanup(func() { _ = g.admin.Close() }) // idle connections only
	until(t, "the port for phones is open", func() bool { return g.counts(t, "box.phones.provision") || g.counts(t, "box.phones.provision-http") })
	return g
}

// sanchar asks the box by its command line.
func (g *administered) sanchar(t *testing.T, args ...string) string {
	t.Helper()
	return g.host.Output(t, filepath.Join(os.Getenv(boxtest.BinKey), "sanchar"), append(args, "--run", g.run)...)
}

// settingsAddress is what DHCP says in option 66 (RFC 2132 §9.4), once it says anything there.
func settingsAddress(t *testing.T, phone *netlab.Host) (address string) {
	t.Helper()
	ask := func() error {
		c, err := nclient4.New("eth0")
		if err != nil {
			return err
		}
		lease, err := c.Request(t.Context(), dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName))
		if err == nil {
			address = lease.ACK.TFTPServerName()
		}
		return errors.Join(err, c.Close())
	}
	until(t, "DHCP tells where settings are", func() bool {
		if err := phone.Do(ask); err != nil {
			t.Logf("DHCP: %v", err)
		}
		return address != ""
	})
	return address
}

func macOf(t *testing.T, h *netlab.Host) (mac, bare string) {
	t.Helper()
	mac = strings.TrimSpace(h.Output(t, "cat", "/sys/class/net/eth0/address"))
	return mac, strings.ReplaceAll(mac, ":", "")
}

// fetch asks as a phone does that trusts every certificate.
func fetch(t *testing.T, from *netlab.Host, url string) (status int, body string) {
	t.Helper()
	tr := &http.Transport{DialContext: from.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: netlab.Patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// closed reports whether nothing answers at a TCP port; a dropped packet is answered by nobody.
func closed(t *testing.T, from *netlab.Host, address string) bool {
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	conn, err := from.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close() // that it was there says all
	}
	return err != nil
}

// A desk phone that is only plugged in learns by DHCP where its settings are, fetches them over TLS, and
// registers with a secret that it has alone.
func TestADeskPhoneSetsItselfUp(t *testing.T) {
	t.Parallel()
	lab, outside, inside := newOffice(t)
	g := startAdministered(t, lab.Box, desks(""), "alice")
	address := settingsAddress(t, inside)
	if address != "https://198.18.2.1:8443/provision/" {
		t.Fatalf("option 66 says %q", address)
	}
	if !closed(t, inside, "198.18.2.1:443") || !closed(t, outside, "198.18.1.1:8443") {
		t.Error("the page is open to phones, or settings of phones to the Internet")
	}
	mac, bare := macOf(t, inside)
	if status, _ := fetch(t, inside, address+bare+".xml"); status != http.StatusNotFound {
		t.Errorf("before it is bound: %d", status)
	}
	users, err := g.sw.Users(t.Context(), ctl.UserQuery{Text: "alice"})
	if err != nil || len(users.Users) != 1 {
		t.Fatalf("%+v %v", users, err)
	}
	alice := users.Users[0].ID
	if text := g.sanchar(t, "phones", "bind", mac, "alice"); !strings.Contains(text, mac+" is a phone of alice.") {
		t.Error(text)
	}
	_, pem := fetch(t, inside, address+"ca.pem")
	ca := filepath.Join(inside.Dir, "ca.pem")
	if err := os.WriteFile(ca, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	linphone.Start(t, inside, linphone.Config{User: "alice", Domain: g.domain, Transport: "tls", CA: ca, Provision: address + bare + ".xml"})
	registered := func() []ctl.Registration {
		all, err := g.sw.Registrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(all, func(r ctl.Registration) bool { return r.Asleep })
	}
	if all := registered(); len(all) != 1 || all[0].User != "alice" || all[0].Transport != "tls" || all[0].Source.Addr() != inside.V4 {
		t.Errorf("%+v", all)
	}
	if status, _ := fetch(t, inside, address+bare+".xml"); status != http.StatusNotFound {
		t.Errorf("a second time: %d", status)
	}
	l, err := g.admin.DeskPhones(t.Context(), alice)
	if err != nil || len(l.Phones) != 1 || l.Phones[0].From != inside.V4 || l.Phones[0].Plain || !strings.HasPrefix(l.Phones[0].Login, "alice~") || l.Refused != 2 {
		t.Errorf("%+v %v", l, err)
	}
	if text := g.sanchar(t, "phones", "list", "alice"); !strings.Contains(text, mac) || !strings.Contains(text, "from "+inside.V4.String()) || !strings.Contains(text, "2 requests were refused") {
		t.Error(text)
	}
	g.sanchar(t, "phones", "remove", mac)
	until(t, "the phone is signed out", func() bool { return len(registered()) == 0 })
}

// A zone that says so is told of settings over HTTP: phones of makers that trust nobody's own authority.
func TestADeskPhoneThatTrustsNoCertificate(t *testing.T) {
	t.Parallel()
	lab, _, inside := newOffice(t)
	g := startAdministered(t, lab.Box, desks(`, "services": ["sip", "media", "dhcp", "provision-http"]`), "bob")
	address := settingsAddress(t, inside)
	if address != "http://198.18.2.1:8080/provision/" || !closed(t, inside, "198.18.2.1:8443") {
		t.Fatalf("option 66 says %q", address)
	}
	mac, bare := macOf(t, inside)
	users, err := g.sw.Users(t.Context(), ctl.UserQuery{Text: "bob"})
	if err != nil || len(users.Users) != 1 {
		t.Fatalf("%+v %v", users, err)
	}
	bob := ctl.DeskPhoneSpec{User: users.Users[0].ID, Maker: "yealink", Transport: "udp"}
	if _, err := g.admin.BindDeskPhone(t.Context(), mac, ctl.DeskPhoneChange{DeskPhoneSpec: bob, Who: "test"}); err != nil {
		t.Fatal(err)
	}
	status, text := fetch(t, inside, address+bare+".cfg")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	set := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^account\.1\.(\S+) = (.*)$`).FindAllStringSubmatch(text, -1) {
		set[m[1]] = m[2]
	}
	if at := net.JoinHostPort(set["outbound_proxy.1.address"], set["outbound_proxy.1.port"]); at != boxtest.Server(inside, "udp").String() {
		t.Errorf("the proxy is %s", at)
	}
	baresip.Start(t, inside, baresip.Config{
		User: set["user_name"], Login: set["auth_name"], Password: set["password"], Domain: set["sip_server.1.address"], Server: boxtest.Server(inside, "udp"), Transport: "udp", Tone: 440,
	})
	l, err := g.admin.DeskPhones(t.Context(), "")
	if err != nil || len(l.Phones) != 1 || !l.Phones[0].Plain {
		t.Errorf("%+v %v", l, err)
	}
}

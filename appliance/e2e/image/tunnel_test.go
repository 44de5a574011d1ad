package image

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// withTunnel adds a tunnel for phones far away to twoNets.
func withTunnel() string {
	return strings.NewReplacer(
		`"services":["page","sip","media","ping"]`, `"services":["page","sip","media","ping","wireguard"]`,
		`"zones":[`, `"wireguard":[{"name":"wg0"}],"zones":[{"name":"Far","services":["page","sip","media","ping"]},`,
		`"interfaces":[`, `"interfaces":[{"link":"wg0","zone":"Far","addresses":["10.8.0.1/24"]},`,
	).Replace(twoNets)
}

// throughTheTunnel lets a phone far away in: the box makes its settings, the box's kernel carries its
// packets, and it talks with one in the office.
func throughTheTunnel(t *testing.T, o *owner, lab *netlab.Lab, bob *linphone.Phone) {
	t.Helper()
	o.network(withTunnel())
	var peer struct {
		Document json.RawMessage
		Settings string
		Text     string
	}
	wish := fmt.Sprintf(`{"name":"carol","endpoint":%q}`, o.m.tunnel)
	if status := o.ask(http.MethodPost, "/network/tunnels/wg0/peers", wish, &peer); status != http.StatusOK {
		t.Fatalf("a peer: %d %s", status, peer.Text)
	}
	o.network(string(peer.Document))
	far := lab.Host(t, "far")
	plugIn(t, far, peer.Settings)
	if status := pageStatus(t, far, "https://10.8.0.1/"); status != http.StatusOK {
		t.Errorf("the page through the tunnel: %d", status)
	}
	carol := linphone.Start(t, far, linphone.Config{
		User: "carol", Password: o.user("carol"), Domain: "pbx.test", Server: netip.MustParseAddrPort("10.8.0.1:5060"), Transport: "tcp", Tone: 1320,
	})
	out := carol.Call(bob.AoR())
	bob.Answer(bob.Incoming())
	carol.Up(out)
	heardByCarol, heardByBob := carol.Record(), bob.Record()
	heardByCarol.Hears(bob.Tone, carol.Tone)
	heardByBob.Hears(carol.Tone, bob.Tone)
	carol.HangUp(out)
	carol.Over(out)
}

func pageStatus(t *testing.T, from *netlab.Host, url string) int {
	t.Helper()
	tr := &http.Transport{DialContext: from.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// plugIn makes a host the peer that a file of wg-quick(8) describes, with WireGuard in this process: the kernel that
// the tests run on need not have it. What is inside the tunnel is the host's, what is outside is ours.
func plugIn(t *testing.T, h *netlab.Host, settings string) {
	t.Helper()
	set := map[string]string{}
	for line := range strings.Lines(settings) {
		if name, value, ok := strings.Cut(line, " = "); ok {
			set[name] = strings.TrimSpace(value)
		}
	}
	var inside tun.Device
	err := h.Do(func() (err error) {
		if inside, err = tun.CreateTUN("wg", device.DefaultMTU); err != nil {
			return err
		}
		link, err := netlink.LinkByName("wg")
		if err != nil {
			return err
		}
		err = netlink.LinkSetUp(link)
		for _, a := range list(set["Address"]) {
			err = errors.Join(err, netlink.AddrAdd(link, &netlink.Addr{IPNet: network(a)}))
		}
		for _, n := range list(set["AllowedIPs"]) {
			err = errors.Join(err, netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: network(n)}))
		}
		return err
	})
	if err != nil {
		t.Fatalf("the far end of the tunnel: %v", err)
	}
	h.V4, h.Box4 = list(set["Address"])[0].Addr(), netip.MustParseAddr("10.8.0.1")
	far := device.NewDevice(inside, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(far.Close)
	var config strings.Builder
	fmt.Fprintf(&config, "private_key=%s\npublic_key=%s\nendpoint=%s\npersistent_keepalive_interval=%s\n",
		keyHex(t, set["PrivateKey"]), keyHex(t, set["PublicKey"]), set["Endpoint"], set["PersistentKeepalive"])
	for _, n := range list(set["AllowedIPs"]) {
		fmt.Fprintf(&config, "allowed_ip=%s\n", n)
	}
	if err := errors.Join(far.IpcSet(config.String()), far.Up()); err != nil {
		t.Fatalf("the far end of the tunnel: %v", err)
	}
}

func list(text string) (all []netip.Prefix) {
	for _, part := range strings.Split(text, ", ") {
		all = append(all, netip.MustParsePrefix(part))
	}
	return all
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// keyHex writes a key as wireguard-go reads it.
func keyHex(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(raw)
}

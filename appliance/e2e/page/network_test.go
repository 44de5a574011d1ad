package page

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestNetwork is an owner who looks at the network, prepares a change with a slip in it, sees its plan,
// applies it, brings it back, applies it again and confirms it.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/network")
			v.expect("status of 422")
			v.networkSeen()
			v.vlanPrepared()
			v.planApplied()
			v.broughtBack()
			v.restored()
		})
	}
}

func (v *visitor) networkSeen() {
	v.t.Helper()
	v.heading(v.text("nav.network"))
	v.see("LAN 1", "192.0.2.5/24", v.text("port.speed", "n", "1,000"), "Office", v.text("link.nocable"), v.text("uplink.down"), "no answer of 9.9.9.9")
	v.await("document.querySelectorAll('.ports path.in')[0].getAttribute('d').includes('L')", "a line of traffic")
	v.check("net-overview")
}

// vlanPrepared adds a VLAN with a number that no switch knows, then with a better one.
func (v *visitor) vlanPrepared() {
	v.t.Helper()
	v.press(v.text("nt.edit"))
	v.heading(v.text("nt.edit"))
	v.see(v.text("nw.vlan", "id", "20", "parent", "eth0"))
	v.check("net-edit")
	v.press(v.text("ns.vlans.add"))
	v.choose(v.text("nf.parent"), "eth0")
	v.fill(v.text("nf.vlan"), "5000")
	v.key(kb.Enter)
	v.await("document.querySelector('dialog input[name=id][aria-invalid=true]') === document.activeElement", "the fault beside its field, and the focus there")
	v.check("net-vlan-fault")
	v.fill(v.text("nf.vlan"), "30")
	v.key(kb.Enter)
	v.see(v.text("ned.prepared"), v.text("ned.right"), "eth0.30")
	for _, part := range []string{"np.zones", "np.uplinks", "np.filter", "np.services", "np.tunnels", "np.expert"} {
		v.press(v.text(part))
		v.check("net-" + strings.ReplaceAll(part, ".", "-"))
	}
	v.await(`document.querySelector("textarea").value.includes('"id": 30')`, "the VLAN in the text")
}

func (v *visitor) planApplied() {
	v.t.Helper()
	v.press(v.text("ned.plan"))
	v.see(v.text("plan.cuts"), v.text("plan.steps"), v.text("plan.foreign"))
	v.check("net-plan")
	v.press(v.text("plan.apply"))
	v.see(v.text("count.title"), v.text("count.text"), "0:5")
	v.check("net-countdown")
}

func (v *visitor) broughtBack() {
	v.t.Helper()
	v.press(v.text("count.revert"))
	v.see(v.text("net.reverted", "who", owner))
	v.gone(v.text("count.title"))
	v.check("net-reverted")
	v.press(v.text("act.dismiss"))
	v.gone(v.text("net.reverted", "who", owner))
}

// restored brings the first revision back and confirms it.
func (v *visitor) restored() {
	v.t.Helper()
	v.press(v.text("nt.revisions"))
	v.heading(v.text("nt.revisions"))
	v.see(v.text("rev.now"), v.text("rev.who", "who", owner))
	v.check("net-revisions")
	v.press(v.text("rev.restore.label", "n", "1"))
	v.press(v.text("plan.apply"))
	v.see(v.text("count.title"))
	v.press(v.text("count.confirm"))
	v.see(v.text("count.kept"), v.text("rev.number", "n", "3"))
	v.gone(v.text("count.title"))
	v.open("/logs/audit")
	v.see(v.text("did.netapply"), v.text("did.netrevert"), v.text("did.netconfirm"))
}

// TestNetworkIsWatched looks at the firewall, the leases and the diagnosis.
func TestNetworkIsWatched(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/network/firewall")
			v.expect("status of 422")
			v.see("203.0.113.9/32", v.text("wall.enforced"), "Printers: TCP to ports 631")
			v.check("net-firewall")
			v.press(v.text("wall.hit"))
			v.gone("Printers: TCP to ports 631")
			v.open("/network/hosts")
			v.see("reception", "10.2.0.101", v.text("lease.reserved"))
			v.check("net-hosts")
			v.diagnosed()
			v.captured()
			v.peerMade()
		})
	}
}

func (v *visitor) diagnosed() {
	v.t.Helper()
	v.open("/network/diagnosis")
	v.press(v.text("diag.run"))
	v.see("no carrier", v.text("fault.cure", "cure", "plug the cable in"), v.text("diag.skipped"))
	v.check("net-diagnosis")
	v.fill(v.text("probe.host"), "nobody")
	v.press(v.text("probe.ping"))
	v.await("document.querySelector('input[name=host][aria-invalid=true]') !== null", "the fault beside its field")
	v.fill(v.text("probe.host"), "192.0.2.1")
	v.press(v.text("probe.ping"))
	v.see("12 ms", "192.0.2.254 knows no way")
	v.press(v.text("probe.trace"))
	v.see("1 ms")
	v.check("net-trace")
}

func (v *visitor) captured() {
	v.t.Helper()
	v.press(v.text("cap.start"))
	v.await("document.querySelectorAll('input[aria-invalid=true]').length === 2", "two faults beside their fields")
	v.check("net-capture-faults")
	v.await(`(document.querySelector('input[name=filter]').closest('form').querySelector('input[name=link]').focus(), true)`, "the link of the capture")
	v.key("eth0")
	v.fill(v.text("cap.filter"), "udp port 5060")
	v.fill(v.text("cap.seconds"), "5")
	v.press(v.text("cap.start"))
	if text := v.download("capture-*.pcapng"); text != "packets of eth0, udp port 5060" {
		v.t.Errorf("captured %q", text)
	}
}

func (v *visitor) peerMade() {
	v.t.Helper()
	v.open("/network/edit?part=tunnels")
	v.press(v.text("peer.new.label", "name", "wg0"))
	v.fill(v.text("nf.name"), "Asha")
	v.fill(v.text("peer.endpoint"), "vpn example")
	v.key(kb.Enter)
	v.await("document.querySelector('dialog input[name=endpoint][aria-invalid=true]') !== null", "the fault beside its field")
	v.fill(v.text("peer.endpoint"), "vpn.example.com")
	v.key(kb.Enter)
	v.see(v.text("peer.once"))
	v.await("document.querySelector('dialog img').naturalWidth > 0", "the QR code")
	v.check("net-peer")
	v.press(v.text("secret.done"))
	v.see("Asha", "10.8.0.2/32", v.text("ned.right"))
}

// TestPlanOnlySaysSo is a developer's machine: there is a plan, and nothing to apply.
func TestPlanOnlySaysSo(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.netd.mu.Lock()
	b.netd.planOnly = true
	b.netd.mu.Unlock()
	b.setUp()
	v := signedIn(t, b, desktop(), "/network/edit?part=expert")
	v.see(v.text("net.planonly"), v.text("net.planonly.text"))
	v.check("net-planonly")
	v.await(finder+".field("+quote(v.text("expert.label"))+") !== null", "the text")
	evaluate[bool](v, "(() => { const a = document.querySelector('textarea'); a.value = a.value.replace('192.0.2.5/24', '192.0.2.6/24'); a.dispatchEvent(new Event('input')); return true; })()")
	v.press(v.text("ned.take"))
	v.press(v.text("ned.plan"))
	v.see(v.text("plan.steps"), "192.0.2.6/24")
	v.check("net-planonly-plan")
	if evaluate[bool](v, finder+".control("+quote(v.text("plan.apply"))+") !== null") {
		t.Error("a plan can be applied where nothing is managed")
	}
}

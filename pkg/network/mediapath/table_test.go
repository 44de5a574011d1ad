package mediapath

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// worlds runs a test for both versions of IP.
func worlds(t *testing.T, do func(t *testing.T, b *bench, six bool)) {
	for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) { do(t, newBench(t), six) })
	}
}

func TestAFlowIsRewritten(t *testing.T) {
	worlds(t, func(t *testing.T, b *bench, six bool) {
		f := b.flow(six)
		if _, err := b.table.Change([]ctl.MediaFlow{f}, nil); err != nil {
			t.Fatal(err)
		}
		last := of(&f).says("the last one").frame(b.mac)
		for _, noSum := range []bool{false, true} {
			if noSum && six {
				continue
			}
			d := of(&f)
			d.noSum = noSum
			got := b.passes(d.frame(b.mac), last)
			want := datagram{src: f.From, dst: f.To, hops: 63, class: 46 << 2, rtp: d.rtp, noSum: noSum, edit: func(frame []byte) {
				copy(frame[6:], got[6:12]) // the MAC address of the way out
				if six {                   // no flow label
					frame[14], frame[15], frame[16], frame[17] = 0x6b, 0x80, 0, 0
				}
			}}
			if w := want.frame(b.hopHW); !bytes.Equal(got, w) {
				t.Errorf("got\n%x, want\n%x", got, w)
			}
		}
	})
}

// Whatever is odd goes up the stack.
func TestWhatIsNotTheFlowsDoesNotPass(t *testing.T) {
	ip := func(at int, v byte) func(*datagram) {
		return func(d *datagram) { d.edit = func(f []byte) { f[14+at] = v } }
	}
	all := map[string]func(d *datagram){
		"another port":      func(d *datagram) { d.src = netip.AddrPortFrom(d.src.Addr(), 5006) },
		"another host":      func(d *datagram) { d.src = netip.AddrPortFrom(d.src.Addr().Next().Next(), d.src.Port()) },
		"another port here": func(d *datagram) { d.dst = netip.AddrPortFrom(d.dst.Addr(), 20004) },
		"another SSRC":      func(d *datagram) { d.rtp[11]++ },
		"a key press":       func(d *datagram) { d.rtp[1] = 101 },
		"RTCP":              func(d *datagram) { d.rtp[1] = 200 },
		"RTCP with marker":  func(d *datagram) { d.rtp[1] = 72 | 0x80 },
		"STUN":              func(d *datagram) { d.rtp[0] = 0 },
		"DTLS":              func(d *datagram) { d.rtp[0] = 22 },
		"ZRTP":              func(d *datagram) { d.rtp[0] = 0x10 },
		"its last hop":      func(d *datagram) { d.hops = 1 },
		"too short":         func(d *datagram) { d.rtp = d.rtp[:10] },
		"not ours":          func(d *datagram) { d.edit = func(f []byte) { f[0] ^= 4 } },
		"a tag": func(d *datagram) {
			d.edit = func(f []byte) { copy(f[12:], append([]byte{0x81, 0, 0, 7}, f[12:len(f)-4]...)) }
		},
	}
	only := [2]map[string]func(d *datagram){
		{
			"a fragment": ip(6, 0x20), "a late fragment": ip(7, 1), "options": ip(0, 0x46), "TCP": ip(9, 6), "another version": ip(0, 0x65),
		},
		{"no checksum": func(d *datagram) { d.noSum = true }, "a header between": ip(6, 0), "another version": ip(0, 0x45)},
	}
	worlds(t, func(t *testing.T, b *bench, six bool) {
		f := b.flow(six)
		if _, err := b.table.Change([]ctl.MediaFlow{f}, nil); err != nil {
			t.Fatal(err)
		}
		last := of(&f).says("the last one").frame(b.mac)
		cases := only[version(&f)]
		for name, spoil := range all {
			cases[name] = spoil
		}
		for name, spoil := range cases {
			d := of(&f)
			spoil(d)
			if out := b.passes(d.frame(b.mac), last); out != nil {
				t.Errorf("%s: passed as %x", name, out)
			}
		}
		marked := of(&f)
		marked.rtp[1] = 13 | 0x80
		marked.rtp[0] |= 0x3f // padding, an extension, contributing sources
		if b.passes(marked.frame(b.mac), last) == nil {
			t.Error("the marker and the other bits keep a packet from passing")
		}
	})
}

func TestFlowsAreCounted(t *testing.T) {
	worlds(t, func(t *testing.T, b *bench, six bool) {
		f := b.flow(six)
		change := func(put []ctl.MediaFlow, take ...uint32) []Count {
			t.Helper()
			counts, err := b.table.Change(put, take)
			must(t, err)
			return counts
		}
		if got := change([]ctl.MediaFlow{f}, 99); got != nil {
			t.Errorf("counted before it began: %v", got)
		}
		must(t, b.table.conn.SetDeadline(time.Unix(1, 0))) // the time that the last question had is over
		last := of(&f).says("the last one").frame(b.mac)
		noise := of(&f)
		noise.rtp[1] = 13
		b.passes(noise.frame(b.mac), last)
		want := map[int]Count{0: {7, 0, 1, 24}, 1: {7, 1, 1, 17}}
		check := func(counts []Count, err error) {
			t.Helper()
			must(t, err)
			if len(counts) != len(want) {
				t.Errorf("counts %v, want %v", counts, want)
			}
			for _, c := range counts {
				if c != want[c.At] {
					t.Errorf("counts %v, want %v", counts, want)
				}
			}
		}
		check(b.table.Counts())
		want = nil
		check(b.table.Counts())
		b.passes(of(&f).frame(b.mac), last)
		want = map[int]Count{0: {7, 0, 2, 41}}
		f.To = f.From // it goes elsewhere now, and counts on
		check(change([]ctl.MediaFlow{f}), nil)
		b.passes(of(&f).frame(b.mac), last)
		again := f
		again.Slot = 8 // mediad has forgotten the other one
		check(change([]ctl.MediaFlow{again}), nil)
		if b.table.Len() != 1 {
			t.Errorf("%d flows", b.table.Len())
		}
		b.passes(of(&f).frame(b.mac), last)
		want = map[int]Count{0: {8, 0, 2, 41}}
		check(b.table.Clear())
		want = nil
		check(b.table.Clear())
		if b.table.Len() != 0 || len(b.table.elements) != 0 {
			t.Errorf("%d flows, %d elements", b.table.Len(), len(b.table.elements))
		}
	})
}

func TestManyFlowsAreOneTransaction(t *testing.T) {
	b := newBench(t)
	var all []ctl.MediaFlow
	for i := range uint32(64) {
		for _, six := range []bool{false, true} {
			f := b.flow(six)
			f.Slot = i
			if six {
				f.Slot += 64
			}
			f.SSRC, f.Types = i, []uint8{0, 8, 9, 13}
			all = append(all, f)
		}
	}
	_, err := b.table.Change(all, nil)
	must(t, err)
	if _, err := b.table.Counts(); err != nil || len(b.table.elements) != 512 {
		t.Errorf("%d elements, %v", len(b.table.elements), err)
	}
	if _, err := b.table.Clear(); err != nil {
		t.Error(err)
	}
}

// The table goes with its owner, and there is one owner.
func TestTheTableGoesWithItsSocket(t *testing.T) {
	b := newBench(t)
	if other, err := Open(tested); err == nil {
		t.Error("two tables", other.Close())
	}
	must(t, b.table.Close())
	again, err := Open(tested)
	if err != nil {
		t.Fatal(err)
	}
	names, err := again.Follow(b.links)
	if err != nil || len(names) != 2 {
		t.Errorf("sees %v, %v", names, err)
	}
	must(t, again.Close())
}

func TestInterfacesComeAndGo(t *testing.T) {
	b := newBench(t)
	out, err := netlink.LinkByName("out")
	must(t, err)
	must(t, netlink.LinkSetDown(out))
	must(t, netlink.LinkSetName(out, "other"))
	b.links[1].Name = "other"
	if names, err := b.table.Follow(b.links); err != nil || strings.Join(names, " ") != "in other" {
		t.Errorf("sees %v, %v", names, err)
	}
	must(t, netlink.LinkDel(out))
	lo := ctl.Link{Name: "lo", Index: 1, MAC: "00:00:00:00:00:00", Loopback: true}
	if names, err := b.table.Follow([]ctl.Link{lo, b.links[0]}); err != nil || strings.Join(names, " ") != "in" {
		t.Errorf("sees %v, %v", names, err)
	}
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "new"}, PeerName: "newp"}))
	added, err := netlink.LinkByName("new")
	must(t, err)
	b.links[1] = ctl.Link{Name: "new", Index: added.Attrs().Index, MAC: added.Attrs().HardwareAddr.String()}
	if names, err := b.table.Follow(b.links); err != nil || strings.Join(names, " ") != "in new" {
		t.Errorf("sees %v, %v", names, err)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestRules(t *testing.T) {
	var got strings.Builder
	for _, chain := range []struct {
		name  string
		rules []rule
	}{{"each interface", entrance()}, {chain4, pass4()}, {chain6, pass6()}} {
		for _, r := range chain.rules {
			got.WriteString(chain.name + "\n" + r.String())
		}
	}
	file := filepath.Join("testdata", "rules.txt")
	if *update {
		must(t, os.WriteFile(file, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// nft(8) can still list what the kernel holds when our table is there.
func TestOthersCanListTheTable(t *testing.T) {
	b := newBench(t)
	f := b.flow(false)
	_, err := b.table.Change([]ctl.MediaFlow{f}, nil)
	must(t, err)
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("no nft here: apt install nftables")
	}
	out, err := exec.CommandContext(t.Context(), nft, "list", "ruleset").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("table netdev "+TableName)) || !bytes.Contains(out, []byte("hook ingress device \"in\"")) {
		t.Errorf("%v: %s", err, out)
	}
}

package lldp

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

var (
	boxMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	phoneMAC = net.HardwareAddr{2, 0, 0, 0, 0, 7}
)

func box() hello {
	return hello{
		mac: boxMAC, port: "eth0", text: "LAN 1", name: "sanchar", desc: "Sanchar PBX",
		management: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")},
		seconds:    120, voice: &Policy{VLAN: 20, Priority: 5, DSCP: 46}, med: true,
	}
}

// phoneFrame is what a phone says.
func phoneFrame(seconds uint16) []byte {
	b := append(append([]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, phoneMAC...), 0x88, 0xcc)
	b = tlv(b, tlvChassis, []byte{chassisAddress, 1, 10, 20, 0, 7})
	b = tlv(b, tlvPort, append([]byte{portMAC}, phoneMAC...))
	b = tlv(b, tlvTTL, binary.BigEndian.AppendUint16(nil, seconds))
	b = tlv(b, tlvSystemName, []byte("desk-7\x1b[31m"))
	b = tlv(b, tlvCapabilities, []byte{0, capBridge | capTelephone, 0, capTelephone})
	b = organization(b, medOUI, medCapabilities, []byte{0, 0x33, 3})
	b = organization(b, medOUI, medMaker, []byte("Yealink"))
	b = organization(b, medOUI, medModel, []byte("T54W"))
	return tlv(b, tlvEnd, nil)
}

func TestWhatIsSaidIsUnderstood(t *testing.T) {
	t.Parallel()
	n, err := parse(box().frame())
	if err != nil || n.Chassis != boxMAC.String() || n.PortID != "eth0" || n.Name != "sanchar" || n.PortText != "LAN 1" || len(n.Management) != 2 ||
		!slices.Equal(n.Capabilities, []string{"router"}) || n.Voice == nil || *n.Voice != (Policy{20, 5, 46}) || n.seconds != 120 {
		t.Errorf("%+v, %v", n, err)
	}
	n, err = parse(phoneFrame(60))
	if err != nil || n.Chassis != "10.20.0.7" || n.PortID != phoneMAC.String() || n.Name != "desk-7[31m" || !n.MED || n.Maker != "Yealink" || n.Model != "T54W" ||
		!slices.Equal(n.Capabilities, []string{"telephone"}) {
		t.Errorf("%+v, %v", n, err)
	}
	h := box()
	if h.med = false; strings.Contains(string(h.frame()), "\x00\x12\xbb") {
		t.Error("LLDP-MED is spoken to who did not speak it")
	}
}

func TestFramesThatAreNone(t *testing.T) {
	t.Parallel()
	good := phoneFrame(60)
	swapped := slices.Clone(good)
	swapped[headerBytes] = tlvPort << 1
	for name, b := range map[string][]byte{
		"empty": nil, "cut in a TLV": good[:headerBytes+5], "another type": append(slices.Clone(good[:12]), 8, 0, 1, 2, 3), "no port": good[:headerBytes+8], "wrong order": swapped,
	} {
		if n, err := parse(b); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestNeighboursComeAndGoAndAreBounded(t *testing.T) {
	t.Parallel()
	a := New(Config{Ports: []Port{{Iface: "eth0"}}}, slog.New(slog.DiscardHandler))
	now := time.Now()
	for i := range 100 {
		a.hear(Neighbour{Port: "eth0", Chassis: fmt.Sprint(i), seconds: 60}, now)
	}
	if n := len(a.Neighbours()); n != maxPerPort {
		t.Errorf("%d neighbours", n)
	}
	a.hear(Neighbour{Port: "eth0", Chassis: "3"}, now)
	if n := len(a.Neighbours()); n != maxPerPort-1 {
		t.Errorf("%d after a farewell", n)
	}
	if !a.hear(Neighbour{Port: "eth0", Chassis: "new", seconds: 60}, now.Add(61*time.Second)) || len(a.known["eth0"]) != 1 {
		t.Errorf("those whose time is over stay: %v", a.known)
	}
}

func TestAPhoneIsToldItsVLANAtOnce(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "tshark", "tshark")
	phone := netlab.New(t).Cable(t, "phone", "ll-a")
	file := phone.Dir + "/lldp.pcap"
	var wire *os.File
	if err := phone.Do(func() (err error) { wire, err = onlink.Packet("eth0", EtherType, nil); return err }); err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	if err := phone.Do(func() error { return onlink.Join(wire, "eth0", groups()[0]) }); err != nil {
		t.Fatal(err)
	}
	a := New(Config{Name: "sanchar", Ports: []Port{{Iface: "ll-a", Voice: &Policy{VLAN: 20, Priority: 5, DSCP: 46}}}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	read := func() []byte {
		t.Helper()
		_ = wire.SetReadDeadline(time.Now().Add(netlab.Patience))
		buf := make([]byte, 2000)
		n, err := wire.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	if first := read(); strings.Contains(string(first), "\x00\x12\xbb") {
		t.Error("LLDP-MED before a phone was heard")
	}
	if _, err := wire.Write(phoneFrame(60)); err != nil {
		t.Fatal(err)
	}
	told := read()
	for !strings.Contains(string(told), "\x00\x12\xbb") {
		told = read()
	}
	writePcap(t, file, told)
	out := phone.Output(t, "tshark", "-r", file, "-T", "fields", "-e", "lldp.media.vlan_id", "-e", "lldp.media.l2_prio", "-e", "lldp.media.dscp", "-e", "lldp.tlv.system.name", "-e", "_ws.malformed")
	if strings.TrimRight(out, "\n\t ") != "20,20\t5,5\t46,46\tsanchar" {
		t.Errorf("tshark reads %q", out)
	}
	if n := a.Neighbours(); len(n) != 1 || n[0].Port != "ll-a" || n[0].Model != "T54W" {
		t.Errorf("neighbours %+v", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for {
		if n, err := parse(read()); err == nil && n.seconds == 0 {
			break // the farewell
		}
	}
}

// writePcap writes one frame as a capture.
func writePcap(t *testing.T, path string, frame []byte) {
	t.Helper()
	b := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	if err := os.WriteFile(path, append(b, frame...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(box().frame())
	f.Add(phoneFrame(60))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parse(b)
		if err == nil && (len(n.Management) > 4 || strings.ContainsAny(n.Name+n.Text+n.Model, "\x1b\x00\n")) {
			t.Errorf("%+v", n)
		}
	})
}

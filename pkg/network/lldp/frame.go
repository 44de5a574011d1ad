// Package lldp tells the neighbours of our ports who we are, and phones their voice VLAN, and hears
// who they are (IEEE 802.1AB, and LLDP-MED of ANSI/TIA-1057).
package lldp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// EtherType of LLDP frames, IEEE 802.1AB §7.3.
const EtherType = 0x88cc

// Types of TLVs, IEEE 802.1AB §8.4.
const (
	tlvEnd          = 0
	tlvChassis      = 1
	tlvPort         = 2
	tlvTTL          = 3
	tlvPortText     = 4
	tlvSystemName   = 5
	tlvSystemText   = 6
	tlvCapabilities = 7
	tlvManagement   = 8
	tlvOrganization = 127

	chassisMAC     = 4
	chassisAddress = 5
	portMAC        = 3
	portIfname     = 5

	maxTLV      = 511 // bytes of a value
	headerBytes = 14  // of Ethernet
	minFrame    = 60
)

// Capabilities of a system, IEEE 802.1AB §8.5.8.1.
const (
	capBridge    = 1 << 2
	capAccess    = 1 << 3
	capRouter    = 1 << 4
	capTelephone = 1 << 5
	capStation   = 1 << 7
)

// LLDP-MED, ANSI/TIA-1057 §10.2.
const (
	medOUI          = 0x0012bb
	medCapabilities = 1
	medPolicy       = 2
	medHardware     = 5
	medFirmware     = 6
	medSoftware     = 7
	medSerial       = 8
	medMaker        = 9
	medModel        = 10

	medNetwork    = 4 // device type: network connectivity
	medVoice      = 1 // applications
	medSignalling = 2
	medTagged     = 1 << 22
)

// dot1OUI is that of IEEE 802.1; its subtype 1 is the port's VLAN (IEEE 802.1Q annex D).
const (
	dot1OUI    = 0x0080c2
	dot1PortID = 1
)

// Policy is what phones are told of voice.
type Policy struct {
	VLAN     uint16 // 0 is untagged
	Priority uint8  // IEEE 802.1p
	DSCP     uint8
}

// Neighbour is who is at the other end of a cable.
type Neighbour struct {
	Port         string // ours
	Chassis      string
	PortID       string
	PortText     string
	Name         string
	Text         string
	Management   []netip.Addr
	Capabilities []string // those that are enabled: bridge, router, telephone...
	VLAN         uint16   // untagged one of its port, 0 unknown
	MED          bool     // it speaks LLDP-MED: most likely a phone
	Maker        string
	Model        string
	Firmware     string
	Serial       string
	Voice        *Policy // what it tells of voice

	seconds uint16 // that it holds
}

// hello is what we tell of ourselves on one port.
type hello struct {
	mac        net.HardwareAddr
	port, text string
	name, desc string
	management []netip.Addr
	seconds    uint16
	voice      *Policy
	med        bool // somebody at the other end speaks LLDP-MED
}

// frame writes a whole Ethernet frame.
func (h hello) frame() []byte {
	b := append([]byte{0x01, 0x80, 0xc2, 0, 0, 0x0e}, h.mac...)
	b = binary.BigEndian.AppendUint16(b, EtherType)
	b = tlv(b, tlvChassis, append([]byte{chassisMAC}, h.mac...))
	b = tlv(b, tlvPort, append([]byte{portIfname}, h.port...))
	b = tlv(b, tlvTTL, binary.BigEndian.AppendUint16(nil, h.seconds))
	if h.seconds > 0 { // IEEE 802.1AB §9.2.7.3: a farewell says no more
		b = h.about(b)
	}
	b = tlv(b, tlvEnd, nil)
	return append(b, make([]byte, max(0, minFrame-len(b)))...)
}

func (h hello) about(b []byte) []byte {
	for i, text := range []string{h.text, h.name, h.desc} { // port, name and text of the system, in the order of their types
		if text != "" {
			b = tlv(b, tlvPortText+byte(i), []byte(text[:min(len(text), 255)]))
		}
	}
	const can = capRouter | capStation
	b = tlv(b, tlvCapabilities, []byte{can >> 8, can & 0xff, 0, capRouter})
	for _, a := range h.management {
		family := byte(1) // of the IANA's address families
		if a.Is6() {
			family = 2
		}
		value := append([]byte{byte(a.BitLen()/8 + 1), family}, a.AsSlice()...)
		b = tlv(b, tlvManagement, append(value, 1, 0, 0, 0, 0, 0)) // interface unknown, no object
	}
	// TIA-1057 §11.1: a network device speaks LLDP-MED once it has heard an endpoint do so.
	if h.med && h.voice != nil {
		b = organization(b, medOUI, medCapabilities, []byte{0, 0x03, medNetwork})
		for _, application := range []byte{medVoice, medSignalling} {
			b = organization(b, medOUI, medPolicy, append([]byte{application}, h.voice.bits()...))
		}
	}
	return b
}

// bits are TIA-1057 §10.2.3.2: unknown, tagged, reserved, VLAN (12), priority (3), DSCP (6).
func (p Policy) bits() []byte {
	v := uint32(p.VLAN&0xfff)<<9 | uint32(p.Priority&7)<<6 | uint32(p.DSCP&63)
	if p.VLAN != 0 {
		v |= medTagged
	}
	return []byte{byte(v >> 16), byte(v >> 8), byte(v)}
}

func tlv(b []byte, kind byte, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(kind)<<9|uint16(min(len(value), maxTLV)))
	return append(b, value[:min(len(value), maxTLV)]...)
}

func organization(b []byte, oui uint32, subtype byte, value []byte) []byte {
	return tlv(b, tlvOrganization, append([]byte{byte(oui >> 16), byte(oui >> 8), byte(oui), subtype}, value...))
}

var (
	errFrame = errors.New("not a frame of LLDP")
	errShort = errors.New("a TLV is shorter than it says")
	errOrder = errors.New("chassis, port and time do not come first")
)

// parse reads a whole Ethernet frame.
func parse(frame []byte) (n Neighbour, err error) {
	if len(frame) < headerBytes || binary.BigEndian.Uint16(frame[12:]) != EtherType {
		return n, errFrame
	}
	b := frame[headerBytes:]
	for at := 0; len(b) >= 2; at++ {
		kind, length := b[0]>>1, int(binary.BigEndian.Uint16(b)&0x1ff)
		if len(b) < 2+length {
			return n, errShort
		}
		value := b[2 : 2+length]
		b = b[2+length:]
		if at < 3 && int(kind) != at+1 { // IEEE 802.1AB §9.2.7.7.1: in this order, each once
			return n, errOrder
		}
		if kind == tlvEnd {
			return n, nil
		}
		if err := n.take(kind, value); err != nil {
			return n, err
		}
	}
	if n.Chassis == "" || n.PortID == "" {
		return n, errOrder
	}
	return n, nil
}

// take reads one TLV. What is not known is passed over.
func (n *Neighbour) take(kind byte, v []byte) error {
	switch kind {
	case tlvChassis, tlvPort:
		if len(v) < 2 {
			return errShort
		}
		if kind == tlvChassis {
			n.Chassis = identifier(v, chassisMAC, chassisAddress)
		} else {
			n.PortID = identifier(v, portMAC, 4)
		}
	case tlvTTL:
		if len(v) < 2 {
			return errShort
		}
		n.seconds = binary.BigEndian.Uint16(v)
	case tlvPortText:
		n.PortText = text(v)
	case tlvSystemName:
		n.Name = text(v)
	case tlvSystemText:
		n.Text = text(v)
	case tlvCapabilities:
		if len(v) >= 4 {
			n.Capabilities = capabilities(binary.BigEndian.Uint16(v[2:]))
		}
	case tlvManagement:
		n.manage(v)
	case tlvOrganization:
		n.organization(v)
	}
	return nil
}

// manage keeps a few addresses: an admin opens one of them.
func (n *Neighbour) manage(v []byte) {
	const most = 4
	if len(v) < 2 || len(v) < 1+int(v[0]) || v[0] < 2 || len(n.Management) >= most {
		return
	}
	if a, ok := netip.AddrFromSlice(v[2 : 1+int(v[0])]); ok {
		n.Management = append(n.Management, a)
	}
}

func (n *Neighbour) organization(v []byte) {
	if len(v) < 4 {
		return
	}
	oui, subtype, v := uint32(v[0])<<16|uint32(v[1])<<8|uint32(v[2]), v[3], v[4:]
	switch {
	case oui == dot1OUI && subtype == dot1PortID && len(v) >= 2:
		n.VLAN = binary.BigEndian.Uint16(v) & 0xfff
	case oui == medOUI:
		n.MED = true
		n.endpoint(subtype, v)
	}
}

func (n *Neighbour) endpoint(subtype byte, v []byte) {
	switch subtype {
	case medPolicy:
		if len(v) >= 4 && v[0] == medVoice {
			bits := uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3])
			n.Voice = &Policy{VLAN: uint16(bits >> 9 & 0xfff), Priority: uint8(bits >> 6 & 7), DSCP: uint8(bits & 63)}
		}
	case medFirmware, medSoftware:
		n.Firmware = text(v)
	case medSerial:
		n.Serial = text(v)
	case medMaker:
		n.Maker = text(v)
	case medModel:
		n.Model = text(v)
	case medHardware:
	}
}

// identifier is a MAC address, an address of a network, or text, by its subtype.
func identifier(v []byte, mac, address byte) string {
	switch {
	case v[0] == mac && len(v) == 7:
		return net.HardwareAddr(v[1:]).String()
	case v[0] == address:
		if a, ok := netip.AddrFromSlice(v[2:]); ok {
			return a.String()
		}
	}
	return text(v[1:])
}

// text is what a stranger wrote, without what could move a cursor.
func text(v []byte) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, string(v))
	return strings.TrimSpace(s)
}

func capabilities(bits uint16) (names []string) {
	for _, c := range []struct {
		bit  uint16
		name string
	}{{capBridge, "bridge"}, {capAccess, "access point"}, {capRouter, "router"}, {capTelephone, "telephone"}, {capStation, "station"}} {
		if bits&c.bit != 0 {
			names = append(names, c.name)
		}
	}
	return names
}

func (n Neighbour) String() string { return fmt.Sprintf("%s %s at %s", n.Name, n.Chassis, n.Port) }

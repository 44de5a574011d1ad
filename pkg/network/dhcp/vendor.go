package dhcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Options that phones ask for and that no RFC names so (RFC 3925 §4 came too late for them).
const (
	optTFTPAddresses = 150 // RFC 5859 §3
	optVoiceVLAN     = 132
	optVoicePriority = 133
	optSettingsURL   = 160
	optTextVLAN      = 128 // "VLAN-A=20;"
	optAvaya         = 242
)

// vendor is how the phones of one maker want to be told: their class begins with one of the
// prefixes, or their hardware address does.
type vendor struct {
	name     string
	classes  []string
	ouis     []string // lower case
	settings []uint8  // options that carry the address of the settings
	vlan     func(id uint16, priority uint8) map[uint8][]byte
	extra    func(s *Subnet) map[uint8][]byte
}

// vendors is data: a new maker is a new row. Sources: the makers' administrator guides.
func vendors() []vendor {
	return []vendor{
		{name: "Yealink", classes: []string{"yealink"}, ouis: []string{"80:5e:c0", "00:15:65", "24:9a:d8"}, vlan: textVLAN},
		{name: "Snom", classes: []string{"snom"}, ouis: []string{"00:04:13"}, vlan: textVLAN},
		{name: "Grandstream", classes: []string{"grandstream"}, ouis: []string{"00:0b:82", "c0:74:ad"}, vlan: textVLAN},
		{name: "Fanvil", classes: []string{"fanvil"}, ouis: []string{"0c:38:3e"}, vlan: textVLAN},
		{name: "Gigaset", classes: []string{"gigaset"}, ouis: []string{"7c:2f:80"}, vlan: textVLAN},
		{
			name: "Polycom", classes: []string{"polycom", "poly "}, ouis: []string{"00:04:f2", "64:16:7f", "48:25:67"},
			settings: []uint8{optSettingsURL}, vlan: polycomVLAN,
		},
		{name: "Cisco", classes: []string{"cisco systems, inc. ip phone"}, vlan: numberVLAN},
		{name: "Mitel", classes: []string{"ipphone.mitel.com"}, vlan: numberVLAN},
		{name: "Aastra", classes: []string{"aastraipphone", "aastra"}, ouis: []string{"00:08:5d"}, vlan: textVLAN},
		{name: "Avaya", classes: []string{"ccp.avaya.com"}, vlan: func(uint16, uint8) map[uint8][]byte { return nil }, extra: avaya},
		{name: "Linphone", classes: []string{"linphone"}, vlan: textVLAN},
	}
}

// vendorOf returns how a host wants to be told, and false for one of no maker that we know.
func vendorOf(class, mac string) (vendor, bool) {
	class = strings.ToLower(class)
	all := vendors()
	for _, v := range all {
		for _, prefix := range v.classes {
			if strings.HasPrefix(class, prefix) {
				return v, true
			}
		}
	}
	for _, v := range all {
		for _, oui := range v.ouis {
			if strings.HasPrefix(mac, oui+":") {
				return v, true
			}
		}
	}
	return vendor{vlan: textVLAN}, false
}

// textVLAN writes decimal text, as most phones read it.
func textVLAN(id uint16, priority uint8) map[uint8][]byte {
	return map[uint8][]byte{
		optVoiceVLAN: []byte(strconv.Itoa(int(id))), optVoicePriority: []byte(strconv.Itoa(int(priority))),
	}
}

// numberVLAN writes numbers of four bytes.
func numberVLAN(id uint16, priority uint8) map[uint8][]byte {
	return map[uint8][]byte{
		optVoiceVLAN:     binary.BigEndian.AppendUint32(nil, uint32(id)),
		optVoicePriority: binary.BigEndian.AppendUint32(nil, uint32(priority)),
	}
}

func polycomVLAN(id uint16, _ uint8) map[uint8][]byte {
	return map[uint8][]byte{optTextVLAN: fmt.Appendf(nil, "VLAN-A=%d;", id)}
}

// avaya phones take all in one text.
func avaya(s *Subnet) map[uint8][]byte {
	var parts []string
	if s.VoiceVLAN != 0 {
		parts = append(parts, "L2Q=1", fmt.Sprintf("L2QVLAN=%d", s.VoiceVLAN))
	}
	if s.Provision != "" {
		parts = append(parts, "HTTPSRVR="+hostOf(s.Provision))
	}
	if len(parts) == 0 {
		return nil
	}
	return map[uint8][]byte{optAvaya: []byte(strings.Join(parts, ","))}
}

func hostOf(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	host, _, _ := strings.Cut(url, "/")
	if ap, err := netip.ParseAddrPort(host); err == nil {
		return ap.Addr().String()
	}
	return host
}

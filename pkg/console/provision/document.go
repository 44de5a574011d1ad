package provision

import (
	"encoding/xml"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// The document is Linphone's remote provisioning (lpconfig): sections of entries, each of which
// replaces what the phone has.
type document struct {
	XMLName  xml.Name  `xml:"http://www.linphone.org/xsds/lpconfig.xsd config"`
	Sections []section `xml:"section"`
}

type section struct {
	Name    string  `xml:"name,attr"`
	Entries []entry `xml:"entry"`
}

type entry struct {
	Name      string `xml:"name,attr"`
	Overwrite bool   `xml:"overwrite,attr"`
	Value     string `xml:",chardata"`
}

func newSection(name string, pairs ...string) section {
	s := section{Name: name}
	for pair := range slices.Chunk(pairs, 2) {
		s.Entries = append(s.Entries, entry{Name: pair[0], Overwrite: true, Value: pair[1]})
	}
	return s
}

// expires is how often a phone says that it is there; behind NAT less often is too seldom.
const expires = "600"

// settings are what a phone needs.
type settings struct {
	User      ctl.User
	Login     string // of a phone with a secret of its own; "" when it has the user's
	Password  string // of such a phone
	HA1       string
	Domain    string
	Host      string // how the phone reached us, so how it reaches us again
	Transport string
	Port      uint16
	Files     string // address of the file server, "" for none
	CA        string // where the box's CA is, for phones that are told
}

// encode writes the document for one account. End-to-end encryption of chats (LIME) stays off: the
// enterprise keeps its messages. Media is encrypted where the keys travel under TLS.
func (s settings) encode() ([]byte, error) {
	proxy := fmt.Sprintf("sip:%s:%d;transport=%s", bracketed(s.Host), s.Port, s.Transport)
	media := "none"
	if s.Transport == "tls" {
		media = "srtp"
	}
	auth := newSection("auth_info_0", "username", s.User.Name, "ha1", s.HA1, "realm", s.Domain, "domain", s.Domain, "algorithm", "MD5")
	if s.Login != "" {
		auth.Entries = append(auth.Entries, entry{Name: "userid", Overwrite: true, Value: s.Login})
	}
	doc := document{Sections: []section{
		auth,
		newSection("proxy_0",
			"reg_proxy", "<"+proxy+">", "reg_route", "<"+proxy+";lr>",
			"reg_identity", fmt.Sprintf("%s<sip:%s@%s>", quoted(s.User.DisplayName), s.User.Name, s.Domain),
			"reg_expires", expires, "reg_sendregister", "1", "publish", "0", "realm", s.Domain, "lime_server_url", ""),
		newSection("sip", "default_proxy", "0", "media_encryption", media),
		newSection("lime", "enabled", "0"),
	}}
	if s.Files != "" {
		doc.Sections = append(doc.Sections, newSection("misc", "file_transfer_server_url", s.Files))
	}
	text, err := xml.MarshalIndent(doc, "", " ")
	return append([]byte(xml.Header), text...), err
}

// quoted writes a display name as a quoted string (RFC 3261 §25.1), with a space behind it.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean) + `" `
}

func bracketed(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

// hostOf returns the host of an HTTP Host header, and false for one that is no host.
func hostOf(header string) (string, bool) {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.Trim(header, "[]")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, true
	}
	ok := host != "" && len(host) < 254
	for _, r := range host {
		ok = ok && (r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	return host, ok
}

// listener picks the port that a phone is sent to: of the transport asked for, or the safest.
func listener(open []ctl.Listener, transport string) (ctl.Listener, bool) {
	for _, t := range []string{"tls", "tcp", "udp"} {
		for _, l := range open {
			if l.Transport == t && (transport == "" || transport == t) {
				return l, true
			}
		}
	}
	return ctl.Listener{}, false
}

package provision

import (
	"encoding/xml"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// form is the shape of a file's name, which tells makers' phones apart.
type form int

// The names that desk phones ask for, m being the hardware address.
const (
	formNone   form = iota
	formXML         // m.xml
	formCfg         // m.cfg
	formCfgXML      // cfgm.xml
	formReg         // m-reg.cfg, which our m.cfg for Polycom names
)

// fileOf reads the name of a file that a desk phone asks for.
func fileOf(name string) (mac string, f form) {
	name = strings.ToLower(name)
	for _, c := range []struct {
		prefix, suffix string
		form           form
	}{{"cfg", ".xml", formCfgXML}, {"", "-reg.cfg", formReg}, {"", ".cfg", formCfg}, {"", ".xml", formXML}} {
		bare, ok := strings.CutPrefix(name, c.prefix)
		if bare, ok = cutSuffix(bare, c.suffix, ok); ok && isBareMAC(bare) {
			return normalMAC(bare), c.form
		}
	}
	return "", formNone
}

func cutSuffix(text, suffix string, ok bool) (string, bool) {
	cut, has := strings.CutSuffix(text, suffix)
	return cut, ok && has
}

// maker is how the phones of one maker are told their settings.
type maker struct {
	name   string
	file   form // that has the secret
	media  string
	encode func(settings) ([]byte, error)
}

// makers is data: a new maker is a new row. Sources: the makers' administrator guides.
func makers() []maker {
	const asXML, asText = "application/xml; charset=utf-8", "text/plain; charset=utf-8"
	return []maker{
		{"linphone", formXML, asXML, settings.encode},
		{"yealink", formCfg, asText, settings.yealink},
		{"grandstream", formCfgXML, asXML, settings.grandstream},
		{"polycom", formReg, asXML, settings.polycom},
		{"snom", formXML, asXML, settings.snom},
	}
}

func makerNames() (names []string) {
	for _, m := range makers() {
		names = append(names, m.name)
	}
	return names
}

func makerOf(name string) (maker, bool) {
	all := makers()
	at := slices.IndexFunc(all, func(m maker) bool { return m.name == name })
	if at < 0 {
		return maker{}, false
	}
	return all[at], true
}

// guess tells the maker of a phone by what it asks for and calls itself.
func guess(f form, agent string) string {
	agent = strings.ToLower(agent)
	switch {
	case f == formCfgXML:
		return "grandstream"
	case f == formReg, f == formCfg && strings.Contains(agent, "poly"):
		return "polycom"
	case f == formCfg:
		return "yealink"
	case strings.Contains(agent, "snom"):
		return "snom"
	}
	return "linphone"
}

// number writes a transport as Yealink and Grandstream do.
func (s settings) number() string {
	return strconv.Itoa(max(0, slices.Index([]string{"udp", "tcp", "tls"}, s.Transport)))
}

// flag is 1 where the way of the signalling keeps keys of media secret.
func (s settings) flag() string {
	if s.Transport == "tls" {
		return "1"
	}
	return "0"
}

func (s settings) proxy() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// shown is what the phone's display says.
func (s settings) shown() string {
	if name := oneLine(s.User.DisplayName); name != "" {
		return name
	}
	return s.User.Name
}

// oneLine leaves out what would begin another line.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text))
}

func (s settings) yealink() ([]byte, error) {
	var b strings.Builder
	b.WriteString("#!version:1.0.0.1\n")
	line := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, value) }
	if s.CA != "" && s.Transport == "tls" {
		line("static.trusted_certificates.url", s.CA)
	}
	for _, e := range [][2]string{
		{"enable", "1"},
		{"label", s.shown()},
		{"display_name", s.shown()},
		{"user_name", s.User.Name},
		{"auth_name", s.Login},
		{"password", s.Password},
		{"sip_server.1.address", s.Domain},
		{"sip_server.1.port", strconv.Itoa(int(s.Port))},
		{"sip_server.1.transport_type", s.number()},
		{"sip_server.1.expires", expires},
		{"outbound_proxy_enable", "1"},
		{"outbound_proxy.1.address", s.Host},
		{"outbound_proxy.1.port", strconv.Itoa(int(s.Port))},
		{"srtp_encryption", s.flag()},
	} {
		line("account.1."+e[0], e[1])
	}
	return []byte(b.String()), nil
}

// element is one of an XML document whose names are data.
type element struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Inner   []element
}

func elem(name, text string, inner ...element) element {
	return element{XMLName: xml.Name{Local: name}, Text: text, Inner: inner}
}

func (e element) with(pairs ...string) element {
	for pair := range slices.Chunk(pairs, 2) {
		e.Attrs = append(e.Attrs, xml.Attr{Name: xml.Name{Local: pair[0]}, Value: pair[1]})
	}
	return e
}

func (e element) document() ([]byte, error) {
	text, err := xml.MarshalIndent(e, "", " ")
	return append([]byte(xml.Header), text...), err
}

// grandstream: parameters have numbers.
func (s settings) grandstream() ([]byte, error) {
	const registerMinutes = "10"
	var all []element
	for pair := range slices.Chunk([]string{
		"P271", "1", "P270", s.shown(), "P3", s.shown(), "P47", s.Domain, "P48", s.proxy(), "P35", s.User.Name, "P36", s.Login, "P34", s.Password,
		"P130", s.number(), "P32", registerMinutes, "P183", s.flag(),
	}, 2) {
		all = append(all, elem(pair[0], pair[1]))
	}
	return elem("gs_provision", "", elem("config", "", all...).with("version", "1")).with("version", "1").document()
}

// polycomMaster names the file that has the settings: what a Polycom phone asks for first can hold none.
func polycomMaster() ([]byte, error) {
	return elem("APPLICATION", "").with("APP_FILE_PATH", "", "CONFIG_FILES", "[PHONE_MAC_ADDRESS]-reg.cfg").document()
}

func (s settings) polycom() ([]byte, error) {
	transport := map[string]string{"udp": "UDPOnly", "tcp": "TCPOnly", "tls": "TLS"}[s.Transport]
	port := strconv.Itoa(int(s.Port))
	reg := elem("reg", "").with(
		"reg.1.address", s.User.Name, "reg.1.label", s.shown(), "reg.1.displayName", s.shown(), "reg.1.auth.userId", s.Login, "reg.1.auth.password", s.Password,
		"reg.1.server.1.address", s.Domain, "reg.1.server.1.port", port, "reg.1.server.1.transport", transport, "reg.1.server.1.expires", expires,
		"reg.1.outboundProxy.address", s.Host, "reg.1.outboundProxy.port", port, "reg.1.outboundProxy.transport", transport)
	srtp := elem("sec", "").with("sec.srtp.offer", s.flag())
	return elem("polycomConfig", "", reg, srtp).document()
}

func (s settings) snom() ([]byte, error) {
	var all []element
	for pair := range slices.Chunk([]string{
		"user_active", "on", "user_realname", s.shown(), "user_name", s.User.Name, "user_pname", s.Login, "user_pass", s.Password, "user_host", s.Domain,
		"user_outbound", s.proxy() + ";transport=" + s.Transport, "user_expiry", expires, "user_srtp", map[string]string{"1": "on", "0": "off"}[s.flag()],
	}, 2) {
		all = append(all, elem(pair[0], pair[1]).with("idx", "1", "perm", ""))
	}
	return elem("settings", "", elem("phone-settings", "", all...)).document()
}

package capture

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// SIP is one SIP message as tshark reads it.
type SIP struct {
	Src, Dst netip.Addr
	Frame    int
	Method   string // of a request
	Target   string // its Request-URI
	Code     int    // of a response
	CSeq     string // "1 INVITE"
	CallID   string
	Contact  string
	Body     string // SDP lines
}

func (m SIP) String() string {
	if m.Code != 0 {
		return fmt.Sprintf("%d %s > %s: %d of %s (%s)", m.Frame, m.Src, m.Dst, m.Code, m.CSeq, m.CallID)
	}
	return fmt.Sprintf("%d %s > %s: %s %s, %s (%s)", m.Frame, m.Src, m.Dst, m.Method, m.Target, m.CSeq, m.CallID)
}

// Tshark decodes what was captured until now: the fields of each packet that the filter selects.
// Values of a field that stands several times are joined by a line feed.
func (c *Capture) Tshark(filter string, fields ...string) (rows [][]string) {
	c.t.Helper()
	return c.TsharkWith(nil, filter, fields...)
}

// TsharkWith is Tshark with preferences, for instance "udp.check_checksum:TRUE".
func (c *Capture) TsharkWith(preferences []string, filter string, fields ...string) (rows [][]string) {
	c.t.Helper()
	netlab.Need(c.t, "tshark", "tshark")
	file := filepath.Join(c.dir, "capture.pcap")
	if err := c.WriteFile(file); err != nil {
		c.t.Fatal(err)
	}
	args := []string{"-r", file, "-n", "-Y", filter, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=\x01"}
	for _, p := range preferences {
		args = append(args, "-o", p)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(c.t.Context(), "tshark", args...).Output()
	if err != nil {
		c.t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\x01", "\n"), "\t"))
	}
	return rows
}

// SIP returns all SIP messages, in their order. Retransmissions are among them.
func (c *Capture) SIP() (all []SIP) {
	c.t.Helper()
	rows := c.Tshark("sip", "frame.number", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "sip.Method", "sip.r-uri",
		"sip.Status-Code", "sip.CSeq", "sip.Call-ID", "sip.Contact", "sdp.connection_info", "sdp.media", "sdp.media_attr", "sdp.owner")
	for _, r := range rows {
		m := SIP{Method: r[5], Target: r[6], CSeq: r[8], CallID: r[9], Contact: r[10], Body: strings.Join(r[11:], "\n")}
		m.Frame, _ = strconv.Atoi(r[0]) // tshark wrote it
		m.Code, _ = strconv.Atoi(r[7])  // empty in a request
		m.Src, _ = netip.ParseAddr(r[1] + r[3])
		m.Dst, _ = netip.ParseAddr(r[2] + r[4])
		all = append(all, m)
	}
	return all
}

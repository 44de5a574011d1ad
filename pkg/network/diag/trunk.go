package diag

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// SIP over UDP: a lost datagram is sent again (RFC 3261 §17.1.2.1, Timer E begins at half a second).
const (
	sipPort   = 5060
	sipTries  = 3
	sipResend = 500 * time.Millisecond
)

// trunk asks whether a provider answers SIP.
type trunk struct {
	to    string
	names namer
}

// splitTrunk reads "host", "host:port", "address" or "[address]:port".
func splitTrunk(text string) (host string, port uint16, err error) {
	wrong := problem.Fields("diagnose", []problem.Fault{{
		Path: "trunk", Value: text, Rule: "is a name or an address, and perhaps a port", Cure: "write it as sip.provider.example or 192.0.2.1:5060",
	}})
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return a.String(), sipPort, nil
	}
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		host, number = text, strconv.Itoa(sipPort)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || !hostname(host) {
		return "", 0, wrong
	}
	return host, uint16(n), nil
}

func hostname(text string) bool {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Zone() == "" // whose text may be anything
	}
	bad := strings.ContainsFunc(text, func(r rune) bool {
		return !(r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
	return !bad && text != "" && len(text) < 254
}

// CheckTrunk reports what is wrong with the name of a trunk.
func CheckTrunk(text string) error {
	_, _, err := splitTrunk(text)
	return err
}

func (t trunk) check(ctx context.Context) finding {
	host, port, err := splitTrunk(t.to)
	if err != nil {
		return failed("its name cannot be read", "write it as sip.provider.example or 192.0.2.1:5060")
	}
	addrs, err := t.names.lookup(ctx, host)
	if err != nil {
		return failed(host+": "+err.Error(), "compare the name with what the provider wrote")
	}
	to := netip.AddrPortFrom(addrs[0], port)
	start := time.Now()
	line, err := options(ctx, host, to)
	if err != nil {
		return failed(fmt.Sprintf("%s does not answer SIP over UDP: %s", to, plain(err)), "ask the provider whether our address is allowed; look whether a firewall forbids SIP")
	}
	return well(fmt.Sprintf("%s answers %q after %s", to, line, rounded(time.Since(start))))
}

// options asks by OPTIONS (RFC 3261 §11), and returns the first line of the answer, whatever it says:
// who refuses is there.
func options(ctx context.Context, host string, to netip.AddrPort) (string, error) {
	c, err := new(net.Dialer).DialContext(ctx, "udp", to.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // the reader ends
	defer stop()
	branch := fmt.Sprintf("z9hG4bK%016x", rand.Uint64()) // RFC 3261 §8.1.1.7
	ask := optionsRequest(host, c.LocalAddr().String(), branch)
	buf := make([]byte, 4096)
	for range sipTries {
		if _, err = c.Write(ask); err != nil {
			return "", err
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * sipResend)) // it cannot fail
		var n int
		for n, err = c.Read(buf); err == nil; n, err = c.Read(buf) {
			if line, ok := answerLine(buf[:n], branch); ok {
				return line, nil
			}
		}
	}
	return "", err
}

func optionsRequest(host, local, branch string) []byte {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Appendf(nil, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:diagnosis@%s>;tag=%s\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContact: <sip:diagnosis@%s>\r\nContent-Length: 0\r\n\r\n",
		host, local, branch, local, branch[7:15], host, branch[7:], local)
}

// answerLine returns the status of a response to our request.
func answerLine(b []byte, branch string) (string, bool) {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	status, ok := bytes.CutPrefix(line, []byte("SIP/2.0 "))
	if !ok || !bytes.Contains(b, []byte(branch)) {
		return "", false
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(status[:min(len(status), 60)])), true
}

package exchange

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// URL is where the server is for a phone that reached the box at host, with its port.
func (x *Exchange) URL(host string) string {
	if p, _ := x.policy.Load(); p.Host != "" {
		host = p.Host
	}
	return "https://" + host + Path
}

// Server is the same, and "" when files are switched off: then a phone must not try.
func (x *Exchange) Server(host string) string {
	if p, _ := x.policy.Load(); !p.Enabled || !validHost(host) {
		return ""
	}
	return x.URL(host)
}

// reachedAt returns the host by which a request came, which others are told: it must be one.
func reachedAt(r *http.Request) (string, error) {
	if !validHost(r.Host) {
		return "", problem.New(problem.Invalid, "file.host", "the Host header is no host", "send the address of the server as it was given")
	}
	return r.Host, nil
}

// validHost reports whether text is a host name or an address, with or without a port.
func validHost(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, "443"
		if inner, ok := strings.CutPrefix(text, "["); ok {
			host = strings.TrimSuffix(inner, "]")
		} else if strings.Contains(text, ":") {
			return false // an IPv6 address without brackets is no host of a URL
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == "" && (a.Is4() || strings.HasPrefix(text, "["))
	}
	ok := host != "" && len(host) < 254
	for _, c := range host {
		ok = ok && (c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	return ok
}

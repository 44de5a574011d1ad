package hooks

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Events lists those that a hook can ask for.
func Events() []string { return []string{ctl.HookNew, ctl.HookStatus, ctl.HookReceipt} }

// Limits of a hook. They keep the document small and its owner out of slips.
const (
	maxHooks = 16
	maxName  = 64
	maxURL   = 2000
	maxUsers = 100
	maxCA    = 64 << 10
)

// tidied returns the spec as it is kept.
func tidied(s ctl.HookSpec) ctl.HookSpec {
	s.Name, s.URL, s.CA = strings.TrimSpace(s.Name), strings.TrimSpace(s.URL), strings.TrimSpace(s.CA)
	s.Events = slices.Clone(s.Events)
	slices.Sort(s.Events)
	s.Events = slices.Compact(s.Events)
	users := []string{}
	for _, u := range s.Users {
		if u = strings.TrimSpace(u); u != "" && !slices.Contains(users, u) {
			users = append(users, u)
		}
	}
	s.Users = users
	return s
}

// faultsOf returns all that is wrong with a spec.
func faultsOf(s *ctl.HookSpec) (faults []problem.Fault) {
	bad := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	if s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, unicode.IsControl) {
		bad("name", s.Name, fmt.Sprintf("1 to %d characters in one line", maxName), "give it a short name")
	}
	if rule, cure := urlFault(s.URL); rule != "" {
		bad("url", shownURL(s.URL), rule, cure)
	}
	if len(s.Events) == 0 {
		bad("events", "", "at least one event", "choose what it is told of")
	}
	for _, e := range s.Events {
		if !slices.Contains(Events(), e) {
			bad("events", e, "one of "+strings.Join(Events(), ", "), "choose one of them")
		}
	}
	if len(s.Users) > maxUsers {
		bad("users", fmt.Sprint(len(s.Users)), fmt.Sprintf("at most %d users", maxUsers), "name none to be told of all")
	}
	if s.Takes && len(s.Users) == 0 {
		bad("users", "", "at least one user for a hook that takes messages in the place of phones", "name those who have no phones")
	}
	if s.Takes && len(s.Events) > 0 && !slices.Contains(s.Events, ctl.HookNew) {
		bad("events", strings.Join(s.Events, ", "), "with "+ctl.HookNew+" for a hook that takes messages in the place of phones", "add it")
	}
	if _, err := pool(s.CA); err != nil {
		bad("ca", "", err.Error(), "paste the certificate of the authority, with its BEGIN and END lines")
	}
	return faults
}

// urlFault says what is wrong with a target as far as its text tells; what its name stands for is seen
// with each connection.
func urlFault(text string) (rule, cure string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("a web address of at most %d characters", maxURL), "correct it"
	case u.Scheme != "https" || u.Hostname() == "":
		return "an address that begins with https:// and a name", "give the target a certificate: what users write does not go through the network in clear"
	case u.User != nil:
		return "no name and password in the address", "let the target verify the signature instead"
	case u.Fragment != "":
		return "nothing behind a #", "leave it out"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return "a port from 1 to 65535", "correct the port"
		}
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := allowed(a, nil); err != nil {
			return "not the box itself, and not an address that is valid on one link only", "give the target an address of its own"
		}
	}
	return "", ""
}

// shownURL is a target as logs may have it: paths and queries can hold secrets.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// pool reads certificates, nil for none.
func pool(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxCA {
		return nil, fmt.Errorf("at most %d bytes of certificates", maxCA)
	}
	p := x509.NewCertPool()
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if n == 0 || strings.TrimSpace(string(rest)) != "" {
				return nil, fmt.Errorf("certificates in PEM and nothing else")
			}
			return p, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("certificates only, not %q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificates that can be read")
		}
		p.AddCert(c)
	}
}

// about reports whether a hook is told of what is between these users.
func about(s *ctl.HookSpec, sender, recipient string) bool {
	return len(s.Users) == 0 || names(s, sender) || names(s, recipient)
}

// names reports whether a hook names a user.
func names(s *ctl.HookSpec, user string) bool {
	return slices.ContainsFunc(s.Users, func(u string) bool { return strings.EqualFold(u, user) })
}

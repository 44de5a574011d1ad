// Package capture records packets of a link, as a file that Wireshark opens. What is recorded is
// chosen in the kernel by a small language of filters.
package capture

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// maxTerms bounds a filter: the kernel runs it for every packet.
const maxTerms = 32

// maxText bounds what is read, and with it how deep brackets go.
const maxText = 500

// node is a part of a filter: a term, or what binds two.
type node struct {
	op          string // "and", "or", "not", "term"
	left, right *node
	term        term
}

// term is one question about a packet.
type term struct {
	kind   string // "proto", "net", "port"
	side   string // "", "src", "dst"
	proto  string
	net    netip.Prefix
	lo, hi uint16
}

// Help says what a filter may be.
const Help = "protocols (ip, ip6, arp, icmp, icmp6, tcp, udp, sip, dns, dhcp, ntp), host ADDRESS, net PREFIX, port N, portrange N-M, " +
	"src or dst before them, joined by and, or, not and brackets"

// parser reads words from left to right.
type parser struct {
	words []string
	at    int
	terms int
}

// parse reads a filter; "" lets everything through.
func parse(text string) (*node, error) {
	if len(text) > maxText {
		return nil, fault(text[:40]+"...", fmt.Sprintf("has at most %d characters", maxText))
	}
	p := &parser{words: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(strings.ToLower(text)))}
	if len(p.words) == 0 {
		return nil, nil
	}
	n, err := p.either()
	if err == nil && p.at < len(p.words) {
		err = fault(p.words[p.at], "is a word that fits here")
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

// fault says what of the filter is wrong.
func fault(value, rule string) error {
	return problem.Fields("capture.filter", []problem.Fault{{Path: "filter", Value: value, Rule: rule, Cure: "use " + Help}})
}

func (p *parser) next() string {
	if p.at == len(p.words) {
		return ""
	}
	p.at++
	return p.words[p.at-1]
}

func (p *parser) accept(word string) bool {
	if p.at < len(p.words) && p.words[p.at] == word {
		p.at++
		return true
	}
	return false
}

func (p *parser) either() (*node, error) {
	n, err := p.both()
	for err == nil && p.accept("or") {
		var right *node
		right, err = p.both()
		n = &node{op: "or", left: n, right: right}
	}
	return n, err
}

func (p *parser) both() (*node, error) {
	n, err := p.one()
	for err == nil && p.accept("and") {
		var right *node
		right, err = p.one()
		n = &node{op: "and", left: n, right: right}
	}
	return n, err
}

func (p *parser) one() (*node, error) {
	switch {
	case p.accept("not"):
		n, err := p.one()
		return &node{op: "not", left: n}, err
	case p.accept("("):
		n, err := p.either()
		if err == nil && !p.accept(")") {
			err = fault(p.next(), "closes its bracket")
		}
		return n, err
	}
	return p.term()
}

func (p *parser) term() (*node, error) {
	if p.terms++; p.terms > maxTerms {
		return nil, fault("", fmt.Sprintf("has at most %d terms", maxTerms))
	}
	var t term
	if p.accept("src") {
		t.side = "src"
	} else if p.accept("dst") {
		t.side = "dst"
	}
	word := p.next()
	switch word {
	case "host", "net":
		return p.address(t, word)
	case "port", "portrange":
		return p.ports(t, word)
	}
	if t.side != "" {
		return nil, fault(t.side+" "+word, "is host, net, port or portrange after src or dst")
	}
	return named(word)
}

// named are the protocols, and services by their ports.
func named(word string) (*node, error) {
	switch word {
	case "ip", "ip6", "arp", "icmp", "icmp6", "tcp", "udp":
		return &node{op: "term", term: term{kind: "proto", proto: word}}, nil
	}
	services := map[string]term{
		"sip": {kind: "port", lo: 5060, hi: 5061}, "dns": {kind: "port", lo: 53, hi: 53},
		"dhcp": {kind: "port", lo: 67, hi: 68}, "ntp": {kind: "port", lo: 123, hi: 123},
	}
	if t, ok := services[word]; ok {
		return &node{op: "term", term: t}, nil
	}
	return nil, fault(word, "is a word that is known")
}

func (p *parser) address(t term, word string) (*node, error) {
	text := p.next()
	t.kind = "net"
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		t.net = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	} else if n, err := netip.ParsePrefix(text); err == nil && word == "net" && !n.Addr().Is4In6() {
		t.net = n.Masked()
	} else {
		return nil, fault(word+" "+text, "is an address, or with net a prefix")
	}
	return &node{op: "term", term: t}, nil
}

func (p *parser) ports(t term, word string) (*node, error) {
	text := p.next()
	from, to, two := strings.Cut(text, "-")
	if !two {
		to = from
	}
	lo, err1 := strconv.ParseUint(from, 10, 16)
	hi, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || lo == 0 || hi < lo || two != (word == "portrange") {
		return nil, fault(word+" "+text, "is a port from 1 to 65535, or with portrange two, the lower first")
	}
	t.kind, t.lo, t.hi = "port", uint16(lo), uint16(hi)
	return &node{op: "term", term: t}, nil
}

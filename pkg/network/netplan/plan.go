package netplan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Act is what a step does.
type Act string

// The acts.
const (
	AddLink     Act = "add link"
	TakeLink    Act = "take link" // it exists; from now on it is ours
	RemoveLink  Act = "remove link"
	Release     Act = "release" // a port that is no longer ours: down and unmarked
	SetMaster   Act = "set master"
	SetMTU      Act = "set mtu"
	SetUp       Act = "set up"
	SetDown     Act = "set down"
	SetSTP      Act = "set stp"
	AddAddr     Act = "add address"
	RemoveAddr  Act = "remove address"
	AddRoute    Act = "add route"
	RemoveRoute Act = "remove route"
	AddRule     Act = "add rule"
	RemoveRule  Act = "remove rule"
	SetTunnel   Act = "set tunnel"
	SetQueue    Act = "set queue"
	RemoveQueue Act = "remove queue"
	Set         Act = "set" // settings of the kernel
)

// Step is one change. Only what the act is about is set.
type Step struct {
	Act      Act
	Link     Link // as it is to be
	Was      Link // as it is
	Addr     Addr
	Route    Route
	Rule     Rule
	Tunnel   Tunnel
	Queue    Queue
	Settings []Setting
	Cuts     bool // the one who asked is connected through what it changes
}

// Setting is a switch of the kernel.
type Setting struct{ Path, Value, Was string }

// Plan is how the kernel gets from one state to another.
type Plan struct {
	Steps   []Step
	Waiting []string // what cannot be done yet, for want of a port
	Blocked []string // what cannot be done: somebody else's thing has the name
	Foreign []string // what others made; it is left alone
}

// Make returns the steps from have to want. When nothing differs there are none.
func Make(want, have State) Plan {
	p := &planner{want: want, have: have, gone: map[string]bool{}, absent: map[string]bool{}}
	p.findAbsent()
	p.findGone()
	p.globalSettings()
	p.removeRules()
	p.removeQueues()
	p.moveAddrs()
	p.removeLinks()
	p.makeLinks()
	p.addresses()
	p.releasePorts()
	p.routes()
	p.addRules()
	p.tunnels()
	p.addQueues()
	p.listForeign()
	return p.Plan
}

type planner struct {
	Plan
	want, have State
	gone       map[string]bool // links that are removed or made anew
	absent     map[string]bool // links that wait or are blocked, with what is on them
}

func (p *planner) step(s Step) { p.Steps = append(p.Steps, s) }

func (p *planner) blocked(format string, args ...any) {
	p.Blocked = append(p.Blocked, fmt.Sprintf(format, args...))
}

func byName(links []Link, name string) (Link, bool) {
	if i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name }); i >= 0 {
		return links[i], true
	}
	return Link{}, false
}

// kept returns a link as it is, if it is to stay.
func (p *planner) kept(name string) (Link, bool) {
	l, ok := byName(p.have.Links, name)
	return l, ok && !p.gone[name]
}

// settings returns those of one link, or with "" those of no link, that are not as wanted.
func (p *planner) settings(link string) (changed []Setting) {
	for _, path := range slices.Sorted(maps.Keys(p.want.Settings)) {
		if linkOf(path) != link {
			continue
		}
		was, value := p.have.Settings[path], p.want.Settings[path]
		if _, stays := p.kept(link); link != "" && !stays {
			was = ""
		}
		if was != value {
			changed = append(changed, Setting{path, value, was})
		}
	}
	return changed
}

// linkOf returns the link that a setting is of: "ipv4/conf/eth0/rp_filter".
func linkOf(path string) string {
	if parts := strings.Split(path, "/"); len(parts) == 4 && parts[1] == "conf" && parts[2] != "all" {
		return parts[2]
	}
	return ""
}

func (p *planner) globalSettings() {
	if s := p.settings(""); len(s) > 0 {
		p.step(Step{Act: Set, Settings: s})
	}
}

func (p *planner) removeRules() {
	for _, r := range p.have.Rules {
		if r.ours() && !slices.Contains(p.want.Rules, r) {
			p.step(Step{Act: RemoveRule, Rule: r})
		}
	}
}

func (p *planner) addRules() {
	for _, r := range p.want.Rules {
		if !slices.Contains(p.have.Rules, r) {
			p.step(Step{Act: AddRule, Rule: r})
		}
	}
}

func (p *planner) removeQueues() {
	for _, q := range p.have.Queues {
		_, stays := p.kept(q.Link)
		if (stays || q.From != "") && !slices.ContainsFunc(p.want.Queues, func(w Queue) bool { return w.Link == q.Link }) {
			p.step(Step{Act: RemoveQueue, Queue: q})
		}
	}
}

func (p *planner) addQueues() {
	for _, q := range p.want.Queues {
		if !p.absent[q.Link] && !p.absent[q.From] && (p.gone[q.Link] || p.gone[q.From] || !slices.Contains(p.have.Queues, q)) {
			p.step(Step{Act: SetQueue, Queue: q})
		}
	}
}

func (p *planner) tunnels() {
	for _, t := range p.want.Tunnels {
		i := slices.IndexFunc(p.have.Tunnels, func(h Tunnel) bool { return h.Link == t.Link })
		link, stays := p.kept(t.Link)
		wanted, _ := byName(p.want.Links, t.Link)
		same := stays && i >= 0 && link.Alias == wanted.Alias && sameTunnel(p.have.Tunnels[i], t)
		if !same && !p.absent[t.Link] {
			p.step(Step{Act: SetTunnel, Link: wanted, Tunnel: t})
		}
	}
}

func sameTunnel(a, b Tunnel) bool {
	return a.ListenPort == b.ListenPort && a.Keyed == b.Keyed && slices.EqualFunc(a.Peers, b.Peers, func(x, y Peer) bool {
		return x.PublicKey == y.PublicKey && x.KeepaliveSeconds == y.KeepaliveSeconds && x.Preshared == y.Preshared && slices.Equal(x.Allowed, y.Allowed)
	})
}

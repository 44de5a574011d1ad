package netcfg

import (
	"fmt"
	"strings"
)

// reserved are links that are the kernel's or made for other ends; "ifb" names are the shaper's.
func reserved(name string) bool {
	return name == "lo" || name == "all" || name == "default" || strings.HasPrefix(name, "ifb")
}

// add puts a link on the list.
func (c *checker) add(path, name, kind string, mtu int) {
	switch first, twice := c.links[name]; {
	case !linkName.MatchString(name) || reserved(name):
		c.fault(path+".name", name, "is a letter and up to 14 letters, digits, dots, underscores and hyphens, and no name of the kernel's",
			`choose a name such as "eth0" or "br0"`)
		return
	case twice:
		c.fault(path+".name", name, "is not that of "+first.path, "choose another name")
		return
	}
	c.between(path+".mtu", mtu, minMTU, maxMTU)
	c.links[name] = link{path: path, kind: kind, mtu: or(mtu, DefaultMTU)}
}

func (c *checker) checkLinks() {
	for i, p := range c.doc.Ports {
		c.add(at("ports", i), p.Name, "port", p.MTU)
	}
	for i, b := range c.doc.Bonds {
		c.add(at("bonds", i), b.Name, "bond", b.MTU)
		oneOf(c, at("bonds", i)+".mode", b.ModeOr(), ActiveBackup, LACP, BalanceXOR)
		c.between(at("bonds", i)+".monitorMillis", b.MonitorMillis, 10, 10000)
		if len(b.Members) == 0 {
			c.fault(at("bonds", i)+".members", "", "has one port at least", "name the ports that work as one")
		}
	}
	for i, b := range c.doc.Bridges {
		c.add(at("bridges", i), b.Name, "bridge", b.MTU)
	}
	for i, v := range c.doc.VLANs {
		c.add(at("vlans", i), v.NameOr(), "vlan", v.MTU)
	}
	for i, w := range c.doc.WireGuard {
		c.add(at("wireguard", i), w.Name, "tunnel", w.MTUOr())
	}
	c.checkVLANs()
	for i, b := range c.doc.Bonds {
		c.members(at("bonds", i), b.Name, b.Members, b.MTU, "port")
	}
	for i, b := range c.doc.Bridges {
		c.members(at("bridges", i), b.Name, b.Members, b.MTU, "port", "bond", "vlan")
	}
	c.checkLoops()
}

// members reports members that are missing, of a wrong kind, in two groups, or too small.
func (c *checker) members(path, master string, members []string, mtu int, kinds ...string) {
	for i, name := range members {
		where := at(path+".members", i)
		m, ok := c.links[name]
		switch {
		case !ok:
			c.fault(where, name, "is a link of this document", "name a port, or add it to ports")
			continue
		case !strings.Contains(strings.Join(kinds, " "), m.kind):
			c.fault(where, name, "is a "+strings.Join(kinds, " or a ")+", not a "+m.kind, "remove it")
			continue
		case m.master != "":
			c.fault(where, name, "is a member of one bond or bridge only, and is one of "+m.master, "remove it here or there")
			continue
		case m.mtu < or(mtu, DefaultMTU):
			c.fault(where, name, fmt.Sprintf("carries what %s does: its MTU is %d, that of %s %d", master, m.mtu, master, or(mtu, DefaultMTU)),
				"give both the same MTU")
		}
		m.master = master
		c.links[name] = m
	}
}

func (c *checker) checkVLANs() {
	seen := map[string]int{}
	for i, v := range c.doc.VLANs {
		path := at("vlans", i)
		if v.ID < 1 || v.ID > 4094 {
			c.fault(path+".id", v.ID, "is from 1 to 4094", "choose the number that the switch uses")
		}
		if v.Protocol != "" && v.Protocol != "802.1Q" {
			c.fault(path+".protocol", v.Protocol, "is 802.1Q: the box ends no provider's tag (QinQ)",
				"let the switch take the outer tag off, and leave this out")
		}
		key := fmt.Sprintf("%s.%d", v.Parent, v.ID)
		if first, twice := seen[key]; twice {
			c.fault(path+".id", v.ID, "is not that of "+at("vlans", first)+" on the same parent", "choose another number")
		}
		seen[key] = i
		c.checkParent(path, v)
	}
}

func (c *checker) checkParent(path string, v VLAN) {
	parent, ok := c.links[v.Parent]
	switch {
	case !ok:
		c.fault(path+".parent", v.Parent, "is a port, bond or bridge of this document", "name one, or add it")
	case parent.kind == "vlan":
		c.fault(path+".parent", v.Parent, "is not itself a VLAN: a tag in a tag (QinQ) costs 4 bytes of MTU on every path, many network cards do not offload it, "+
			"and phones and switches of an office do not speak it", "make it a VLAN of "+v.Parent+"'s parent")
	case parent.kind == "tunnel":
		c.fault(path+".parent", v.Parent, "carries Ethernet frames, and a tunnel carries IP only", "name a port, bond or bridge")
	case parent.mtu < or(v.MTU, DefaultMTU):
		c.fault(path+".mtu", or(v.MTU, DefaultMTU), fmt.Sprintf("is at most that of %s, which is %d", v.Parent, parent.mtu), "lower it, or raise the parent's")
	}
}

// checkLoops reports a bridge that holds a VLAN of itself: frames would go round.
func (c *checker) checkLoops() {
	for i, v := range c.doc.VLANs {
		for up, steps := v.Parent, 0; up != "" && steps < len(c.links); steps++ {
			if master := c.links[v.NameOr()].master; master != "" && master == up {
				c.fault(at("vlans", i)+".parent", v.Parent, "is not above the bridge that this VLAN is a member of", "take the VLAN out of "+up)
				break
			}
			up = c.links[up].master
		}
	}
	for i, v := range c.doc.VLANs {
		if p, ok := c.links[v.Parent]; ok && p.master != "" && c.links[p.master].kind == "bond" {
			c.fault(at("vlans", i)+".parent", v.Parent, "is not a member of "+p.master+", which takes every frame of it", "make it a VLAN of "+p.master)
		}
	}
}

// Package netapply carries the steps of a plan out in the kernel, and reads back what the kernel holds.
package netapply

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// procNet is where the kernel's switches are.
const procNet = "/proc/sys/net/"

// Kernel is the kernel of the network namespace that the program is in.
type Kernel struct {
	keys *Keys
	log  *slog.Logger
}

// NewKernel returns the kernel. Tunnels take their secret keys from keys.
func NewKernel(keys *Keys, log *slog.Logger) *Kernel { return &Kernel{keys: keys, log: log} }

// HasIPv6 reports whether the kernel has IPv6.
func (k *Kernel) HasIPv6() bool {
	_, err := os.Stat(procNet + "ipv6")
	return err == nil
}

// Do carries out one step. What is there already, or gone already, is no error. The document is that
// which the step comes from.
func (k *Kernel) Do(s netplan.Step, doc netcfg.Document) error {
	err := k.do(s, doc)
	switch {
	case err == nil:
		k.log.Info("network step done", "step", s.String())
		return nil
	case adds(s.Act) && errors.Is(err, unix.EEXIST), removes(s.Act) && isGone(err):
		return nil
	}
	return fmt.Errorf("%s: %w", s, err)
}

// adds reports whether an act makes what was not there.
func adds(act netplan.Act) bool {
	return act == netplan.AddLink || act == netplan.AddAddr || act == netplan.AddRoute || act == netplan.AddRule
}

// removes reports whether an act takes away what was there.
func removes(act netplan.Act) bool {
	return act == netplan.RemoveLink || act == netplan.RemoveAddr || act == netplan.RemoveRoute || act == netplan.RemoveRule ||
		act == netplan.RemoveQueue || act == netplan.Release
}

// isGone reports whether err says that the thing to be removed is not there.
func isGone(err error) bool {
	_, noLink := errors.AsType[netlink.LinkNotFoundError](err)
	return noLink || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
}

func (k *Kernel) do(s netplan.Step, doc netcfg.Document) error {
	switch s.Act {
	case netplan.AddLink:
		return addLink(s.Link)
	case netplan.RemoveLink:
		return removeLink(s.Was.Name)
	case netplan.Release:
		return release(s.Was.Name)
	case netplan.TakeLink, netplan.SetMTU, netplan.SetMaster, netplan.SetUp, netplan.SetDown, netplan.SetSTP:
		return changeLink(s)
	case netplan.AddAddr:
		return changeAddr(unix.RTM_NEWADDR, s.Addr)
	case netplan.RemoveAddr:
		return changeAddr(unix.RTM_DELADDR, s.Addr)
	case netplan.AddRoute, netplan.RemoveRoute:
		return changeRoute(s)
	case netplan.AddRule, netplan.RemoveRule:
		return changeRule(s)
	case netplan.SetTunnel:
		return k.setTunnel(s, doc)
	case netplan.SetQueue:
		return setQueue(s.Queue, doc)
	case netplan.RemoveQueue:
		return removeQueue(s.Queue)
	case netplan.Set:
		return k.set(s)
	}
	return errors.ErrUnsupported
}

// set writes settings. A link that listens to routers from now on asks for them; one that is off, or
// new, will do so by itself, so that it need not succeed.
func (k *Kernel) set(s netplan.Step) error {
	err := set(s.Settings)
	if err == nil && listens(s.Settings) {
		if err := solicit(s.Link.Name); err != nil {
			k.log.Debug("routers are not asked", "iface", s.Link.Name, "err", err)
		}
	}
	return err
}

// set writes settings, all that can be.
func set(settings []netplan.Setting) (err error) {
	for _, s := range settings {
		err = errors.Join(err, os.WriteFile(filepath.Join(procNet, s.Path), []byte(s.Value), 0))
	}
	return err
}

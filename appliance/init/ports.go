package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/board"
)

// nic is an Ethernet interface and where its hardware is.
type nic struct {
	name string
	path string // below /sys/devices
	port int    // of a chip that has several
}

// thisBoard is the kind of box that the image was made for.
func thisBoard() (board.Board, error) {
	name, err := os.ReadFile("/etc/board")
	if err != nil {
		return board.Board{}, err
	}
	return board.Get(strings.TrimSpace(string(name)))
}

// namePorts gives the interfaces the names that the board prints on its case. The kernel numbers them as
// their drivers find them, which may be another order at the next start, and the network's document
// knows them by name.
func namePorts(kind board.Board, log *slog.Logger) error {
	nics, err := findNICs("/sys")
	if err != nil {
		return err
	}
	names := assign(kind.Ports, nics)
	for n, to := range names {
		log.Info("a port has its name", "port", to, "at", nics[n].path, "was", nics[n].name)
	}
	return rename(nics, names, setName)
}

// findNICs lists the interfaces that have Ethernet hardware: those on the board's own buses first, in
// the order of the buses, then what is plugged into USB, which must move nobody.
func findNICs(sys string) ([]nic, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/net"))
	if err != nil {
		return nil, err
	}
	top, err := filepath.EvalSymlinks(filepath.Join(sys, "devices"))
	if err != nil {
		return nil, err
	}
	var nics []nic
	for _, e := range entries {
		dir := filepath.Join(sys, "class/net", e.Name())
		device, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
		if err != nil || number(filepath.Join(dir, "type")) != 1 { // ARPHRD_ETHER
			continue // a bridge, a tunnel, or none of ours
		}
		if _, err := os.Stat(filepath.Join(dir, "phy80211")); err == nil {
			continue // a radio is no port
		}
		at, err := filepath.Rel(top, device)
		if err != nil {
			return nil, err
		}
		nics = append(nics, nic{e.Name(), at, number(filepath.Join(dir, "dev_port"))})
	}
	slices.SortFunc(nics, func(a, b nic) int {
		return cmp.Or(cmp.Compare(plugged(a), plugged(b)), cmp.Compare(a.path, b.path), cmp.Compare(a.port, b.port), cmp.Compare(a.name, b.name))
	})
	return nics, nil
}

// plugged is 1 for what is on USB.
func plugged(n nic) int {
	if strings.Contains(n.path, "/usb") {
		return 1
	}
	return 0
}

func number(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}

// assign gives each interface its name: ports with a place of their own take what is there, the others
// what is left, in order. Interfaces that are more than the board has ports are numbered on.
func assign(ports []board.Port, nics []nic) []string {
	names := make([]string, len(nics))
	taken := map[string]bool{}
	give := func(p board.Port) {
		for n := range nics {
			if ok, err := path.Match(p.Path, nics[n].path); names[n] == "" && (p.Path == board.AnyPath || err == nil && ok) {
				names[n] = p.Name
				return
			}
		}
	}
	for _, anywhere := range []bool{false, true} {
		for _, p := range ports {
			taken[p.Name] = true
			if (p.Path == board.AnyPath) == anywhere {
				give(p)
			}
		}
	}
	next := 0
	for n := range names {
		for names[n] == "" {
			if name := fmt.Sprintf("eth%d", next); !taken[name] {
				names[n] = name
			}
			next++
		}
	}
	return names
}

// rename takes all names that change away before it gives them: two ports may swap theirs.
func rename(nics []nic, names []string, set func(from, to string) error) error {
	var errs []error
	for n := range nics {
		if nics[n].name != names[n] {
			errs = append(errs, set(nics[n].name, between(n)))
		}
	}
	for n := range nics {
		if nics[n].name != names[n] {
			errs = append(errs, set(between(n), names[n]))
		}
	}
	return errors.Join(errs...)
}

func between(n int) string { return fmt.Sprintf("port%d", n) }

func setName(from, to string) error {
	link, err := netlink.LinkByName(from)
	if err == nil {
		err = netlink.LinkSetName(link, to)
	}
	if err != nil {
		return fmt.Errorf("port %s to %s: %w", from, to, err)
	}
	return nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/coraltele/sanchar/board"
)

// machine is a tree of /sys with interfaces at places.
type machine string

func (m machine) add(t *testing.T, name, at, kind string, port int) {
	t.Helper()
	device := filepath.Join(string(m), "devices", at)
	dir := filepath.Join(device, "net", name)
	class := filepath.Join(string(m), "class/net")
	for _, d := range []string{dir, class} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{"type": kind, "dev_port": fmt.Sprint(port)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{filepath.Join(dir, "device"): device, filepath.Join(class, name): dir} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPortsAreNamedByTheirPlace(t *testing.T) {
	t.Parallel()
	m := machine(t.TempDir())
	// The kernel found the stick first, and the chip's second port before its first.
	m.add(t, "eth0", "pci0000:00/0000:00:02.0/usb1/1-1/1-1:1.0", "1", 0)
	m.add(t, "eth1", "pci0000:00/0000:00:1c.0/0000:03:00.0", "1", 1)
	m.add(t, "eth2", "pci0000:00/0000:00:1c.0/0000:03:00.0", "1", 0)
	m.add(t, "eth3", "pci0000:00/0000:00:1c.0/0000:01:00.0", "1", 0)
	m.add(t, "ib0", "pci0000:00/0000:00:1d.0/0000:09:00.0", "32", 0)
	nics, err := findNICs(string(m))
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, len(nics))
	for n := range nics {
		found[n] = nics[n].name
	}
	if want := []string{"eth3", "eth2", "eth1", "eth0"}; !slices.Equal(found, want) {
		t.Fatalf("in order of the buses: %v, want %v", found, want)
	}

	has := map[string]string{} // name now -> name as it was
	for _, n := range found {
		has[n] = n
	}
	set := func(from, to string) error {
		if _, ok := has[to]; ok || has[from] == "" {
			return fmt.Errorf("%s to %s: %v", from, to, has)
		}
		has[to] = has[from]
		delete(has, from)
		return nil
	}
	ports := []board.Port{
		{Name: "eth0", Path: board.AnyPath},
		{Name: "wan", Path: "pci0000:00/*/0000:03:00.0"},
	}
	names := assign(ports, nics)
	if want := []string{"eth0", "wan", "eth1", "eth2"}; !slices.Equal(names, want) {
		t.Fatalf("names %v, want %v", names, want)
	}
	if err := rename(nics, names, set); err != nil {
		t.Fatal(err)
	}
	for now, was := range map[string]string{"eth0": "eth3", "wan": "eth2", "eth1": "eth1", "eth2": "eth0"} {
		if has[now] != was {
			t.Errorf("%s was %s, want %s", now, has[now], was)
		}
	}
}

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

func TestOnlyOrphansAreReaped(t *testing.T) {
	t.Parallel()
	for stat, want := range map[string]bool{
		"70 (scan) Z 1 66 66 0 -1":         true,
		"70 (a ) Z 1 b) Z 1 66 66 0 -1":    true,
		"70 (switchd) Z 1 70 70 0 -1":      false, // the supervisor waits for it
		"70 (scan) S 1 66 66 0 -1":         false,
		"70 (scan) Z 66 66 66 0 -1":        false,
		"x (scan) Z 1 66":                  false,
		"":                                 false,
		"70 (scan) Z":                      false,
		"70 (sh) Z 1 66 66 0 -1 4194560 0": true,
	} {
		if pid, got := deadOrphan(stat); got != want || (got && pid != 70) {
			t.Errorf("%q: %d %v", stat, pid, got)
		}
	}
}

func TestTheDataMustBeTheBoxsOwn(t *testing.T) {
	t.Parallel()
	for mounts, want := range map[string]string{
		"/dev/dm-0 / squashfs ro 0 0\n/dev/vda4 /perm ext4 rw,relatime 0 0\n": "",
		"/dev/vda4 /perm ext4 ro,relatime 0 0\n":                              "only be read",
		"/dev/vda4 /perm vfat rw 0 0\n":                                       "not ext4",
		"/dev/dm-0 / squashfs ro 0 0\n":                                       "not there",
	} {
		path := filepath.Join(t.TempDir(), "mounts")
		if err := os.WriteFile(path, []byte(mounts), 0o600); err != nil {
			t.Fatal(err)
		}
		err := mountedAt("/perm", path)
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", mounts, err)
		}
	}
}

func TestAnIllBoxStarves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(nil, slog.New(slog.DiscardHandler))
		ready := func(name string) { h.take(supervise.Event{Name: name, Kind: supervise.Ready}) }
		time.Sleep(startTime - time.Second)
		if name := h.ill(time.Now()); name != "" {
			t.Errorf("%s is ill while the box starts", name)
		}
		time.Sleep(2 * time.Second)
		if h.ill(time.Now()) == "" {
			t.Error("daemons that never came are well")
		}
		for _, name := range vital() {
			ready(name)
		}
		h.take(supervise.Event{Name: "admind", Kind: supervise.Exited})
		h.take(supervise.Event{Name: "mediad", Kind: supervise.Exited})
		time.Sleep(illTime - time.Second)
		h.take(supervise.Event{Name: "mediad", Kind: supervise.Exited}) // again: it was not well in between
		if name := h.ill(time.Now()); name != "" {
			t.Errorf("%s is ill too early", name)
		}
		time.Sleep(2 * time.Second)
		if name := h.ill(time.Now()); name != "mediad" {
			t.Errorf("%q is ill", name)
		}
		ready("mediad")
		if name := h.ill(time.Now()); name != "" {
			t.Errorf("%s is ill", name)
		}
	})
}

func TestDriversAreFoundByModalias(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep":   "kernel/net/igb.ko: kernel/i2c/algo.ko kernel/dca.ko\nkernel/i2c/algo.ko:\nkernel/dca.ko:\nkernel/net/ice.ko:\n",
		"modules.alias": "# x\nalias pci:v00008086d00001521sv*sd*bc*sc*i* igb\nalias pci:v00008086d00001592sv*sd*bc*sc*i* ice\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := readDrivers(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.load("pci:v00008086d00001521sv00008086sd00000001bc02sc00i00"); err != nil {
		t.Fatal(err)
	}
	if !d.done["kernel/net/igb.ko"] || d.done["kernel/net/ice.ko"] {
		t.Errorf("%v", d.done)
	}
}

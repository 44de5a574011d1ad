package slots

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// sysfs makes what the kernel says of a verified root on a partition.
func sysfs(t *testing.T, disk, part, number string) string {
	t.Helper()
	sys := t.TempDir()
	dev := filepath.Join(sys, "devices/pci/block", disk, part)
	for _, dir := range []string{dev, filepath.Join(sys, "block/dm-0/slaves")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dev, "partition"), []byte(number+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dev, filepath.Join(sys, "block/dm-0/slaves", part)); err != nil {
		t.Fatal(err)
	}
	return sys
}

func TestTheSlotThatRunsIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ disk, part, number, slot, data string }{
		{"vda", "vda2", "2", "a", "/dev/vda4"}, {"nvme0n1", "nvme0n1p3", "3", "b", "/dev/nvme0n1p4"}, {"mmcblk0", "mmcblk0p2", "2", "a", "/dev/mmcblk0p4"},
	} {
		b, err := Find(sysfs(t, c.disk, c.part, c.number))
		if err != nil || b.Slot != c.slot || b.Partition(4) != c.data {
			t.Errorf("%s: %+v %s, %v", c.part, b, b.Partition(4), err)
		}
		if _, err := b.Root(c.slot); err == nil {
			t.Errorf("%s: the slot that runs was opened", c.part)
		}
	}
	if _, err := Find(sysfs(t, "vda", "vda5", "5")); err == nil {
		t.Error("a partition that is no slot was taken for one")
	}
	if _, err := Find(t.TempDir()); problem.Of(err).Code != "update.machine" {
		t.Errorf("without an image: %v", err)
	}
}

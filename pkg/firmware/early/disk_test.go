package early

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPartitionsAreNamedAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"sda": "/dev/sda4", "nvme0n1": "/dev/nvme0n1p4", "mmcblk0": "/dev/mmcblk0p4", "vda": "/dev/vda4"} {
		if got := Partition(name, 4); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheDiskIsFoundByItsBootPartition(t *testing.T) {
	t.Parallel()
	list, devices := t.TempDir(), t.TempDir()
	guid := []byte{0xc1, 0x4c, 0xc2, 0x60, 0xf9, 0xf3, 0x7a, 0x42, 0x81, 0x99, 0, 0, 0, 0, 0, 1}
	image := make([]byte, 3*sector)
	copy(image[sector:], "EFI PART")
	image[sector+72] = 2
	copy(image[2*sector+16:], guid)
	for name, data := range map[string][]byte{"vda": image, "vdb": make([]byte, 3*sector), "loop0": image, "sdc": nil} {
		if err := os.Mkdir(filepath.Join(list, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(devices, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := With("60c24cc1-f3f9-427a-8199-000000000001", list, devices)
	if err != nil || len(found) != 1 || found[0] != "vda" {
		t.Errorf("%v, %v", found, err)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	root := strings.Repeat("ab", 32)
	c, err := parseCommandLine("console=ttyS0 root=PARTUUID=60C24CC1-f3f9-427a-8199-000000000001/PARTNROFF=2 sanchar.verity=" + root + ",00ff,1234 quiet\n")
	if err != nil || c.boot != "60c24cc1-f3f9-427a-8199-000000000001" || c.root != 3 || c.verity.blocks != 1234 {
		t.Errorf("%+v, %v", c, err)
	}
	if got := c.verity.table("/dev/vda3"); got != "1 /dev/vda3 /dev/vda3 4096 4096 1234 1234 sha256 "+root+" 00ff 1 restart_on_corruption" {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{
		"", "root=/dev/sda2", "root=PARTUUID=x/PARTNROFF=3 sanchar.verity=" + root + ",00,1", "root=PARTUUID=x/PARTNROFF=1",
		"root=PARTUUID=x/PARTNROFF=1 sanchar.verity=zz,00,1", "root=PARTUUID=x/PARTNROFF=1 sanchar.verity=" + root + ",00,0",
	} {
		if c, err := parseCommandLine(bad); err == nil {
			t.Errorf("%q: %+v", bad, c)
		}
	}
}

func TestPartitionsAreNamedAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"sda": "/dev/sda4", "nvme0n1": "/dev/nvme0n1p4", "mmcblk0": "/dev/mmcblk0p4", "vda": "/dev/vda4"} {
		if got := (disk{name}).partition(4); got != want {
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
	found, err := disksWith("60c24cc1-f3f9-427a-8199-000000000001", list, devices)
	if err != nil || len(found) != 1 || found[0] != "vda" {
		t.Errorf("%v, %v", found, err)
	}
}

package main

import (
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
	c, err = parseCommandLine("sanchar.root=7 root=PARTUUID=60C24CC1-f3f9-427a-8199-000000000001/PARTNROFF=2 sanchar.verity=" + root + ",00,1")
	if err != nil || c.root != 7 {
		t.Errorf("a root of its own number: %+v, %v", c, err)
	}
	for _, bad := range []string{
		"", "sanchar.root=4 root=PARTUUID=x/PARTNROFF=1 sanchar.verity=" + root + ",00,1", "root=/dev/sda2", "root=PARTUUID=x/PARTNROFF=3 sanchar.verity=" + root + ",00,1", "root=PARTUUID=x/PARTNROFF=1",
		"root=PARTUUID=x/PARTNROFF=1 sanchar.verity=zz,00,1", "root=PARTUUID=x/PARTNROFF=1 sanchar.verity=" + root + ",00,0",
	} {
		if c, err := parseCommandLine(bad); err == nil {
			t.Errorf("%q: %+v", bad, c)
		}
	}
}

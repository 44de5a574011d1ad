package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// commandLine is what the image says to stage1 on the kernel's command line.
type commandLine struct {
	boot   string // GUID of the boot partition, by which the disk is found
	root   int    // number of the root partition: the one that root= says, unless sanchar.root= says another
	verity verity
}

func readCommandLine(path string) (c commandLine, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	return parseCommandLine(string(data))
}

// parseCommandLine reads root=PARTUUID=GUID/PARTNROFF=n, which the init needs in this form too, sanchar.root=n
// where that cannot say which it is, and sanchar.verity=ROOT,SALT,BLOCKS.
func parseCommandLine(text string) (c commandLine, err error) {
	own := 0
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "root":
			var off int
			guid, rest, ok := strings.Cut(strings.TrimPrefix(value, "PARTUUID="), "/PARTNROFF=")
			if _, scanErr := fmt.Sscanf(rest, "%d", &off); !ok || scanErr != nil || off < 1 || off > 2 {
				return c, fmt.Errorf("root=%s: not PARTUUID=GUID/PARTNROFF=1 or 2", value)
			}
			c.boot, c.root = strings.ToLower(guid), 1+off
		case "sanchar.root":
			if own, err = strconv.Atoi(value); err != nil || own <= dataPartition {
				return c, fmt.Errorf("sanchar.root=%s: not the number of a partition for a root", value)
			}
		case "sanchar.verity":
			if c.verity, err = parseVerity(value); err != nil {
				return c, err
			}
		}
	}
	if c.boot == "" || c.verity.root == "" {
		return c, errors.New("the command line names no root, or not how to verify it")
	}
	if own > 0 {
		c.root = own
	}
	return c, nil
}

package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Write puts files below dir.
func Write(dir string, files map[string]File) error {
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		var err error
		switch f.Mode & 0o170000 {
		case TypeDir:
			err = os.MkdirAll(path, 0o755)
		case TypeLink:
			err = os.Symlink(string(f.Data), path)
		default:
			err = errors.Join(os.WriteFile(path, f.Data, 0o600), os.Chmod(path, fs.FileMode(f.Mode&0o7777)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Squash makes the read-only file system of what is below dir: of one time and owner, so that two
// builds are equal.
func Squash(ctx context.Context, dir, file string, at int64) error {
	when := strconv.FormatInt(at, 10)
	out, err := exec.CommandContext(ctx, "mksquashfs", dir, file, "-all-root", "-comp", "zstd", "-noappend", "-no-progress", "-no-xattrs",
		"-mkfs-time", when, "-all-time", when, "-processors", "1").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mksquashfs (package squashfs-tools): %w\n%s", err, out)
	}
	return nil
}

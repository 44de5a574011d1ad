package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

const mb = layout.MB

// Parts are the contents of partitions, as files, by the partitions' names; one that is not named is empty.
type Parts map[string]string

// Write makes the image of a disk of so many MB.
func Write(path string, l layout.Layout, sizeMB int, parts Parts) (err error) {
	size := int64(sizeMB) * mb
	places, err := l.Places(size)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(size); err != nil {
		return err
	}
	for name, content := range parts {
		at, ok := places[name]
		if !ok {
			return fmt.Errorf("the disk has no partition %s", name)
		}
		if err := copyTo(f, at.At, content, at.Size); err != nil {
			return fmt.Errorf("partition %s: %w", name, err)
		}
	}
	return l.WriteTable(f, size)
}

// copyTo copies a file to a place, and leaves holes where it has only zeros.
func copyTo(f *os.File, at int64, from string, room int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	buf := make([]byte, mb)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !zeros(buf[:n]) {
			if int64(n) > room {
				return fmt.Errorf("%s does not fit", filepath.Base(from))
			}
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at, room = at+int64(n), room-int64(n)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		default:
			return err
		}
	}
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// FAT is how the file system of a boot partition is made. It is FAT32, whatever its size: that needs 65,525
// clusters.
type FAT struct {
	Label   string
	MB      int
	Cluster int // blocks in a cluster
}

// Boot makes the file system of a boot partition of what is below dir.
func Boot(ctx context.Context, dir, path string, fat FAT, at time.Time) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chtimes(p, at, at)) }); err != nil {
		return err
	}
	epoch := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(at.Unix(), 10)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	args := []string{"-s", "-m", "-i", path}
	for _, e := range entries {
		args = append(args, filepath.Join(dir, e.Name()))
	}
	return errors.Join(
		run(ctx, "dosfstools", epoch, "mkfs.vfat", "-C", "-F", "32", "-s", strconv.Itoa(fat.Cluster), "--invariant", "-n", fat.Label, path, strconv.Itoa(fat.MB*1024)),
		run(ctx, "mtools", epoch, "mcopy", append(args, "::")...),
	)
}

// Ext4 makes an empty file system of so many MB, which grows to any size later.
func Ext4(ctx context.Context, path, label, uuid string, size int, at time.Time) error {
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(f.Truncate(int64(size)*mb), f.Close())
	}
	if err != nil {
		return err
	}
	options := "hash_seed=" + uuid + ",lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
	if size > 2*layout.IdentityMB {
		options += ",resize=16777216" // blocks: 64 GB without moving anything
	}
	return run(ctx, "e2fsprogs", "E2FSPROGS_FAKE_TIME="+strconv.FormatInt(at.Unix(), 10), "mkfs.ext4", "-q", "-F", "-b", "4096", "-L", label, "-U", uuid,
		"-e", "remount-ro", "-E", options, path)
}

// run runs a tool of a Debian package.
func run(ctx context.Context, pack, env, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s (package %s): %w\n%s", tool, pack, err, out)
	}
	return nil
}

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
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/partition/gpt"
)

// The partitions. Their GUIDs are of the product, not of a box: each image says which disk it is on
// by that of the first. An installer's medium has another one.
const (
	BootGUID = "60c24cc1-f3f9-427a-8199-53414e430001"
	diskGUID = "60c24cc1-f3f9-427a-8199-53414e430000"
	guidHead = "60c24cc1-f3f9-427a-8199-53414e43000"

	mb       = 1 << 20
	sector   = 512
	bootMB   = 512
	RootMB   = 512
	identMB  = 16
	firstMB  = 1
	efiType  = gpt.Type("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	dataType = gpt.Type("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
)

// part is a partition in the order on the disk: identity stands before data, which grows.
type part struct {
	number  int
	name    string
	size    int // MB
	content string
	kind    gpt.Type
}

// Parts are the contents of the partitions, as files; an empty name is an empty partition.
type Parts struct {
	Boot, RootA, RootB, Data, Identity string
	DataMB                             int
}

// Write makes the image of a disk.
func Write(path string, p Parts) (err error) {
	parts := []part{
		{1, "boot", bootMB, p.Boot, efiType},
		{2, "root-a", RootMB, p.RootA, dataType},
		{3, "root-b", RootMB, p.RootB, dataType},
		{5, "identity", identMB, p.Identity, dataType},
		{4, "data", p.DataMB, p.Data, dataType},
	}
	total := int64(firstMB + 1)
	for _, x := range parts {
		total += int64(x.size)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(total * mb); err != nil {
		return err
	}
	table := &gpt.Table{GUID: strings.ToUpper(diskGUID), LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true}
	entries := make([]*gpt.Partition, len(parts))
	at := int64(firstMB)
	for _, x := range parts {
		entries[x.number-1] = &gpt.Partition{
			Index: x.number, Start: uint64(at * mb / sector), End: uint64((at+int64(x.size))*mb/sector - 1), Type: x.kind, Name: x.name,
			GUID: strings.ToUpper(guidHead + strconv.Itoa(x.number)),
		}
		if x.content != "" {
			if err := copyTo(f, at*mb, x.content, int64(x.size)*mb); err != nil {
				return fmt.Errorf("partition %s: %w", x.name, err)
			}
		}
		at += int64(x.size)
	}
	table.Partitions = entries
	return table.Write(f, total*mb)
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

// Boot makes the file system of the boot partition of what is below dir.
func Boot(ctx context.Context, dir, path string, at time.Time) error {
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
		run(ctx, "dosfstools", epoch, "mkfs.vfat", "-C", "-F", "32", "-s", "4", "--invariant", "-n", "BOOT", path, strconv.Itoa(bootMB*1024)),
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
	if size > 2*identMB {
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

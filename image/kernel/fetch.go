// Package kernel gets Debian's packaged kernel at a fixed version, and finds which of its modules a
// board needs.
package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/board"
)

// Fetch returns the path of a package in the folder cache, after its hash was checked. It is fetched
// by apt, with lists of our own, so that neither the machine's lists nor its architectures change.
func Fetch(ctx context.Context, p board.Package, arch, cache string) (string, error) {
	file := filepath.Join(cache, p.Name+"_"+url.QueryEscape(p.Version)+"_"+arch+".deb")
	if err := check(file, p); err == nil {
		return file, nil
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := download(ctx, p, arch, cache, tmp); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("package %s %s: apt-get brought %d files, not one", p.Name, p.Version, len(found))
	}
	if err := check(found[0], p); err != nil {
		return "", err
	}
	return file, os.Rename(found[0], file)
}

// check reads a package and compares its hash with the one that the board names.
func check(file string, p board.Package) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("package %s %s: its SHA-256 is %s, the board wants %s: do not use it, and look at where it came from", p.Name, p.Version, got, p.SHA256)
	}
	return nil
}

// download asks the machine's own lists first; they know its own architecture only.
func download(ctx context.Context, p board.Package, arch, cache, dir string) error {
	spec := p.Name + "=" + p.Version
	if out, err := apt(ctx, dir, nil, "download", p.Name+":"+arch+"="+p.Version); err == nil {
		return nil
	} else if _, lookErr := exec.LookPath("apt-get"); lookErr != nil {
		return errors.New("apt-get is missing: the image is built on Debian")
	} else {
		_ = out // the lists of our own tell better what is wrong
	}
	conf, err := ownLists(arch, cache, p.Archive)
	if err != nil {
		return err
	}
	env := []string{"APT_CONFIG=" + conf}
	if out, err := apt(ctx, dir, env, "update"); err != nil {
		return fmt.Errorf("lists of packages for %s: %w\n%s", arch, err, out)
	}
	if out, err := apt(ctx, dir, env, "download", spec); err != nil {
		return fmt.Errorf("package %s for %s is not to be had: %w\n%s", spec, arch, err, out)
	}
	return nil
}

func apt(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ownLists writes an apt configuration for an architecture that keeps everything below cache. archive is a
// release and a component that are not among the usual ones.
func ownLists(arch, cache, archive string) (path string, err error) {
	root, err := filepath.Abs(filepath.Join(cache, "apt-"+arch))
	if err != nil {
		return "", err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	const signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
	sources := strings.Join([]string{
		"deb " + signed + " http://deb.debian.org/debian bookworm main",
		"deb " + signed + " http://deb.debian.org/debian bookworm-updates main",
		"deb " + signed + " http://deb.debian.org/debian-security bookworm-security main", "",
	}, "\n")
	if archive != "" {
		sources += "deb " + signed + " http://deb.debian.org/debian " + archive + "\n"
	}
	lines := fmt.Sprintf("APT::Architecture %q;\nAPT::Architectures { %q; };\nDir::State %q;\nDir::State::status %q;\nDir::Cache %q;\n"+
		"Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"-\";\n", arch, arch, root+"/state", root+"/status", root+"/cache", root+"/sources.list")
	path = filepath.Join(root, "apt.conf")
	return path, errors.Join(
		os.WriteFile(filepath.Join(root, "sources.list"), []byte(sources), 0o644),
		os.WriteFile(filepath.Join(root, "status"), nil, 0o644),
		os.WriteFile(path, []byte(lines), 0o644),
	)
}

// Unpack puts a package's files below dir.
func Unpack(ctx context.Context, deb, dir string) error {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", filepath.Base(deb), err, out)
	}
	return nil
}

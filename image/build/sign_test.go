package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// ceremony is a release whose key is kept elsewhere.
type ceremony struct {
	t       *testing.T
	dir     string
	base    string // of the files that the build wrote
	private minisign.PrivateKey
}

func newCeremony(t *testing.T) *ceremony {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &ceremony{t: t, dir: t.TempDir(), private: private}
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	c.write("keys/release-1.pub", append(text, '\n'))
	keys, err := loadKeys(filepath.Join(c.dir, "keys"))
	if err != nil || keys.private != nil {
		t.Fatalf("%+v, %v", keys, err)
	}
	b := &builder{
		options: options{board: "x86", version: "1.4.2", minVersion: "1.0.0", out: c.dir}, ctx: context.Background(), kind: board.Board{}, work: filepath.Join(c.dir, "work"), at: time.Unix(epoch, 0), sign: keys,
	}
	for name, text := range map[string]string{"root.img": "the root", "uki-a": "image a", "uki-b": "image b"} {
		c.write("work/"+name, []byte(text))
	}
	if err := b.bundle(); err != nil {
		t.Fatal(err)
	}
	c.base = filepath.Join(c.dir, "sanchar-x86-1.4.2")
	return c
}

func (c *ceremony) write(name string, data []byte) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *ceremony) read(path string) []byte {
	c.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

// signs is what happens on the machine that was never on a network: it gets the manifest alone.
func (c *ceremony) signs() {
	c.write("sanchar-x86-1.4.2.manifest.json.minisig", minisign.Sign(c.private, c.read(c.base+".manifest.json")))
}

func (c *ceremony) joins() error {
	return sign(options{unsigned: c.base + unsigned, signature: c.base + ".manifest.json.minisig", keys: filepath.Join(c.dir, "keys")})
}

func TestAnUpdateIsSignedOffLine(t *testing.T) {
	t.Parallel()
	c := newCeremony(t)
	if _, err := os.Stat(c.base + ".update"); err == nil {
		t.Fatal("there is an update before anybody has signed it")
	}
	c.signs()
	if err := c.joins(); err != nil {
		t.Fatal(err)
	}
	keys, err := manifest.ParseKeys(string(c.read(filepath.Join(c.dir, "keys/release-1.pub"))))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := install.Describe(bytes.NewReader(c.read(c.base+".update")), keys); err != nil || m.Version != "1.4.2" || m.Board != "x86" {
		t.Errorf("%+v, %v", m, err)
	}
	var names []string
	in := tar.NewReader(bytes.NewReader(c.read(c.base + ".update")))
	for h, err := in.Next(); err == nil; h, err = in.Next() {
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "manifest.json manifest.json.minisig root uki-a uki-b" {
		t.Errorf("%s", got)
	}
}

func TestWhatCannotBeJoined(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]struct {
		spoil func(c *ceremony)
		want  string
	}{
		"another's signature": {func(c *ceremony) {
			_, stranger, err := minisign.GenerateKey(nil)
			if err != nil {
				c.t.Fatal(err)
			}
			c.write("sanchar-x86-1.4.2.manifest.json.minisig", minisign.Sign(stranger, c.read(c.base+".manifest.json")))
		}, "not signed"},
		"of another manifest": {func(c *ceremony) {
			var m manifest.Manifest
			if err := json.Unmarshal(c.read(c.base+".manifest.json"), &m); err != nil {
				c.t.Fatal(err)
			}
			m.Version = "1.4.3"
			text, err := json.Marshal(m)
			if err != nil {
				c.t.Fatal(err)
			}
			c.write("sanchar-x86-1.4.2.manifest.json.minisig", minisign.Sign(c.private, text))
		}, "not signed"},
		"a part was changed": {func(c *ceremony) {
			c.write("sanchar-x86-1.4.2.unsigned", bytes.Replace(c.read(c.base+unsigned), []byte("image a"), []byte("image x"), 1))
		}, "part uki-a is not what"},
		"a part is missing": {func(c *ceremony) {
			data := c.read(c.base + unsigned)
			c.write("sanchar-x86-1.4.2.unsigned", data[:bytes.Index(data, []byte("uki-b\x00"))])
		}, "part uki-b"},
		"no update":        {func(c *ceremony) { c.write("sanchar-x86-1.4.2.unsigned", []byte("none")) }, "is to come first"},
		"no keys":          {func(c *ceremony) { _ = os.Remove(filepath.Join(c.dir, "keys/release-1.pub")) }, "no public key"},
		"signed in place":  {func(c *ceremony) { c.signsTwice() }, "is to come next"},
		"no signature yet": {func(c *ceremony) { _ = os.Remove(c.base + ".manifest.json.minisig") }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCeremony(t)
			c.signs()
			do.spoil(c)
			if err := c.joins(); err == nil || !strings.Contains(err.Error(), do.want) {
				t.Errorf("%v, want %s", err, do.want)
			}
			left, err := filepath.Glob(filepath.Join(c.dir, "*update*"))
			hidden, hiddenErr := filepath.Glob(filepath.Join(c.dir, ".update-*"))
			if errors.Join(err, hiddenErr) != nil || len(left)+len(hidden) > 0 {
				t.Errorf("%v %v are left", left, hidden)
			}
		})
	}
	if err := sign(options{unsigned: "x" + unsigned}); err == nil || !strings.Contains(err.Error(), "needs -signature") {
		t.Errorf("%v", err)
	}
}

// signsTwice takes an update that is signed already for one that is not.
func (c *ceremony) signsTwice() {
	if err := c.joins(); err != nil {
		c.t.Fatal(err)
	}
	in, err := os.Open(c.base + ".update")
	if err != nil {
		c.t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close(), os.Remove(c.base+".update")); err != nil {
		c.t.Fatal(err)
	}
	c.write("sanchar-x86-1.4.2.unsigned", data)
}

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// keys are who signs, and whom the box will trust.
type keys struct {
	trusted string // public keys, as they stand in the image
	private *minisign.PrivateKey
}

// developmentComment marks keys that a build has made for itself: the box says so on its page.
const developmentComment = "untrusted comment: development key, made by a build: anybody may have it\n"

// loadKeys reads the two public keys of releases from a folder, or makes keys for development in it.
// The private keys of releases are never here: their bundles are signed by hand, off line.
func loadKeys(dir string) (k keys, err error) {
	public, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return k, err
	}
	if len(public) == 0 {
		if err := makeKeys(dir); err != nil {
			return k, err
		}
		return loadKeys(dir)
	}
	if k.trusted, err = trustedKeys(dir); err != nil {
		return k, err
	}
	if _, err := manifest.ParseKeys(k.trusted); err != nil {
		return k, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "development.key"))
	if errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	k.private = new(minisign.PrivateKey)
	return k, k.private.UnmarshalText(data)
}

func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return err
	}
	key, keyErr := public.MarshalText()
	secret, secretErr := private.MarshalText()
	return errors.Join(
		keyErr, secretErr,
		os.WriteFile(filepath.Join(dir, "development.key"), secret, 0o600),
		os.WriteFile(filepath.Join(dir, "development.pub"), []byte(developmentComment+lastLine(string(key))+"\n"), 0o644),
	)
}

// lastLine is a public key without the comment that stands before it.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// bundle writes the update: a tar file whose first part says what the others are. Without a private
// key the manifest is written beside it, to be signed off line: attach joins the two.
func (b *builder) bundle() error {
	m := manifest.Manifest{
		Format: 1, Product: "sanchar", Board: b.board, Version: b.version, MinVersion: b.minVersion, Created: b.at.UTC().Format(time.RFC3339),
	}
	for _, p := range [...]struct{ name, file string }{{manifest.Root, "root.img"}, {manifest.UKIA, "uki-a"}, {manifest.UKIB, "uki-b"}} {
		part, err := describe(p.name, b.path(p.file))
		if err != nil {
			return err
		}
		m.Parts = append(m.Parts, part)
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	base := filepath.Join(b.out, "sanchar-"+b.board+"-"+b.version)
	if b.sign.private == nil {
		b.say("no private key: sign %s.manifest.json with minisign, then join it with -unsigned %s%s -signature FILE", base, base, unsigned)
		return errors.Join(os.WriteFile(base+".manifest.json", text, 0o644), b.join(base+unsigned, text, nil))
	}
	return b.join(base+".update", text, minisign.SignWithComments(*b.sign.private, text, "sanchar "+b.board+" "+b.version, "signature of an update"))
}

func describe(name, file string) (p manifest.Part, err error) {
	f, err := os.Open(file)
	if err != nil {
		return p, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return manifest.Part{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

func (b *builder) join(path string, text, signature []byte) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	put := func(name string, size int64, from io.Reader) error {
		head := &tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, ModTime: b.at, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return err
		}
		_, err := io.Copy(w, from)
		return err
	}
	if err := put(manifest.File, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	if signature != nil {
		if err := put(manifest.Signature, int64(len(signature)), bytes.NewReader(signature)); err != nil {
			return err
		}
	}
	for _, p := range [...]struct{ name, file string }{{manifest.Root, "root.img"}, {manifest.UKIA, "uki-a"}, {manifest.UKIB, "uki-b"}} {
		f, err := os.Open(b.path(p.file))
		if err != nil {
			return err
		}
		st, err := f.Stat()
		if err == nil {
			err = put(p.name, st.Size(), f)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	b.say("%s", path)
	return w.Close()
}

// component is a part of the image that somebody else made, or we did.
type component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Kind    string `json:"type"` // "application", "library", "operating-system"
	Purl    string `json:"purl,omitempty"`
}

// bill lists what is in the image (CycloneDX 1.5): packages of Debian, and Go modules by the programs.
func (b *builder) bill() ([]byte, error) {
	all := map[string]component{}
	for _, p := range []board.Package{b.kind.Kernel.Package, b.kind.Loader, b.kind.Checker} {
		all["deb "+p.Name] = component{p.Name, p.Version, "operating-system", "pkg:deb/debian/" + p.Name + "@" + p.Version + "?arch=" + b.kind.Arch}
	}
	for _, p := range append(daemons(), "init", "stage1", "installer") {
		info, err := buildinfo.ReadFile(b.path("bin", p))
		if err != nil {
			return nil, err
		}
		all["go std"] = component{"stdlib", strings.TrimPrefix(info.GoVersion, "go"), "library", "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
		for _, d := range info.Deps {
			all["go "+d.Path] = component{d.Path, d.Version, "library", fmt.Sprintf("pkg:golang/%s@%s", d.Path, d.Version)}
		}
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	bill := map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": map[string]any{"component": component{"sanchar-" + b.board, b.version, "firmware", ""}},
	}
	list := make([]component, 0, len(names))
	for _, n := range names {
		list = append(list, all[n])
	}
	bill["components"] = list
	return json.MarshalIndent(bill, "", " ")
}

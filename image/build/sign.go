package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// unsigned is the suffix of an update whose signature is made elsewhere, on a machine without a network.
const unsigned = ".unsigned"

// sign joins an update with its signature.
func sign(o options) error {
	if o.signature == "" {
		return errors.New("-unsigned needs -signature: the file that minisign wrote beside the manifest")
	}
	path, err := attach(o.unsigned, o.signature, o.keys)
	if err == nil {
		fmt.Printf("image: %s\n", path)
	}
	return err
}

// attach makes the update of one without a signature and of the signature of its manifest. Nothing is left that
// a box would refuse: the signature must be of a key that boxes trust, and each part what the manifest says.
func attach(bundle, signature, keysDir string) (path string, err error) {
	text, err := trustedKeys(keysDir)
	if err != nil {
		return "", err
	}
	keys, err := manifest.ParseKeys(text)
	if err != nil {
		return "", err
	}
	sig, err := os.ReadFile(signature)
	if err != nil {
		return "", err
	}
	in, err := os.Open(bundle)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }() // only read
	path = strings.TrimSuffix(bundle, unsigned) + ".update"
	out, err := os.CreateTemp(filepath.Dir(path), ".update-")
	if err != nil {
		return "", err
	}
	err = errors.Join(rewrite(out, in, sig, keys), out.Chmod(0o644), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(out.Name()))
	}
	return path, nil
}

// rewrite copies a bundle, with the signature behind its manifest.
func rewrite(out io.Writer, bundle io.Reader, signature []byte, keys manifest.Keys) error {
	in, w := tar.NewReader(bundle), tar.NewWriter(out)
	head, err := in.Next()
	if err != nil || head.Name != manifest.File || head.Size > manifest.MaxSize {
		return errors.Join(fmt.Errorf("the file is no update without a signature: %s is to come first", manifest.File), err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	m, err := manifest.Open(text, signature, keys)
	if err != nil {
		return err
	}
	at := *head
	at.Name, at.Size = manifest.Signature, int64(len(signature))
	if err := errors.Join(copyPart(w, head, bytes.NewReader(text), nil), copyPart(w, &at, bytes.NewReader(signature), nil)); err != nil {
		return err
	}
	for _, p := range m.Parts {
		head, err := in.Next()
		if err != nil || head.Name != p.Name || head.Size != p.Size {
			return errors.Join(fmt.Errorf("part %s of %d bytes is to come next", p.Name, p.Size), err)
		}
		if err := copyPart(w, head, in, &p); err != nil {
			return err
		}
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("there are more parts than the manifest names"), err)
	}
	return w.Close()
}

// copyPart copies a part, which must be what the manifest says; nil says nothing.
func copyPart(w *tar.Writer, head *tar.Header, from io.Reader, p *manifest.Part) error {
	if err := w.WriteHeader(head); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), from); err != nil {
		return err
	}
	if p != nil && hex.EncodeToString(h.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("part %s is not what the manifest says", p.Name)
	}
	return nil
}

// trustedKeys are the public keys of a folder, one after another; none is an error.
func trustedKeys(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	var text strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		text.Write(data)
	}
	if len(files) == 0 {
		return "", fmt.Errorf("there is no public key (*.pub) in %s", dir)
	}
	return text.String(), nil
}

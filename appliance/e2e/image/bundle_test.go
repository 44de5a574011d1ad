package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// again makes an update of the parts of another, signed with the same key: what a maker who errs would
// send. change may change what it says of itself, and the parts; its hashes are as the parts were.
func again(t *testing.T, update string, change func(m *manifest.Manifest, parts [][]byte)) []byte {
	t.Helper()
	f, err := os.Open(update)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var files [][]byte
	for in := tar.NewReader(f); ; {
		if _, err := in.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	var m manifest.Manifest
	if err := json.Unmarshal(files[0], &m); err != nil {
		t.Fatal(err)
	}
	change(&m, files[2:])
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	files[0], files[1] = text, minisign.Sign(developmentKey(t), text)
	return join(t, files)
}

func developmentKey(t *testing.T) (k minisign.PrivateKey) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "build/keys/development.key"))
	if err == nil {
		err = k.UnmarshalText(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func join(t *testing.T, files [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i, name := range append([]string{manifest.File, manifest.Signature}, manifest.Parts()...) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[i])), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// damaged is an update whose root is not what its image verifies, although its signature is good.
func damaged(t *testing.T, update string) string {
	t.Helper()
	data := again(t, update, func(m *manifest.Manifest, parts [][]byte) {
		parts[0][1000] ^= 0xff
		sum := sha256.Sum256(parts[0])
		m.Parts[0].SHA256 = hex.EncodeToString(sum[:])
	})
	path := filepath.Join(t.TempDir(), "damaged.update")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package setup

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

func TestAPartitionIsReadBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "part")
	want := bytes.Repeat([]byte("root"), 3*layout.MB/4+5)
	if err := os.WriteFile(path, append(bytes.Clone(want), "what was there before"...), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, last := sha256.Sum256(want), int64(0)
	got, err := hash(path, int64(len(want)), func(done int64) { last = done })
	if err != nil || got != hex.EncodeToString(sum[:]) || last != int64(len(want)) {
		t.Errorf("%s after %d bytes, %v", got, last, err)
	}
	if _, err := hash(path, int64(len(want))+100, func(int64) {}); err == nil {
		t.Error("a partition that ends too early was read to its end")
	}
}

func TestATemplateIsWrittenWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("an empty file system")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	part, template := filepath.Join(dir, "part"), filepath.Join(dir, "data.img.gz")
	if os.WriteFile(part, bytes.Repeat([]byte("x"), 64), 0o600) != nil || os.WriteFile(template, packed.Bytes(), 0o600) != nil {
		t.Fatal("no disk")
	}
	if err := fill(part, template); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(part); err != nil || len(got) != 64 || !bytes.HasPrefix(got, []byte("an empty file systemx")) {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(template, packed.Bytes()[:packed.Len()-9], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fill(part, template); err == nil {
		t.Error("half a template is none")
	}
}

package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

func TestTheDataPartitionBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	part, tmpl := filepath.Join(dir, "part"), filepath.Join(dir, "data.img.gz")
	want := append(make([]byte, 3*(1<<20)), []byte("an empty file system")...)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(want); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte("old"), 2*(1<<20))
	if os.WriteFile(part, old, 0o600) != nil || os.WriteFile(tmpl, packed.Bytes(), 0o600) != nil {
		t.Fatal("no disk")
	}
	if err := begin(part, tmpl); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(part)
	if err != nil || len(got) != len(old) || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := os.WriteFile(tmpl, packed.Bytes()[:packed.Len()/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := begin(part, tmpl); err == nil {
		t.Error("half a template is none")
	}
}

package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

func TestWhatIsPackedIsWhole(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("a partition "), 1<<16)
	packed, err := zip(want)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if again, err := zip(want); err != nil || !bytes.Equal(again, packed) {
		t.Errorf("it is packed in two ways: %v", err)
	}
}

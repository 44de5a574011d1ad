package install

import (
	"archive/tar"
	"io"

	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// Describe reads what a bundle says of itself, and believes it when one of the keys has signed it. The parts
// are not read.
func Describe(bundle io.Reader, keys manifest.Keys) (manifest.Manifest, error) {
	return signed(tar.NewReader(bundle), keys)
}

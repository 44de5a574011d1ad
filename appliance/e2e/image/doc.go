// Package image starts the image as it is flashed, in QEMU, and looks at it from outside: over its
// network ports and on its serial console. What takes long runs with SANCHAR_IMAGE=long.
package image

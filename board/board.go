// Package board describes the kinds of box that the product runs on: one folder for each, read by
// the image builder and, from the image, by the box itself.
package board

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed */board.json
var folders embed.FS

// Board is one kind of box.
type Board struct {
	Name     string  `json:"name"` // of its folder
	Title    string  `json:"title"`
	Arch     string  `json:"arch"`     // as Go names it
	Firmware string  `json:"firmware"` // "uefi" or "rpi", as pkg/firmware/layout has them
	Kernel   Kernel  `json:"kernel"`
	Loader   Package `json:"loader"` // of systemd-boot and the stub of unified kernel images, or of a Raspberry Pi's firmware
	// Trees are the device trees that a Raspberry Pi's firmware asks for, and what the kernel's package calls them.
	Trees    map[string]string `json:"trees,omitempty"`
	Checker  Package           `json:"checker"` // of e2fsck, which stands alone
	Console  []string          `json:"console"` // devices for kernel messages and the box's own screen, the last one first
	Boot     []string          `json:"boot"`    // modules that stage-1 loads, in this order, each behind what it needs
	Later    []string          `json:"later"`   // modules that are loaded when the root is there, whatever the hardware
	Hardware []string          `json:"hardware"`
	Ports    []Port            `json:"ports"`
	Watchdog []string          `json:"watchdog"`      // modules in the order of trial; softdog is loaded where none finds its chip
	LED      string            `json:"led,omitempty"` // its name below /sys/class/leds, as a pattern of path.Match
	Button   Button            `json:"button,omitzero"`
	Capacity Capacity          `json:"capacity"`
}

// Package is a Debian package at a fixed version.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Archive string `json:"archive,omitempty"` // release and component it is in, where it is not in those of the others
}

// Kernel is the package that has the kernel, and what its modules' folder is called.
type Kernel struct {
	Package
	Release string `json:"release"`
}

// AnyPath is the path of a port that takes whatever is left.
const AnyPath = "*"

// Port is a network port as it is printed on the case.
type Port struct {
	Name  string `json:"name"`  // of the interface
	Label string `json:"label"` // on the case
	Path  string `json:"path"`  // below /sys/devices, as a pattern of path.Match; AnyPath takes what is left, in the order of the buses
}

// Button is what starts a factory reset when it is held.
type Button struct {
	Input string `json:"input,omitempty"` // name of the input device, as a pattern of path.Match
	Key   uint16 `json:"key,omitempty"`   // Linux key code
	Hold  int    `json:"hold,omitempty"`  // seconds
}

// Capacity is what the box is sold for.
type Capacity struct {
	Users int `json:"users"`
	Calls int `json:"calls"` // at once, all of them recorded
}

// Get returns the board of a folder.
func Get(name string) (Board, error) {
	var b Board
	data, err := folders.ReadFile(name + "/board.json")
	if err != nil {
		return b, fmt.Errorf("there is no board %q; there are %s", name, strings.Join(Names(), ", "))
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("board %s: %w", name, err)
	}
	return b, nil
}

// Names returns the names of all boards in order.
func Names() []string {
	found, err := fs.Glob(folders, "*/board.json")
	if err != nil {
		panic(err) // the pattern is a wrong one
	}
	for i, f := range found {
		found[i], _, _ = strings.Cut(f, "/")
	}
	slices.Sort(found)
	return found
}

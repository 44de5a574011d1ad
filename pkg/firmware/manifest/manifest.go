// Package manifest says what is in an update, for which boxes it is, and who vouches for it. It is
// pure: bytes in, a decision out.
package manifest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"aead.dev/minisign"
	"golang.org/x/mod/semver"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Names of a bundle's parts, in the order in which they stand in it.
const (
	File      = "manifest.json"
	Signature = "manifest.json.minisig"
	Root      = "root"  // squashfs and its tree of hashes
	UKIA      = "uki-a" // unified kernel image for slot A
	UKIB      = "uki-b"
)

// Parts are those that the manifest describes, in their order.
func Parts() []string { return []string{Root, UKIA, UKIB} }

const (
	product = "sanchar"
	format  = 1
	// MaxSize of a manifest and of its signature: they are read before anybody is trusted.
	MaxSize = 64 << 10
	// maxPart is the size of a root partition.
	maxPart = 512 << 20
)

// Manifest describes a bundle.
type Manifest struct {
	Format     int    `json:"format"`
	Product    string `json:"product"`
	Board      string `json:"board"`
	Version    string `json:"version"`
	MinVersion string `json:"min_version"` // no older one may follow it: it would bring back faults that are known
	Created    string `json:"created"`
	Notes      string `json:"notes,omitempty"` // what is new, for people
	Parts      []Part `json:"parts"`
}

// Part is one file of a bundle.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hex
}

// Box is what a box says of itself.
type Box struct {
	Board      string
	Version    string // that runs
	MinVersion string // the highest that an update has asked for
	Downgrade  bool   // an admin asks for an older version on purpose
}

// Keys are who may sign: two, so that one can be replaced when the other is lost.
type Keys struct {
	Trusted     []minisign.PublicKey
	Development bool // they were made on a developer's machine: anybody may have them
}

// developmentMark stands in the comment of keys that a build has made for itself.
const developmentMark = "development"

// ParseKeys reads public keys as minisign writes them, one after another.
func ParseKeys(text string) (k Keys, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, comment := strings.CutPrefix(line, "untrusted comment:"); comment {
			k.Development = k.Development || strings.Contains(rest, developmentMark)
			continue
		}
		if line == "" {
			continue
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return k, fmt.Errorf("key of updates: %w", err)
		}
		k.Trusted = append(k.Trusted, key)
	}
	if len(k.Trusted) == 0 {
		return k, fmt.Errorf("keys of updates: there is none")
	}
	return k, nil
}

// Open reads a manifest that one of the keys has signed. Nothing in it is believed before.
func Open(data, signature []byte, keys Keys) (m Manifest, err error) {
	signed := false
	for _, k := range keys.Trusted {
		signed = signed || minisign.Verify(k, data, signature)
	}
	if !signed {
		return m, problem.New(problem.Denied, "update.signature", "the update is not signed by a key that this box trusts",
			"take the file from the maker's site again; an update that was made elsewhere needs its key on the box")
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, problem.Wrap(err, problem.Invalid, "update.manifest", "the update's description cannot be read", "take the file from the maker's site again")
	}
	return m, problem.Fields("update.manifest", m.faults())
}

func (m *Manifest) faults() (faults []problem.Fault) {
	bad := func(path, value, rule string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: "take an update for this box"})
	}
	if m.Format != format || m.Product != product {
		bad("format", fmt.Sprintf("%s %d", m.Product, m.Format), fmt.Sprintf("%s %d", product, format))
	}
	for _, v := range [...]struct{ path, version string }{{"version", m.Version}, {"min_version", m.MinVersion}} {
		if !Valid(v.version) {
			bad(v.path, v.version, "a version as 1.4.2")
		}
	}
	names := Parts()
	if len(m.Parts) != len(names) {
		bad("parts", fmt.Sprint(len(m.Parts)), strings.Join(names, ", "))
		return faults
	}
	for i, p := range m.Parts {
		if sum, err := hex.DecodeString(p.SHA256); p.Name != names[i] || p.Size <= 0 || p.Size > maxPart || err != nil || len(sum) != 32 {
			bad(fmt.Sprintf("parts[%d]", i), p.Name, names[i]+" with its size and SHA-256")
		}
	}
	return faults
}

// Fits refuses an update that is not for a box, or not at this moment.
func (m *Manifest) Fits(b Box) error {
	switch {
	case m.Board != b.Board:
		return problem.New(problem.Invalid, "update.board", fmt.Sprintf("the update is for boxes of kind %s, this one is %s", m.Board, b.Board), "take the update for this kind of box")
	case Compare(m.Version, b.MinVersion) < 0:
		return problem.New(problem.Denied, "update.old", fmt.Sprintf("version %s is older than %s, the oldest that is safe", m.Version, b.MinVersion),
			"take a newer one: known faults would come back")
	case Compare(m.Version, b.Version) == 0:
		return problem.New(problem.Conflict, "update.same", "version "+m.Version+" is what runs", "there is nothing to do")
	case Compare(m.Version, b.Version) < 0 && !b.Downgrade:
		return problem.New(problem.Conflict, "update.downgrade", fmt.Sprintf("version %s is older than %s, which runs", m.Version, b.Version),
			"if that is what you want, ask for it by name: settings that the older version does not know are as they were before the newer one")
	}
	return nil
}

// Valid reports whether a version is one that can be compared: 1.4.2, or 1.4.2-rc1.
func Valid(version string) bool {
	return semver.IsValid("v"+version) && semver.Canonical("v"+version) == "v"+version
}

// Compare orders two versions as semver.org does; one that is none comes first.
func Compare(a, b string) int { return semver.Compare("v"+a, "v"+b) }

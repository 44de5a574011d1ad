package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/firmware/health"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// manifestFloor is the oldest version that may be installed. It rises when a version that asked for that
// has shown that it is well: one that goes again must not lock out the one before it.
type manifestFloor struct {
	Version string `json:"min_version"`
	// Next is what the version that was installed last asks for.
	Next struct {
		Version    string `json:"version"`
		MinVersion string `json:"min_version"`
		// Before is what was wrong with the network when it was installed.
		Before health.Faults `json:"before,omitzero"`
	} `json:"next"`
}

const floorFile = "update.json"

func readFloor(dir string) (f manifestFloor, err error) {
	data, err := os.ReadFile(filepath.Join(dir, floorFile))
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read which versions are too old: %w", err)
	}
	return f, nil
}

// Oldest is the oldest version that may be installed.
func (u *Updates) Oldest() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.min.Version
}

func (u *Updates) keepLocked() error {
	data, err := json.Marshal(u.min)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(u.cfg.Dir, floorFile), data, 0o600)
}

// expect remembers what a version asks for that starts next.
func (u *Updates) expect(m manifest.Manifest) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.min.Next.Version, u.min.Next.MinVersion, u.min.Next.Before = m.Version, m.MinVersion, health.Faults{}
	return u.keepLocked()
}

// Before is what was wrong with the network when the version that runs was installed: it is not its fault.
func (u *Updates) Before() (f health.Faults) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.min.Next.Version == u.cfg.Version {
		f = u.min.Next.Before
	}
	return f
}

// remember keeps what is wrong with the network, for the version that starts next. Without it that is judged as
// if all had been well.
func (u *Updates) remember(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	before, err := u.cfg.Faults(ctx)
	if err == nil {
		u.mu.Lock()
		u.min.Next.Before = before
		err = u.keepLocked()
		u.mu.Unlock()
	}
	if err != nil {
		u.cfg.Log.Warn("how the network is before the update is not kept", "err", err)
	}
}

// settled raises the floor to what the version asks for that runs and is well.
func (u *Updates) settled() {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.min.Next
	if n.Version != u.cfg.Version || manifest.Compare(n.MinVersion, u.min.Version) <= 0 {
		return
	}
	u.min.Version = n.MinVersion
	if err := u.keepLocked(); err != nil {
		u.cfg.Log.Error("which versions are too old is not kept", "err", err)
	}
}

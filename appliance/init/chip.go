package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/tpm"
)

const (
	// chipPatience is how long a chip that sealed our keys may take to show up behind its driver.
	chipPatience = 5 * time.Second
	chipPause    = 100 * time.Millisecond
)

// chip is the box's security chip. Nobody but us talks to it: it gives the root of the keys at start, and
// each daemon gets a key of its own that is made from it.
type chip struct {
	open   func() (transport.TPMCloser, error)
	sealed string        // file of the sealed root
	data   string        // folder of all data
	dir    string        // in memory, for the daemons' keys
	wait   time.Duration // for a chip that sealed the keys
	log    *slog.Logger

	mu   sync.Mutex // guards what follows
	keys ctl.BootKeys
}

func newChip(log *slog.Logger) *chip {
	return &chip{
		open:   func() (transport.TPMCloser, error) { return tpm.Open(tpm.Device) },
		sealed: filepath.Join(dataDir, "init", "root.sealed"), data: dataDir, dir: filepath.Join(runDir, seal.ChipDir), wait: chipPatience, log: log,
	}
}

func (c *chip) state() ctl.BootKeys {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys
}

func (c *chip) set(held string, fault error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = ctl.BootKeys{Held: held}
	if fault != nil {
		c.keys.Fault = fault.Error()
		c.log.Warn("the security chip does not hold the keys", "err", fault)
	}
}

// hold opens the keys and hands them to the daemons. On trial nothing is sealed that was not: the version
// before might not know how to open it. Its error is for the page: the box cannot read what it keeps.
func (c *chip) hold(onTrial bool) error {
	there, err := tpm.Sealed(c.sealed)
	if err != nil {
		return err
	}
	if there {
		return c.unseal()
	}
	if wrapped, err := seal.Wrapped(c.data); err != nil || wrapped != "" {
		return problem.Wrap(err, problem.Invalid, "keys.gone", "the key that opens what this box keeps is gone", lostCure)
	}
	dev, err := c.open()
	switch {
	case errors.Is(err, tpm.ErrNone):
		c.set(ctl.KeysClear, nil)
		return nil
	case err != nil:
		c.set(ctl.KeysClear, err)
		return nil
	}
	defer func() { _ = dev.Close() }() // nothing waits in it
	if onTrial {
		c.set(ctl.KeysClear, errors.New("it takes them at the first start after the trial of this version"))
		return nil
	}
	root, err := tpm.Make(c.sealed, dev)
	if err != nil { // somebody else has set a password on it, for instance
		c.set(ctl.KeysClear, err)
		return nil
	}
	c.log.Info("the security chip holds the keys from now on")
	c.set(ctl.KeysChip, nil)
	return c.hand(root)
}

const lostCure = "put the disk back into the box that it was in, or give the recovery code on the console (sanchar keys recover), or erase what the box keeps (factory reset)"

// unseal opens a root that was sealed before.
func (c *chip) unseal() error {
	dev, err := c.await()
	if err != nil && !errors.Is(err, tpm.ErrNone) {
		return problem.Wrap(err, problem.Unavailable, "keys.chip", "the security chip that holds the keys does not answer", "restart the box; if that does not help: "+lostCure)
	}
	var use tpm.Chip
	held := ctl.KeysClear
	if dev != nil {
		defer func() { _ = dev.Close() }() // nothing waits in it
		use, held = dev, ctl.KeysChip
	}
	root, err := tpm.Load(c.sealed, use)
	switch {
	case errors.Is(err, tpm.ErrNone):
		return problem.Wrap(err, problem.Unavailable, "keys.chip.none", "the keys were sealed by a security chip, and this box has none, or it is switched off in the firmware", "switch it on (TPM 2.0, fTPM, PTT); else: "+lostCure)
	case errors.Is(err, tpm.ErrOther):
		return problem.Wrap(err, problem.Denied, "keys.chip.other", "the keys were sealed by the security chip of another box, or it was cleared since", lostCure)
	case err != nil:
		return problem.Wrap(err, problem.Invalid, "keys.sealed", "the sealed keys cannot be opened: "+err.Error(), lostCure)
	}
	c.set(held, nil)
	return c.hand(root)
}

// await opens the chip that sealed our keys; its driver may still be at work.
func (c *chip) await() (transport.TPMCloser, error) {
	for end := time.Now().Add(c.wait); ; time.Sleep(chipPause) {
		dev, err := c.open()
		if !errors.Is(err, tpm.ErrNone) || time.Now().After(end) {
			return dev, err
		}
	}
}

// hand gives each daemon its key, in memory.
func (c *chip) hand(root *tpm.Root) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	for _, name := range daemons() {
		key, err := root.Key(name)
		if err == nil {
			err = fsx.WriteFile(filepath.Join(c.dir, name), key, 0o400)
		}
		if err != nil {
			return fmt.Errorf("hand %s its key: %w", name, err)
		}
	}
	return nil
}

// code returns what a person keeps for the day when the chip is lost. A box in trouble tells it to nobody:
// it does not know its owner.
func (c *chip) code() (out ctl.RecoveryCode, err error) {
	if c.state().Held == "" {
		return out, problem.New(problem.Unavailable, "keys.trouble", "the box has not opened its keys", "look at what the page says is wrong")
	}
	if there, err := tpm.Sealed(c.sealed); err != nil || !there {
		return out, problem.Wrap(err, problem.Missing, "keys.clear", "the keys lie on the disk in clear: there is nothing to recover", "keep the disk safe")
	}
	var use tpm.Chip
	if dev, err := c.open(); err == nil {
		defer func() { _ = dev.Close() }() // nothing waits in it
		use = dev
	}
	root, err := tpm.Load(c.sealed, use)
	if err != nil {
		return out, problem.Wrap(err, problem.Unavailable, "keys.sealed", "the sealed keys cannot be opened", lostCure)
	}
	c.log.Warn("the recovery code was shown")
	return ctl.RecoveryCode{Code: root.Code()}, nil
}

// recover seals the root that a code says by this box's chip.
func (c *chip) recover(code string) error {
	dev, err := c.open()
	switch {
	case errors.Is(err, tpm.ErrNone):
		return tpm.Recover(c.sealed, code, nil)
	case err != nil:
		return err
	}
	defer func() { _ = dev.Close() }() // nothing waits in it
	return tpm.Recover(c.sealed, code, dev)
}
